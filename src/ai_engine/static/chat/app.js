// The chat page: puts connection, transcript and composer together.
import { Connection } from "./connection.js";
import { SUGGESTIONS, apply, current, t, toggle } from "./i18n.js";
import { Outbox } from "./outbox.js";
import { Transcript } from "./transcript.js";

const $ = (id) => document.getElementById(id);
const scroller = $("scroll");
const log = $("log");
const text = $("text");
const NEAR = 80;

const outbox = new Outbox();
let limit = 10000;
let newest = 0; // the engine's newest event when we connected
let caughtUp = false;
let state = ["connecting", {}];
let countdown = 0;
let following = true; // the reader is at the end and wants to stay there
let pinned = 0; // where we have scrolled to

const transcript = new Transcript(log, $("tail"), {
  send: say,
  retry(clientId) {
    const item = outbox.retry(clientId);
    if (!item) return;
    transcript.draft(item);
    connection.send(item);
  },
  discard(clientId) {
    outbox.remove(clientId);
    transcript.discard(clientId);
  },
  changed: draw,
});

let frames = []; // kept for drawing again in the other language
const FRAMES_MAX = 1500;

const connection = new Connection(outbox, { frame: hear, state: show });

function hear(frame) {
  if (frame.type === "welcome") welcome(frame);
  else if (frame.type === "error") refused(frame);
  else if (frame.type === "ack") transcript.taken(frame.client_id);
  else {
    if (frame.type !== "partial") {
      frames.push(frame);
      if (frames.length > FRAMES_MAX) frames = frames.slice(-FRAMES_MAX);
    }
    tell(frame);
  }
  if (!caughtUp && connection.last >= newest) catchUp();
  draw();
}

function tell(frame) {
  if (frame.type === "event") transcript.event(frame);
  else if (frame.type === "partial") transcript.partial(frame);
  else if (frame.type === "reset") {
    if (frame.n === 0) {
      transcript.clear();
      for (const item of outbox.items) transcript.draft(item);
    } else transcript.divider(t("gap"), "gap");
  }
}

function welcome(frame) {
  if (frame.session !== welcome.session) {
    transcript.clear();
    frames = [];
    caughtUp = false;
    log.setAttribute("aria-live", "off");
    for (const item of outbox.items) transcript.draft(item);
  }
  transcript.endStream(); // the engine tells the running turn's text again
  welcome.session = frame.session;
  limit = frame.text_chars_max;
  newest = frame.n;
}

/** From now on, what comes is new and is read out. */
function catchUp() {
  caughtUp = true;
  setTimeout(() => log.setAttribute("aria-live", "polite"), 300);
}

function refused(frame) {
  const item = outbox.get(frame.client_id ?? "");
  if (item) transcript.draft(item);
  else if (frame.code !== "unauthenticated" && frame.code !== "idle") notice(current() === "zh" ? frame.message_zh : frame.message_en);
}

function show(name, details = {}) {
  state = [name, details];
  clearInterval(countdown);
  if (name === "offline") {
    countdown = setInterval(() => {
      details.seconds = Math.max(0, details.seconds - 1);
      drawState();
    }, 1000);
  }
  if (name === "online") notice("");
  if (name === "signed_out") notice(t("signed_out"), t("sign_in_again"));
  if (name === "old_page") notice(t("old_page"), t("reload"));
  drawState();
}

function drawState() {
  const [name, details] = state;
  $("link").dataset.state = name;
  $("link-text").textContent = name === "signed_out" || name === "old_page" ? "" : t(name, details);
}

function notice(words, act = "") {
  const element = $("notice");
  element.hidden = !words;
  element.textContent = words;
  if (!act) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = act;
  button.addEventListener("click", () => location.replace("/chat"));
  element.append(" ", button);
}

/** Everything that follows from the state: what is shown, enabled, scrolled. */
function draw() {
  $("welcome").hidden = !(transcript.empty && caughtUp);
  const busy = transcript.busy && connection.ready;
  $("stop").hidden = !busy;
  const length = text.value.trim().length;
  $("send").disabled = !length || length > limit || outbox.full;
  stay();
}

/** Keep the end in view, unless the reader has scrolled up since we last put it there. */
function stay() {
  const end = scroller.scrollHeight - scroller.clientHeight;
  if (scroller.scrollTop < Math.min(pinned, end) - NEAR) following = false;
  if (!following) {
    $("newest").hidden = end - scroller.scrollTop < NEAR;
    return;
  }
  scroller.scrollTop = end;
  pinned = scroller.scrollTop;
}

function say(words) {
  const body = words.trim();
  if (!body || outbox.full) return;
  const item = outbox.add(body);
  following = true;
  pinned = 0;
  transcript.draft(item);
  connection.send(item);
}

function submit() {
  const length = Array.from(text.value.trim()).length;
  if (length > limit) return notice(t("too_long", { n: length, limit }));
  notice("");
  say(text.value);
  text.value = "";
  fit();
}

function fit() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, 200)}px`;
  draw();
}

function suggest() {
  const items = SUGGESTIONS[current()].map((one) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const words = Object.assign(document.createElement("strong"), { textContent: one.text });
    const about = Object.assign(document.createElement("span"), { textContent: one.about });
    button.append(words, about);
    button.addEventListener("click", () => {
      say(one.text);
      text.focus();
    });
    item.append(button);
    return item;
  });
  $("suggestions").replaceChildren(...items);
}

/** The same conversation in the other language. */
function translate() {
  toggle();
  suggest();
  drawState();
  const stream = transcript.stream;
  transcript.clear();
  for (const frame of frames) tell(frame);
  if (stream) transcript.partial({ turn: stream.turn, offset: 0, text: stream.text });
  for (const item of outbox.items) transcript.draft(item);
  if (!$("notice").hidden) show(...state);
  draw();
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
text.addEventListener("keydown", (event) => {
  // While an input method composes (Chinese!), Enter belongs to it; 229 is Safari's way to say so.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
text.addEventListener("input", fit);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("stop").hidden && !event.isComposing) connection.stop();
});
$("stop").addEventListener("click", () => {
  connection.stop();
  text.focus();
});
$("new").addEventListener("click", () => {
  say("/new");
  text.focus();
});
$("language").addEventListener("click", translate);
$("newest").addEventListener("click", () => {
  $("newest").hidden = true;
  scroller.scrollTo({ top: scroller.scrollHeight, behavior: "smooth" });
});
scroller.addEventListener("scroll", () => {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
  if (following) $("newest").hidden = true;
});
new ResizeObserver(draw).observe(scroller);
document.querySelector('form[action="/chat/sign-out"]').addEventListener("submit", () => outbox.clear());

apply();
suggest();
for (const item of outbox.items) transcript.draft(item);
connection.open();
text.focus();
