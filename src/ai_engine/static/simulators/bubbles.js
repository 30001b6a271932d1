// Messages as DOM nodes.

import { markdown, plain } from "./markdown.js";
import { clock, day, say } from "./text.js";

const COLOURS = ["#e8864a", "#4a90d9", "#50a573", "#9b6dd0", "#d0628a", "#3a9fa5"];
const RICH = new Set(["markdown", "link", "actionCard", "feedCard", "image"]);

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A line icon; `paths` is SVG path data. */
export function icon(paths, size = 18) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [name, value] of Object.entries({
    viewBox: "0 0 24 24", width: size, height: size, fill: "none", stroke: "currentColor",
    "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  })) svg.setAttribute(name, value);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", paths);
  svg.append(path);
  return svg;
}

export const ICONS = {
  spark: "M12 3l1.9 5.1L19 10l-5.1 1.9L12 17l-1.9-5.1L5 10l5.1-1.9zM18.5 15.5l.8 2.2 2.2.8-2.2.8-.8 2.2-.8-2.2-2.2-.8 2.2-.8z",
  people: "M9 11a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM2.5 20c.5-3.6 3-5.5 6.5-5.5s6 1.9 6.5 5.5M16 4.3a3.4 3.4 0 010 6.4M18 14.9c2 .7 3.2 2.4 3.5 5.1",
  calendar: "M4 6.5h16V20H4zM4 10.5h16M8 3.5v4M16 3.5v4",
  cloud: "M7 18.5a4 4 0 01-.5-8A5.5 5.5 0 0117 9.2a4.7 4.7 0 01.3 9.3z",
  chat: "M4 5h16v11H10l-4.5 3.5V16H4z",
  clip: "M19.5 11.5l-7.8 7.8a5 5 0 01-7-7l8.4-8.4a3.3 3.3 0 014.7 4.7l-8.3 8.3a1.7 1.7 0 01-2.4-2.4l7.6-7.6",
  send: "M4 12l16-8-5 16-3.5-6.5z",
  wire: "M4 8h13M13 4l4 4-4 4M20 16H7M11 12l-4 4 4 4",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  clock: "M12 21a9 9 0 100-18 9 9 0 000 18zM12 7.5V12l3 2",
  alert: "M12 8v5M12 16.4v.1M12 3.5l9.5 16.5h-19z",
  eye: "M3 3l18 18M10.6 5.2A10 10 0 0122 12a13 13 0 01-2.6 3.4M6.5 6.6A13 13 0 002 12c1.5 3.4 5 7 10 7 1.6 0 3-.4 4.3-1",
  file: "M6 3.5h8l4 4v13H6zM14 3.5v4h4",
};

export function avatar(entry, robot) {
  const element = make("span", "avatar");
  element.setAttribute("aria-hidden", "true");
  if (robot) {
    element.classList.add("robot");
    element.append(icon(ICONS.spark, 22));
    return element;
  }
  const name = entry.name || entry.from;
  element.textContent = /^[\u4e00-\u9fff]/.test(name) ? name.slice(-2) : name.slice(0, 1).toUpperCase();
  let sum = 0;
  for (const char of entry.from) sum += char.codePointAt(0);
  element.style.setProperty("--avatar", COLOURS[sum % COLOURS.length]);
  return element;
}

/** One message with its avatar. `asked` is the entry that it answers, if known. */
export function bubble(entry, { me, robotName, asked, resend }) {
  const fromRobot = entry.from === "bot";
  const row = make("article", `message ${entry.from === me ? "mine" : "theirs"} ${fromRobot ? "from-robot" : ""}`);
  row.dataset.n = entry.n;
  row.append(avatar(entry, fromRobot));
  const column = make("div", "column");
  const head = make("div", "head");
  head.append(make("span", "name", entry.name || entry.from), make("time", "", clock(entry.at)));
  const body = make("div", "bubble");
  body.append(content(entry, robotName));
  column.append(head, body);
  const foot = fromRobot ? answered(entry, asked) : status(entry, entry.from === me, resend);
  if (foot) column.append(foot);
  row.append(column);
  return row;
}

function content(entry, robotName) {
  if (entry.url) return shared(entry);
  if (RICH.has(entry.kind)) return markdown(entry.text);
  const mention = `@${robotName}`;
  if (!entry.text.includes(mention)) return plain(entry.text);
  const fragment = plain(entry.text);
  highlight(fragment, mention);
  return fragment;
}

function highlight(fragment, mention) {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const at = node.data.indexOf(mention);
    if (at < 0) continue;
    const rest = node.splitText(at);
    rest.splitText(mention.length);
    const mark = make("span", "mention", mention);
    rest.replaceWith(mark);
    return;
  }
}

function shared(entry) {
  if (entry.kind === "picture" || entry.kind === "image") {
    const picture = make("img", "shared");
    picture.src = entry.url;
    picture.alt = entry.text;
    return picture;
  }
  const link = make("a", "file");
  link.href = entry.url;
  link.download = entry.text || "file";
  link.append(icon(ICONS.file, 26), make("span", "", entry.text || entry.kind), make("small", "", say("download")));
  return link;
}

function answered(entry, asked) {
  const foot = make("div", "foot");
  if (entry.produced_by) {
    const [part, name] = entry.produced_by.split(/:(.*)/s);
    foot.append(make("span", "part", `${say(`by_${part}`) ?? part}${name ? ` · ${name}` : ""}`));
  }
  foot.append(make("span", "", `${say("via")} ${entry.via}`));
  if (asked) foot.append(make("span", "", say("after", Math.max(0, entry.at - asked.at).toFixed(1))));
  return foot;
}

function status(entry, mine, resend) {
  if (!mine) return null;
  const looks = { queued: ICONS.clock, delivered: ICONS.check, undelivered: ICONS.alert, unseen: ICONS.eye };
  const foot = make("div", `foot ${entry.status}`);
  foot.append(icon(looks[entry.status], 14), make("span", "", say(entry.status)));
  if (entry.status === "undelivered") {
    foot.append(make("span", "detail", entry.detail));
    const again = make("button", "link", say("resend"));
    again.type = "button";
    again.addEventListener("click", () => resend(entry.id));
    foot.append(again);
  }
  foot.title = entry.detail;
  return foot;
}

export function divider(seconds) {
  return make("div", "day", day(seconds));
}

export function typing(name) {
  const row = make("article", "message theirs typing");
  row.append(avatar({}, true));
  const body = make("div", "bubble");
  body.setAttribute("aria-label", say("typing", name));
  body.append(make("i"), make("i"), make("i"));
  row.append(body);
  return row;
}

export function empty(group, robotName) {
  const box = make("div", "empty");
  const text = group ? say("groupEmptyText", robotName) : say("emptyText");
  const picture = make("span", "avatar robot");
  picture.append(icon(ICONS.spark, 34));
  box.append(picture, make("h2", "", say("emptyTitle")), make("p", "", text));
  return box;
}
