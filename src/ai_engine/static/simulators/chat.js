// The simulated company chat: who writes, in which conversation, and what comes back.

import { ICONS, avatar, bubble, divider, empty, icon, make, typing } from "./bubbles.js";
import { addRow, drawFaults, nameDrawer, openDrawer, wireDrawer } from "./drawer.js";
import { clock, currentLanguage, day, say, setLanguage } from "./text.js";

const ENTRIES_MAX = 1000;
const FILE_BYTES_MAX = 15 * 1024 * 1024;
const TYPING_SECONDS = 120;
const at = (id) => document.getElementById(id);

const kept = {
  get: (name, other) => {
    try {
      return localStorage.getItem(`sim.${name}`) ?? other;
    } catch {
      return other; // storage may be switched off
    }
  },
  set: (name, value) => {
    try {
      localStorage.setItem(`sim.${name}`, value);
    } catch { /* then it is forgotten */ }
  },
};

let info = null;
let me = "";
let open = "private";
let entries = new Map();
let unread = new Map();
let state = { engine: "unknown", connections: 0, mode: "none" };
let lost = false;

const privateId = (user) => [...entries.values()].findLast((e) => e.chat === "private" && e.from === user)?.conversation ?? `cid-private-${user}`;
const conversationId = () => (open === "group" ? info.group.id : privateId(me));
const inConversation = (id) => [...entries.values()].filter((entry) => entry.conversation === id);
const person = () => info.people.find((p) => p.id === me);

async function start() {
  setLanguage(kept.get("language", navigator.language.startsWith("zh") ? "zh" : "en"));
  theme(kept.get("theme", "auto"));
  info = await (await fetch("/sim/info")).json();
  state = info.state;
  me = info.people.some((p) => p.id === kept.get("me")) ? kept.get("me") : info.people[0].id;
  wireControls();
  wireDrawer();
  name();
  listen();
  at("text").focus();
}

/** Live news; the browser reconnects by itself, and `hello` loads what was missed. */
function listen() {
  const events = new EventSource("/sim/events");
  const on = (kind, act) => events.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("hello", async ({ last }) => {
    lost = false;
    const answer = await fetch(`/sim/transcript?after=${Math.max(0, last - ENTRIES_MAX)}`);
    entries = new Map((await answer.json()).map((entry) => [entry.n, entry]));
    draw();
    if (!at("drawer").hidden) openDrawer(true);
  });
  on("entry", arrived);
  on("status", changed);
  on("request", addRow);
  on("faults", drawFaults);
  on("state", (news) => {
    state = news;
    drawState();
  });
  events.onerror = () => {
    lost = true;
    drawState();
  };
}

function arrived(entry) {
  entries.set(entry.n, entry);
  while (entries.size > ENTRIES_MAX) entries.delete(entries.keys().next().value);
  if (entry.conversation !== conversationId()) {
    unread.set(entry.conversation, (unread.get(entry.conversation) ?? 0) + 1);
  } else {
    const messages = at("messages");
    const below = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 120;
    append(entry);
    drawTyping();
    if (below || entry.from === me) messages.scrollTop = messages.scrollHeight;
  }
  drawConversations();
}

function changed(entry) {
  if (!entries.has(entry.n)) return;
  entries.set(entry.n, entry);
  at("messages").querySelector(`[data-n="${entry.n}"]`)?.replaceWith(asBubble(entry));
  drawTyping();
}

function asBubble(entry) {
  const asked = entry.reply_to && [...entries.values()].find((e) => e.id === entry.reply_to);
  return bubble(entry, { me, robotName: info.robot_name, asked, resend });
}

async function resend(message_id) {
  await post("/sim/resend", { message_id });
}

function append(entry) {
  const messages = at("messages");
  messages.querySelector(".empty")?.remove();
  const last = Number(messages.dataset.last ?? 0);
  if (!last || day(last) !== day(entry.at)) messages.append(divider(entry.at));
  messages.dataset.last = entry.at;
  messages.append(asBubble(entry));
}

/** Dots while a question that the engine took has no answer yet. */
function drawTyping() {
  const messages = at("messages");
  messages.querySelector(".typing")?.remove();
  const here = inConversation(conversationId());
  const lastBot = here.findLast((entry) => entry.from === "bot")?.n ?? 0;
  const answered = new Set(here.map((entry) => entry.reply_to));
  const now = Date.now() / 1000;
  const waits = here.some(
    (entry) =>
      entry.from !== "bot" && ["queued", "delivered"].includes(entry.status) && !answered.has(entry.id) &&
      entry.n > lastBot && now - entry.at < TYPING_SECONDS,
  );
  if (!waits) return;
  const below = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 120;
  messages.append(typing(info.robot_name));
  if (below) messages.scrollTop = messages.scrollHeight;
}

function draw() {
  const messages = at("messages");
  const here = inConversation(conversationId());
  messages.replaceChildren();
  delete messages.dataset.last;
  unread.delete(conversationId());
  if (here.length) here.forEach(append);
  else messages.append(empty(open === "group", info.robot_name));
  drawTyping();
  messages.scrollTop = messages.scrollHeight;
  at("title").textContent = open === "group" ? info.group.title : info.robot_name;
  at("subtitle").textContent = open === "group" ? say("groupLine", info.robot_name) : say("assistantLine");
  at("mention").hidden = open !== "group";
  at("text").placeholder = open === "group" ? say("groupPlaceholder", info.robot_name) : say("placeholder");
  drawConversations();
  drawHint();
}

function drawConversations() {
  at("conversations").replaceChildren(
    conversation("private", privateId(me), info.robot_name),
    conversation("group", info.group.id, info.group.title),
  );
}

