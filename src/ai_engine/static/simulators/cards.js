// Cards and their buttons, in the page's neutral form: {title, markdown, fields, image}.

import { ICONS, icon, make } from "./dom.js";
import { markdown } from "./markdown.js";
import { say } from "./text.js";

const squeezed = (text) => String(text ?? "").replace(/[^\p{L}\p{N}]/gu, "");

/** Whether there is more to show than a text. */
export function isCard(entry) {
  const card = entry.card ?? {};
  return Boolean(card.title || card.fields?.length || card.image || entry.kind === "card" || entry.kind === "interactive");
}

/** A card as its parts. `text` of an entry is shown beside it only where the card lacks it: some
 *  platforms give the whole card as a text too, others a text above the card. */
export function cardParts(entry, info) {
  const card = entry.card ?? {};
  const fields = card.fields ?? [];
  const inCard = squeezed([card.title, card.markdown, ...fields.flat()].join(""));
  const text = squeezed(entry.text);
  const labels = squeezed(entry.buttons.map((button) => button.label).join(""));
  const parts = [];
  let body = card.markdown;
  if (text && !(inCard + labels).includes(text)) {
    if (inCard && text.includes(inCard)) {
      if (text.replace(inCard, "") !== labels) body = entry.text;
    } else if (squeezed(body) && text.includes(squeezed(body))) body = entry.text;
    else parts.push(section("above", entry.text));
  }
  if (card.title) parts.push(make("h2", "card-title", card.title));
  if (card.image) parts.push(picture(card.image, info, ""));
  if (body) parts.push(section("card-text", body));
  if (fields.length) parts.push(table(fields));
  return parts;
}

function section(className, text) {
  const box = make("div", className);
  box.append(markdown(text));
  return box;
}

function table(fields) {
  const list = make("dl", "fields");
  for (const [name, value] of fields) {
    const words = make("dd");
    words.append(markdown(String(value ?? "")));
    list.append(make("dt", "", String(name ?? "").replace(/[:：]\s*$/, "")), words);
  }
  return list;
}

/** A picture of this simulator; of another host only its link, because this page loads nothing from
 *  other hosts. */
export function picture(address, info, words) {
  const own = address.startsWith("data:image/") ? address : ownAddress(address, info);
  if (!own) return outward(address, words || say("picture"), "outward");
  const image = make("img", "shared");
  image.alt = words || say("picture");
  image.addEventListener("error", () => image.replaceWith(make("span", "missing", image.alt)));
  image.src = own;
  return image;
}

function ownAddress(address, info) {
  if (!URL.canParse(address, location.href)) return "";
  const url = new URL(address, location.href);
  return [location.origin, new URL(info.url).origin].includes(url.origin) ? url.pathname + url.search : "";
}

/** A link that opens another page; only of the web, other addresses are words. */
function outward(address, words, className) {
  const web = URL.canParse(address) && /^https?:$/.test(new URL(address).protocol);
  const element = make(web ? "a" : "span", className);
  element.append(make("span", "", words), icon(ICONS.away, 14));
  element.title = address;
  if (web) {
    element.href = address;
    element.target = "_blank";
    element.rel = "noopener noreferrer nofollow";
  }
  return element;
}

/** The row of buttons, or null. A button keeps its number even where one before it is not shown. */
export function buttonRow(entry, { can, press, pressed }) {
  const shown = entry.buttons.map((button, n) => [button, n]).filter(([button]) => !button.feedback);
  if (!shown.length) return null;
  const row = make("div", "card-buttons");
  for (const [button, n] of shown) {
    const style = ["primary", "danger"].includes(button.style) ? button.style : "";
    if (button.url) {
      row.append(outward(button.url, button.label, `card-button ${style}`));
      continue;
    }
    const element = make("button", `card-button ${style}`, button.label);
    element.type = "button";
    element.disabled = !can.includes("press");
    if (pressed(entry.id, n)) {
      element.classList.add("pressed");
      element.prepend(icon(ICONS.check, 14));
    }
    element.addEventListener("click", () => press(entry, n));
    row.append(element);
  }
  return row;
}
