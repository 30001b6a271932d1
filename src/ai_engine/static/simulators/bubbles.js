// Messages as DOM nodes.

import { buttonRow, cardParts, isCard, picture } from "./cards.js";
import { ICONS, icon, iconButton, make } from "./dom.js";
import { markdown, plain } from "./markdown.js";
import { clock, day, say } from "./text.js";

const COLOURS = ["#c0652a", "#3579c0", "#2f8254", "#8257b8", "#b84a74", "#287d83"];
const PICTURES = new Set(["picture", "image"]);
const PLAIN = new Set(["text", "picture", "file", "audio", "video"]);

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

/** Whether its sender has taken it back; platforms mark that each in their way. */
export function gone(entry) {
  const deleted = ["deleted", "recalled"].includes(entry.detail) && !entry.text;
  return entry.recalled || entry.status === "deleted" || deleted;
}

/** One message with its avatar. `asked` is the entry that it answers, if known; `acts` is what the
 *  person can do with it. */
export function bubble(entry, { me, info, asked, acts }) {
  const fromRobot = entry.from === "bot";
  const mine = entry.from === me;
  const row = make("article", `message ${mine ? "mine" : "theirs"}`);
  row.classList.toggle("from-robot", fromRobot);
  row.dataset.n = entry.n;
  if (gone(entry)) {
    row.classList.add("gone");
    row.append(make("p", "", say(fromRobot ? "deletedBy" : "recalledBy", mine ? say("you") : entry.name || entry.from)));
    return row;
  }
  if (entry.state) row.classList.add(entry.state);
  row.setAttribute("aria-busy", String(entry.state === "streaming"));
  const column = make("div", "column");
  const head = make("div", "head");
  head.append(make("span", "name", entry.name || entry.from), make("time", "", clock(entry.at)));
  column.append(head, body(entry, info, acts));
  const foot = fromRobot ? answered(entry, asked) : status(entry, mine, acts);
  const tools = fromRobot ? ratings(entry, info, acts) : ownTools(entry, mine, info, acts);
  if (tools) foot?.append(tools);
  if (foot) column.append(foot);
  row.append(avatar(entry, fromRobot), column);
  return row;
}

function body(entry, info, acts) {
  const box = make("div", "bubble");
  if (isCard(entry)) {
    box.classList.add("card");
    box.append(...cardParts(entry, info));
  } else if (entry.text || entry.card?.markdown || entry.url) box.append(content(entry, info));
  if (entry.state === "streaming") box.append(dots("growing"));
  const buttons = buttonRow(entry, { can: info.can, ...acts });
  if (buttons) box.append(buttons);
  return box;
}

function dots(className) {
  const box = make("span", className);
  box.append(make("i"), make("i"), make("i"));
  return box;
}

function content(entry, info) {
  if (entry.url) return shared(entry, info);
  if (!PLAIN.has(entry.kind)) return markdown(entry.text || entry.card?.markdown || "");
  const mention = `@${info.robot_name}`;
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

function shared(entry, info) {
  if (PICTURES.has(entry.kind)) {
    const named = /^[^\s]+\.\w{2,5}$|^(picture|image)?$/.test(entry.text);
    const image = picture(entry.url, info, named ? entry.text : say("picture"));
    if (named) return image;
    const both = document.createDocumentFragment();
    const words = make("div", "caption");
    words.append(markdown(entry.text));
    both.append(image, words);
    return both;
  }
  const link = make("a", "file");
  link.href = entry.url;
  link.download = entry.title || entry.text || "file";
  link.append(icon(ICONS.file, 26), make("span", "", entry.title || entry.text || entry.kind), make("small", "", say("download")));
  return link;
}

function answered(entry, asked) {
  const foot = make("div", "foot");
  if (entry.produced_by) {
    const [part, name] = entry.produced_by.split(/:(.*)/s);
    foot.append(make("span", "part", `${say(`by_${part}`) ?? part}${name ? ` · ${name}` : ""}`));
  }
  if (entry.state === "streaming") foot.append(make("span", "writing", say("writing")));
  if (entry.state === "failed") {
    foot.classList.add("undelivered");
    foot.append(icon(ICONS.alert, 14), make("span", "", say("broken")));
  }
  if (edited(entry)) foot.append(make("span", "edited", say("edited")));
  if (entry.via) foot.append(make("span", "", `${say("via")} ${entry.via}`));
  if (asked) foot.append(make("span", "", say("after", Math.max(0, entry.at - asked.at).toFixed(1))));
  if (entry.detail) foot.append(make("span", "detail", entry.detail));
  return foot;
}

/** A stream replaces its own text all the time: that is no edit. */
function edited(entry) {
  return entry.edits > 0 && entry.state === "";
}

function status(entry, mine, acts) {
  if (!mine) {
    if (!edited(entry)) return null;
    const foot = make("div", "foot");
    foot.append(make("span", "edited", say("edited")));
    return foot;
  }
  const looks = { queued: ICONS.clock, delivered: ICONS.check, undelivered: ICONS.alert, unseen: ICONS.eye };
  const foot = make("div", `foot ${entry.status}`);
  foot.append(icon(looks[entry.status] ?? ICONS.check, 14), make("span", "", say(entry.status) ?? entry.status));
  if (edited(entry)) foot.append(make("span", "edited", say("edited")));
  if (entry.status === "undelivered") {
    foot.append(make("span", "detail", entry.detail));
    const again = make("button", "link", say("resend"));
    again.type = "button";
    again.addEventListener("click", () => acts.resend(entry));
    foot.append(again);
  }
  foot.title = entry.detail;
  return foot;
}

function ratings(entry, info, acts) {
  if (!info.can.includes("rate") || entry.state === "streaming") return null;
  const tools = make("span", "tools");
  for (const [rating, paths, words] of [["good", ICONS.up, "rateGood"], ["bad", ICONS.down, "rateBad"]]) {
    const given = entry.rating === rating;
    const button = iconButton(`tool ${rating}`, paths, say(words), () => acts.rate(entry, given ? "none" : rating));
    button.setAttribute("aria-pressed", String(given));
    tools.append(button);
  }
  return tools;
}

function ownTools(entry, mine, info, acts) {
  if (!mine) return null;
  const tools = make("span", "tools");
  if (info.can.includes("edit") && !entry.url) tools.append(iconButton("tool edit", ICONS.pencil, say("edit"), () => acts.edit(entry)));
  if (info.can.includes("recall")) tools.append(iconButton("tool recall", ICONS.undo, say("recall"), () => acts.recall(entry)));
  return tools.childElementCount ? tools : null;
}

export function divider(seconds) {
  return make("div", "day", day(seconds));
}

export function typing(name) {
  const row = make("article", "message theirs typing");
  row.append(avatar({}, true));
  const body = make("div", "bubble");
  body.setAttribute("aria-label", say("typing", name));
  body.append(dots("growing"));
  row.append(body);
  return row;
}

export function empty(group, robotName, platform) {
  const box = make("div", "empty");
  const text = group ? say("groupEmptyText", robotName) : say("emptyText", platform);
  const picture = make("span", "avatar robot");
  picture.append(icon(ICONS.spark, 34));
  box.append(picture, make("h2", "", say("emptyTitle")), make("p", "", text));
  return box;
}