function conversation(kind, id, title) {
  const button = make("button", "conversation");
  button.type = "button";
  button.setAttribute("aria-current", String(kind === open));
  const picture = avatar({ from: id, name: title }, kind === "private");
  if (kind === "group") {
    picture.classList.add("group");
    picture.replaceChildren(icon(ICONS.people, 22));
  }
  const last = inConversation(id).at(-1);
  const lines = make("span", "lines");
  const top = make("span", "top");
  top.append(make("strong", "", title), make("time", "", last ? clock(last.at) : ""));
  const words = last ? `${last.from === me ? "" : `${last.name}: `}${last.text.replace(/[*#>`]/g, "").slice(0, 60)}` : say(kind);
  const bottom = make("span", "bottom");
  bottom.append(make("span", "words", words));
  if (unread.get(id)) bottom.append(make("span", "unread", String(unread.get(id))));
  lines.append(top, bottom);
  button.append(picture, lines);
  button.addEventListener("click", () => {
    open = kind;
    draw();
    at("text").focus();
  });
  return button;
}

function drawState() {
  const line = (good, words) => {
    const row = make("div", `line ${good}`);
    row.append(make("span", "dot"), make("span", "", words));
    return row;
  };
  if (lost) {
    at("state").replaceChildren(line("bad", say("page_lost")));
    return;
  }
  const engine = { ready: "good", unreachable: "bad", not_ready: "warm" }[state.engine] ?? "off";
  const mode = { stream: "good", http: "good", none: "bad" }[state.mode];
  at("state").replaceChildren(
    line(engine, say(`engine_${state.engine}`)),
    line(mode, say(`mode_${state.mode}`, state.connections)),
  );
}

function drawHint() {
  const mention = `@${info.robot_name}`;
  const missing = open === "group" && at("text").value.trim() !== "" && !at("text").value.includes(mention);
  at("hint").hidden = !missing;
  at("hint").textContent = missing ? say("needMention", info.robot_name) : "";
}

/** Put every word of the page in the current language. */
function name() {
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  document.title = say("pageTitle");
  at("me").replaceChildren(...info.people.map((p) => new Option(`${p.name} · ${p.title}`, p.id, false, p.id === me)));
  at("me").value = me;
  at("language").textContent = say("otherLanguage");
  at("theme").textContent = say("themes")[document.documentElement.dataset.theme];
  at("send").replaceChildren(icon(ICONS.send, 16), make("span", "", say("send")));
  at("attach").replaceChildren(icon(ICONS.clip));
  at("attach").title = say("attach");
  at("attach").setAttribute("aria-label", say("attach"));
  at("mention").title = say("mention", info.robot_name);
  at("prompts").replaceChildren(...say("prompts").map(prompt));
  nameDrawer();
  drawState();
  draw();
}

function prompt(text, n) {
  const chip = make("button", "chip");
  chip.type = "button";
  chip.append(icon([ICONS.calendar, ICONS.cloud, ICONS.chat][n], 16), make("b", "", say("promptKinds")[n]), make("span", "", text));
  chip.addEventListener("click", () => send(open === "group" ? `@${info.robot_name} ${text}` : text));
  return chip;
}

function theme(chosen) {
  document.documentElement.dataset.theme = chosen;
  kept.set("theme", chosen);
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) {
    const problem = await answer.json();
    at("hint").hidden = false;
    at("hint").textContent = `${say("failed")}${problem.message}`;
  }
  return answer.ok;
}

function address() {
  const group = open === "group";
  return { user: me, name: person().name, chat: open, conversation: conversationId(), ...(group && { at: false }) };
}

function send(text) {
  return post("/sim/send", { ...address(), text });
}

async function sendFile(file) {
  if (file.size > FILE_BYTES_MAX) {
    at("hint").hidden = false;
    at("hint").textContent = say("tooLarge");
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let from = 0; from < bytes.length; from += 32768) binary += String.fromCharCode(...bytes.subarray(from, from + 32768));
  const kind = file.type.startsWith("image/") ? "picture" : file.type.startsWith("video/") ? "video" : "file";
  const given = { kind, name: file.name, mime: file.type || "application/octet-stream", base64: btoa(binary) };
  await post("/sim/send", { ...address(), file: given });
}

/** Who reads the newest message goes on seeing it when the window or the drawer changes. */
function keepAtEnd() {
  const messages = at("messages");
  let atEnd = true;
  messages.addEventListener("scroll", () => {
    atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 120;
  });
  new ResizeObserver(() => {
    if (atEnd) messages.scrollTo({ top: messages.scrollHeight, behavior: "instant" });
  }).observe(messages);
}

function wireControls() {
  keepAtEnd();
  const text = at("text");
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
    drawHint();
  };
  text.addEventListener("input", grow);
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("composer").requestSubmit();
  });
  at("composer").addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || !(await send(words))) return;
    text.value = "";
    grow();
  });
  at("mention").addEventListener("click", () => {
    text.setRangeText(`@${info.robot_name} `, text.selectionStart, text.selectionEnd, "end");
    text.focus();
    grow();
  });
  at("attach").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", async () => {
    for (const file of at("file").files) await sendFile(file);
    at("file").value = "";
  });
  at("me").addEventListener("change", () => {
    me = at("me").value;
    kept.set("me", me);
    draw();
  });
  at("language").addEventListener("click", () => {
    setLanguage(currentLanguage() === "zh" ? "en" : "zh");
    kept.set("language", currentLanguage());
    name();
  });
  at("theme").addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    theme(order[(order.indexOf(document.documentElement.dataset.theme) + 1) % 3]);
    at("theme").textContent = say("themes")[document.documentElement.dataset.theme];
  });
}

start();
