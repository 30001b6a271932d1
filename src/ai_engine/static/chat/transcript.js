// What is seen of the conversation: finished messages in the order of the log, and below them a tail
// of what is under way: the answer as it grows, and messages that have not been taken yet.
import { current, t } from "./i18n.js";
import { anchor, closed, render, safe } from "./markdown.js";

const THINKING_MS_MAX = 90000; // a rule may answer nothing at all; the dots do not run for ever
const STOP_WORDS = new Set(["/stop", "/停止", "/停"]);

export class Transcript {
  /** `on` has: send(text), retry(client_id), discard(client_id), changed(). */
  constructor(log, tail, on) {
    this.log = log;
    this.tail = tail;
    this.on = on;
    this.clear();
  }

  clear() {
    this.log.replaceChildren();
    this.tail.replaceChildren();
    this.stream = null; // {turn, text, points, element}
    this.open = new Map(); // questions without an answer: message_id → when they were asked
    this.questions = new Map(); // message_id → text, of those shown
    this.turns = new Map(); // message_id → the turn that answers it
    this.answered = new Set(); // turns whose answer is in the log
    this.newestQuestion = "";
    this.thinking = null;
  }

  get empty() {
    return !this.log.childElementCount && !this.tail.childElementCount;
  }

  /** Whether an answer is under way. */
  get busy() {
    return Boolean(this.stream) || this.waiting();
  }

  waiting() {
    const since = Date.now() - THINKING_MS_MAX;
    return [...this.open.values()].some((at) => at > since);
  }

  event({ kind, at, body }) {
    if (kind === "message") this.message(body, at);
    else if (kind === "reply") this.reply(body, at);
    else if (kind === "stopped" || kind === "cleared") {
      this.open.clear();
      if (kind === "cleared") this.divider(t("cleared"), "cleared");
    }
    this.think();
  }

  message(body, at) {
    if (body.client_id) this.pending(body.client_id)?.remove();
    if (STOP_WORDS.has(body.text.trim())) return;
    this.open.set(body.message_id, at * 1000);
    this.questions.set(body.message_id, body.text);
    this.turns.set(body.message_id, body.id);
    this.newestQuestion = body.message_id;
    const element = bubble("mine", t("you"), body.text);
    element.title = moment(at).toLocaleString(document.documentElement.lang);
    this.log.append(element);
  }

  reply(body, at) {
    const of = body.in_reply_to;
    const turn = this.turns.get(of);
    if (turn) this.answered.add(turn);
    if (body.final) this.open.delete(of);
    if (turn && turn === this.stream?.turn) this.endStream();
    const element = answer(body, at, this.on.send);
    if (of !== this.newestQuestion && this.questions.has(of)) element.prepend(quoted(this.questions.get(of)));
    this.log.append(element);
  }

  /** Text of a running turn; `offset` counts Unicode code points, as the engine does. */
  partial({ turn, offset, text, done }) {
    if (done || this.answered.has(turn)) {
      if (this.stream?.turn === turn) this.endStream();
      return this.think();
    }
    if (this.stream?.turn !== turn) {
      this.endStream();
      const element = bubble("theirs growing", t("assistant"));
      element.setAttribute("aria-hidden", "true"); // read out once, when it is finished
      this.stream = { turn, text: "", points: 0, element };
      this.tail.prepend(element);
    }
    const stream = this.stream;
    const kept = offset >= stream.points ? stream.text : Array.from(stream.text).slice(0, offset).join("");
    stream.points = Math.min(offset, stream.points) + Array.from(text).length;
    stream.text = kept + text;
    if (!stream.frame) stream.frame = requestAnimationFrame(() => this.paint(stream));
    this.think();
  }

  paint(stream) {
    stream.frame = 0;
    stream.element.querySelector(".text").replaceChildren(render(closed(stream.text)));
    this.on.changed();
  }

  endStream() {
    if (!this.stream) return;
    cancelAnimationFrame(this.stream.frame ?? 0);
    this.stream.element.remove();
    this.stream = null;
  }

  /** Three dots while an answer is awaited and none has begun. */
  think() {
    clearTimeout(this.timer);
    const wanted = !this.stream && this.waiting();
    if (wanted && !this.thinking) {
      this.thinking = bubble("theirs thinking", t("thinking"));
      for (let n = 0; n < 3; n += 1) this.thinking.querySelector(".text").append(document.createElement("i"));
    }
    if (wanted) this.tail.prepend(this.thinking);
    else this.thinking?.remove();
    if (!wanted) this.thinking = null;
    else this.timer = setTimeout(() => this.think(), 5000);
    this.on.changed();
  }

  /** A message that the engine has not taken yet. Drawing it again changes its state. */
  draft(item) {
    const old = this.pending(item.client_id);
    const element = bubble(item.failed ? "mine unsent failed" : "mine unsent", t("you"), item.text);
    element.dataset.client = item.client_id;
    element.append(item.failed ? this.failure(item) : note(t("sending")));
    if (old) old.replaceWith(element);
    else this.tail.append(element);
    this.on.changed();
  }

