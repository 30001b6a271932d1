// The simulated company chat: who writes, in which conversation, and what comes back.

import { actsOf, notice, post } from "./acts.js";
import { avatar, bubble, divider, empty, gone, typing } from "./bubbles.js";
import { drawConnect } from "./connect.js";
import { ICONS, icon, make } from "./dom.js";
import { kept, packed, theme } from "./browser.js";
import { addRow, drawFaults, nameDrawer, openDrawer, wireDrawer } from "./drawer.js";
import { flavour } from "./markdown.js";
import { clock, currentLanguage, day, say, setLanguage } from "./text.js";

const ENTRIES_MAX = 1000;
const FILE_BYTES_MAX = 15 * 1024 * 1024;
const TYPING_SECONDS = 120;
const at = (id) => document.getElementById(id);

let info = null;
let me = "";
let open = "private";
let entries = new Map();
let unread = new Map();
let state = { engine: "unknown", connections: 0, mode: "none" };
let lost = false;
let editing = null;
let draft = "";

const person = () => info.people.find((p) => p.id === me);
const platform = () => info[`name_${currentLanguage()}`];
/** Which of the two conversations on show an entry is in: private, group, or neither. */
const kindOf = (entry) => {
  if (entry.conversation === person().private) return "private";
  return entry.chat === "group" && [info.group?.id, info.group_conversation].includes(entry.conversation) ? "group" : "";
};
const inConversation = (kind) => [...entries.values()].filter((entry) => kindOf(entry) === kind);
const acts = actsOf({ me: () => me, begin: startEditing, again: changed });

async function start() {
  setLanguage(kept.get("language", navigator.language.startsWith("zh") ? "zh" : "en"));
  theme(kept.get("theme", "auto"));
  await learn();
  state = info.state;
  me = info.people.some((p) => p.id === kept.get("me")) ? kept.get("me") : info.people[0].id;
  document.documentElement.dataset.platform = info.platform;
  flavour(info.platform);
  wireControls();
  wireDrawer();
  name();
  listen();
  at("text").focus();
}

/** Who is here and how to connect; which private chat somebody has changes with what happens. */
async function learn() {
  info = await (await fetch("/sim/info")).json();
}