  failure(item) {
    const line = note(`${t("not_sent")} · ${item.failed[current()]} `);
    line.append(button(t("again"), () => this.on.retry(item.client_id)), " ");
    line.append(button(t("discard"), () => this.on.discard(item.client_id)));
    return line;
  }

  /** Taken; its place in the log comes with its event. */
  taken(clientId) {
    const element = this.pending(clientId);
    element?.classList.remove("unsent");
    element?.querySelector(".note")?.remove();
  }

  pending(clientId) {
    return this.tail.querySelector(`[data-client="${CSS.escape(clientId)}"]`);
  }

  discard(clientId) {
    this.pending(clientId)?.remove();
    this.on.changed();
  }

  divider(text, kind) {
    const element = document.createElement("p");
    element.className = `divider ${kind}`;
    element.append(Object.assign(document.createElement("span"), { textContent: text }));
    this.log.append(element);
  }
}

function bubble(kind, who, text) {
  const element = document.createElement("article");
  element.className = kind;
  const author = document.createElement("h3");
  author.className = "unseen";
  author.textContent = who;
  const body = document.createElement("div");
  body.className = "text";
  if (text !== undefined) body.textContent = text;
  element.append(author, body);
  return element;
}

function note(text) {
  const element = document.createElement("p");
  element.className = "note";
  element.textContent = text;
  return element;
}

function button(text, act, kind = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.className = kind;
  element.textContent = text;
  element.addEventListener("click", act);
  return element;
}

function quoted(text) {
  const element = document.createElement("p");
  element.className = "quoted";
  element.textContent = text;
  return element;
}

function answer(body, at, send) {
  const element = bubble("theirs", t("assistant"));
  const text = element.querySelector(".text");
  const shown = body.text && !(body.card && says(body.card, body.text));
  if (shown) text.append(render(body.text));
  if (body.card) text.append(card(body.card, send, shown ? body.text : ""));
  element.append(foot(body, at));
  return element;
}

/** Which part answered, when, and a button that copies the answer. */
function foot(body, at) {
  const element = document.createElement("p");
  element.className = "foot";
  const [kind, name = ""] = splitOnce(body.produced_by ?? "");
  if (["rule", "model", "command", "engine"].includes(kind)) {
    const source = document.createElement("span");
    source.className = `source ${kind}`;
    source.textContent = t(kind, { name });
    element.append(source);
  }
  const time = document.createElement("time");
  const when = moment(at);
  time.dateTime = when.toISOString();
  time.textContent = when.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
  time.title = when.toLocaleString(document.documentElement.lang);
  element.append(time);
  const copy = button(t("copy"), async () => {
    await navigator.clipboard.writeText(body.text || body.card?.markdown || "");
    copy.textContent = t("copied");
    setTimeout(() => (copy.textContent = t("copy")), 1500);
  }, "copy");
  if (navigator.clipboard) element.append(copy);
  return element;
}

function moment(seconds) {
  return new Date(seconds * 1000);
}

function splitOnce(text) {
  const at = text.indexOf(":");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Whether the card holds every word of the text, which then only stands in for it elsewhere. */
function says(data, text) {
  const parts = [data.title, data.markdown, ...(data.fields ?? []).flat()].filter(Boolean);
  parts.sort((a, b) => b.length - a.length);
  const rest = parts.reduce((left, part) => left.split(part).join(" "), text);
  return !/[\p{L}\p{N}]/u.test(rest);
}

function card(data, send, shown) {
  const element = document.createElement("section");
  element.className = "card";
  if (data.title) element.append(Object.assign(document.createElement("h4"), { textContent: data.title }));
  if (data.markdown && data.markdown !== shown) element.append(render(data.markdown));
  if (data.fields?.length) element.append(fields(data.fields));
  const picture = safe(data.image_url ?? "");
  if (picture) anchor(picture, element).textContent = new URL(picture).host;
  const actions = document.createElement("p");
  actions.className = "actions";
  for (const one of data.buttons ?? []) actions.append(...action(one, send));
  if (actions.childElementCount) element.append(actions);
  return element;
}

function fields(pairs) {
  const list = document.createElement("dl");
  for (const [name, value] of pairs) {
    list.append(Object.assign(document.createElement("dt"), { textContent: name }));
    const detail = document.createElement("dd");
    detail.append(render(String(value)));
    list.append(detail);
  }
  return list;
}

/** A button that opens a page, or one that says its `text` for the person. */
function action(one, send) {
  const style = ["primary", "danger"].includes(one.style) ? `button ${one.style}` : "button";
  const url = safe(one.url ?? "");
  if (url) {
    const holder = document.createDocumentFragment();
    const link = anchor(url, holder);
    link.className = style;
    link.textContent = one.label;
    return [link];
  }
  return typeof one.value?.text === "string" ? [button(one.label, () => send(one.value.text), style)] : [];
}