/** Live news; the browser reconnects by itself, and `hello` loads what was missed. */
function listen() {
  const events = new EventSource("/sim/events");
  const on = (kind, act) => events.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("hello", async ({ last }) => {
    lost = false;
    entries = new Map();
    await learn();
    const answer = await fetch(`/sim/transcript?after=${Math.max(0, last - ENTRIES_MAX)}`);
    const found = (await answer.json()).map((entry) => [entry.n, entry]);
    entries = new Map([...found, ...entries]); // what came in the meantime is newer
    draw();
    drawConnect(info);
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

async function arrived(entry) {
  entries.set(entry.n, entry);
  while (entries.size > ENTRIES_MAX) entries.delete(entries.keys().next().value);
  if (entry.chat === "private" && !info.people.some((p) => p.private === entry.conversation)) await learn();
  if (kindOf(entry) !== open) {
    unread.set(entry.conversation, (unread.get(entry.conversation) ?? 0) + 1);
  } else if (!at("messages").querySelector(`[data-n="${entry.n}"]`)) {
    const follow = nearEnd();
    append(entries.get(entry.n) ?? entry);
    drawTyping();
    if (follow || entry.from === me) toEnd();
  }
  drawConversations();
}

/** A message drawn anew, in place; who reads its end or has one of its buttons keeps them. */
function changed(entry) {
  if (!entries.has(entry.n)) return;
  entries.set(entry.n, entry);
  const before = at("messages").querySelector(`[data-n="${entry.n}"]`);
  if (before) {
    const follow = nearEnd();
    const held = [...before.querySelectorAll("button, a")].indexOf(document.activeElement);
    const after = asBubble(entry);
    after.classList.add("still");
    before.replaceWith(after);
    if (held >= 0) after.querySelectorAll("button, a")[held]?.focus({ preventScroll: true });
    if (follow) toEnd();
  }
  if (editing?.n === entry.n && gone(entry)) stopEditing();
  drawTyping();
  drawConversations();
}

function nearEnd() {
  const messages = at("messages");
  return messages.scrollHeight - messages.scrollTop - messages.clientHeight < 120;
}

function toEnd() {
  at("messages").scrollTop = at("messages").scrollHeight;
}

function asBubble(entry) {
  const asked = entry.reply_to && [...entries.values()].find((e) => e.id === entry.reply_to);
  return bubble(entry, { me, info, asked, acts });
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
  const here = inConversation(open);
  const lastBot = here.findLast((entry) => entry.from === "bot")?.n ?? 0;
  const answered = new Set(here.map((entry) => entry.reply_to));
  const now = Date.now() / 1000;
  const waits = here.some(
    (entry) =>
      entry.from !== "bot" && ["queued", "delivered"].includes(entry.status) && !gone(entry) && !answered.has(entry.id) &&
      entry.n > lastBot && now - entry.at < TYPING_SECONDS,
  );
  if (!waits) return;
  const follow = nearEnd();
  messages.append(typing(info.robot_name));
  if (follow) toEnd();
}

function draw() {
  const messages = at("messages");
  if (open === "group" && !info.group) open = "private";
  const here = inConversation(open);
  messages.replaceChildren();
  delete messages.dataset.last;
  if (here.length) here.forEach(append);
  else messages.append(empty(open === "group", info.robot_name, platform()));
  drawTyping();
  toEnd();
  at("title").textContent = open === "group" ? info.group.title : info.robot_name;
  at("subtitle").textContent = open === "group" ? say("groupLine", info.robot_name) : say("assistantLine");
  at("enter").hidden = open === "group" || !info.can.includes("enter");
  at("mention").hidden = open !== "group";
  at("text").placeholder = open === "group" ? say("groupPlaceholder", info.robot_name) : say("placeholder");
  drawConversations();
  drawHint();
}

function drawConversations() {
  const shown = [conversation("private", info.robot_name)];
  if (info.group) shown.push(conversation("group", info.group.title));
  const held = [...at("conversations").children].indexOf(document.activeElement);
  at("conversations").replaceChildren(...shown);
  if (held >= 0) shown[held]?.focus();
}

function conversation(kind, title) {
  const button = make("button", "conversation");
  button.type = "button";
  button.setAttribute("aria-current", String(kind === open));
  const picture = avatar({ from: kind, name: title }, kind === "private");
  if (kind === "group") {
    picture.classList.add("group");
    picture.replaceChildren(icon(ICONS.people, 22));
  }
  const here = inConversation(kind);
  const last = here.at(-1);
  if (kind === open) for (const entry of here) unread.delete(entry.conversation);
  const lines = make("span", "lines");
  const top = make("span", "top");
  top.append(make("strong", "", title), make("time", "", last ? clock(last.at) : ""));
  const bottom = make("span", "bottom");
  bottom.append(make("span", "words", last ? preview(last) : say(kind)));
  const count = [...new Set(here.map((entry) => entry.conversation))].reduce((sum, id) => sum + (unread.get(id) ?? 0), 0);
  if (count) bottom.append(make("span", "unread", String(count)));
  lines.append(top, bottom);
  button.append(picture, lines);
  button.addEventListener("click", () => {
    open = kind;
    stopEditing();
    draw();
    at("text").focus();
  });
  return button;
}

function preview(entry) {
  if (gone(entry)) return "…";
  const words = (entry.text || entry.card?.title || entry.card?.markdown || "…").replace(/[*#>`]/g, "").trim().slice(0, 60);
  return entry.from === me ? words : `${entry.name || entry.from}: ${words}`;
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
  const mode = { stream: "good", http: "good", none: "bad" }[state.mode] ?? "off";
  at("state").replaceChildren(line(engine, say(`engine_${state.engine}`)));
  if (state.mode) at("state").append(line(mode, say(`mode_${state.mode}`, state.connections)));
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
  document.title = say("simulated", platform());
  at("simulated").textContent = document.title;
  at("me").replaceChildren(...info.people.map((p) => new Option(`${p.name} · ${p.title}`, p.id, false, p.id === me)));
  at("me").value = me;
  at("language").textContent = say("otherLanguage");
  at("theme").textContent = say("themes")[document.documentElement.dataset.theme];
  at("send").replaceChildren(icon(ICONS.send, 16), make("span", "", say(editing ? "save" : "send")));
  at("enter").replaceChildren(icon(ICONS.door), make("span", "", say("enter")));
  at("enter").title = say("enterHint");
  at("attach").replaceChildren(icon(ICONS.clip));
  at("attach").title = say("attach");
  at("attach").setAttribute("aria-label", say("attach"));
  at("mention").title = say("mention", info.robot_name);
  at("prompts").replaceChildren(...say("prompts").map(prompt));
  notice("");
  nameDrawer();
  drawConnect(info);
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

/** The private chat that a person has is known best by the platform itself, so it is not named. */
function address() {
  return { user: me, name: person().name, chat: open, ...(open === "group" && { at: false }) };
}

function send(text) {
  return post("/sim/send", { ...address(), text });
}

/** Someone's own message in the composer, to be changed there. */
function startEditing(entry) {
  if (!editing) draft = at("text").value;
  editing = entry;
  showEditing(entry.text);
  at("text").setSelectionRange(entry.text.length, entry.text.length);
}

function stopEditing() {
  if (!editing) return;
  editing = null;
  showEditing(draft);
}

function showEditing(words) {
  at("editing").hidden = !editing;
  at("send").lastElementChild.textContent = say(editing ? "save" : "send");
  at("text").value = words;
  at("text").dispatchEvent(new Event("input"));
  at("text").focus();
}

async function enter() {
  const name = person().name;
  if (!(await post("/sim/enter", { user: me, name }))) return;
  await learn();
  draw();
  notice(say("entered", name));
}

async function sendFile(file) {
  if (file.size > FILE_BYTES_MAX) notice(say("tooLarge"));
  else await post("/sim/send", { ...address(), file: await packed(file) });
}

/** Who reads the newest message goes on seeing it when the window or the drawer changes. */
function keepAtEnd() {
  const messages = at("messages");
  let atEnd = true;
  messages.addEventListener("scroll", () => {
    atEnd = nearEnd();
  });
  const keep = () => atEnd && toEnd();
  new ResizeObserver(keep).observe(messages);
  messages.addEventListener("load", keep, true); // a picture has its height only now
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
    if (event.key === "Escape") stopEditing();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("composer").requestSubmit();
  });
  at("composer").addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words) return;
    if (editing) {
      if (await post("/sim/edit", { message_id: editing.id, text: words })) stopEditing();
      return;
    }
    if (!(await send(words))) return;
    text.value = "";
    grow();
  });
  at("mention").addEventListener("click", () => {
    text.setRangeText(`@${info.robot_name} `, text.selectionStart, text.selectionEnd, "end");
    text.focus();
    grow();
  });
  at("stop-editing").addEventListener("click", stopEditing);
  at("enter").addEventListener("click", enter);
  at("attach").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", async () => {
    for (const file of at("file").files) await sendFile(file);
    at("file").value = "";
  });
  at("me").addEventListener("change", () => {
    me = at("me").value;
    kept.set("me", me);
    stopEditing();
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
