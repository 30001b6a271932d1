// Markdown as DOM nodes: headings, quotes, lists, bold, italic, struck, links, code, and tables where
// the platform shows them. Text only ever becomes text nodes, so nothing that an engine sends can
// become markup. Pictures become links, because this page loads nothing from other hosts.

const SPAN =
  /(`+)([^`]+)\1|\*\*(\S(?:.*?\S)?)\*\*|\*(\S(?:[^*]*?\S)?)\*|~~(\S(?:.*?\S)?)~~|(!?)\[([^\[\]]*)\]\(([^\s()]+)\)|(https?:\/\/[^\s<>"'）】」，。；！？]+)|(?<!\w)_(\S(?:[^_]*?\S)?)_(?!\w)/g;
const FENCE = /^\s*(`{3,}|~{3,})/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;
const RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
/** These show a table as it is written. */
const NO_TABLES = new Set(["dingtalk", "wecom", "telegram"]);
const COLUMNS_MAX = 30;
const DEPTH_MAX = 6;
const LINE_MAX = 5000;

let tables = true;
let mrkdwn = false;

/** What is particular about a platform's markdown; Slack writes `*bold*`, `~struck~`, `<url|words>`. */
export function flavour(platform) {
  tables = !NO_TABLES.has(platform);
  mrkdwn = platform === "slack";
}

/** A fragment for a markdown text. */
export function markdown(source) {
  const fragment = document.createDocumentFragment();
  blocks((mrkdwn ? fromMrkdwn(source) : source).replace(/\r\n?/g, "\n").split("\n"), fragment, 0);
  return fragment;
}

function fromMrkdwn(source) {
  return source
    .replace(/<(https?:[^|>\s]+)\|([^>\n]+)>/g, "[$2]($1)")
    .replace(/<(https?:[^|>\s]+)>/g, "$1")
    .replace(/(^|\s)~(\S[^~\n]*)~(?!~)/g, "$1~~$2~~")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}

/** A fragment for plain text: lines and links only. */
export function plain(source) {
  const fragment = document.createDocumentFragment();
  const paragraph = add(fragment, "p");
  source.split("\n").forEach((line, at) => {
    if (at) add(paragraph, "br");
    let done = 0;
    for (const found of line.matchAll(/https?:\/\/[^\s<>"'）】」，。；！？]+/g)) {
      paragraph.append(line.slice(done, found.index));
      bareLink(paragraph, found[0]);
      done = found.index + found[0].length;
    }
    paragraph.append(line.slice(done));
  });
  return fragment;
}

function add(parent, tag) {
  const element = document.createElement(tag);
  parent.append(element);
  return element;
}

function blocks(lines, parent, depth) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (!line.trim()) at += 1;
    else if (FENCE.test(line)) at = fence(lines, at, parent);
    else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) at = (add(parent, "hr"), at + 1);
    else if (heading) {
      spans(heading[2], add(parent, `h${Math.min(heading[1].length + 1, 6)}`), 0);
      at += 1;
    } else if (isTable(lines, at)) at = table(lines, at, parent);
    else if (/^\s*>/.test(line) && depth < DEPTH_MAX) at = quote(lines, at, parent, depth);
    else if (ITEM.test(line) && depth < DEPTH_MAX) at = list(lines, at, parent, depth);
    else at = paragraph(lines, at, parent);
  }
}

function fence(lines, at, parent) {
  const mark = FENCE.exec(lines[at])[1];
  const body = [];
  for (at += 1; at < lines.length && !lines[at].trim().startsWith(mark); at += 1) body.push(lines[at]);
  add(add(parent, "pre"), "code").textContent = body.join("\n");
  return at + 1;
}

function quote(lines, at, parent, depth) {
  const body = [];
  for (; at < lines.length && /^\s*>/.test(lines[at]); at += 1) body.push(lines[at].replace(/^\s*> ?/, ""));
  blocks(body, add(parent, "blockquote"), depth + 1);
  return at;
}

function isTable(lines, at) {
  return tables && lines[at].includes("|") && (lines[at + 1] ?? "").includes("|") && RULE.test(lines[at + 1]);
}

function cells(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return bare.split(/(?<!\\)\|/).slice(0, COLUMNS_MAX).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function table(lines, at, parent) {
  const scroll = add(parent, "div");
  scroll.className = "table";
  const element = add(scroll, "table");
  const row = (section, tag, line) => {
    const shown = add(section, "tr");
    for (const cell of cells(line)) spans(cell, add(shown, tag), 0);
  };
  row(add(element, "thead"), "th", lines[at]);
  const body = add(element, "tbody");
  for (at += 2; at < lines.length && lines[at].includes("|"); at += 1) row(body, "td", lines[at]);
  return at;
}

function list(lines, at, parent, depth) {
  const [, indent, bullet, first] = ITEM.exec(lines[at]);
  const element = add(parent, bullet ? "ul" : "ol");
  if (first && first !== "1") element.start = Number(first);
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (!found || found[1].length !== indent.length || Boolean(found[2]) !== Boolean(bullet)) break;
    const item = add(element, "li");
    spans(found[4], item, 0);
    const inner = [];
    for (at += 1; at < lines.length && isInside(lines[at], indent.length); at += 1) inner.push(lines[at].slice(indent.length + 1));
    blocks(inner, item, depth + 1);
    if (at + 1 < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1])) at += 1;
  }
  return at;
}

function isInside(line, indent) {
  return line.trim() !== "" && line.length - line.trimStart().length > indent;
}

function paragraph(lines, at, parent) {
  const element = add(parent, "p");
  const starts = (line) => FENCE.test(line) || ITEM.test(line) || /^(#{1,6}\s|\s*>)/.test(line);
  for (let first = true; at < lines.length && lines[at].trim() && (first || !(starts(lines[at]) || isTable(lines, at))); at += 1) {
    if (!first) add(element, "br");
    spans(lines[at].trim(), element, 0);
    first = false;
  }
  return at;
}

function spans(text, parent, depth) {
  if (depth > DEPTH_MAX || text.length > LINE_MAX) {
    parent.append(text);
    return;
  }
  let done = 0;
  for (const found of text.matchAll(SPAN)) {
    const [all, , code, bold, italic, struck, picture, label, target, bare, slanted] = found;
    parent.append(text.slice(done, found.index));
    done = found.index + all.length;
    if (code !== undefined) add(parent, "code").textContent = code;
    else if (bold !== undefined) spans(bold, add(parent, "strong"), depth + 1);
    else if (italic !== undefined) spans(italic, add(parent, mrkdwn ? "strong" : "em"), depth + 1);
    else if (struck !== undefined) spans(struck, add(parent, "s"), depth + 1);
    else if (slanted !== undefined) spans(slanted, add(parent, "em"), depth + 1);
    else if (bare !== undefined) bareLink(parent, bare);
    else if (/^https?:\/\//i.test(target)) link(parent, target, label || (picture ? "image" : target));
    else parent.append(all);
  }
  parent.append(text.slice(done));
}

/** A URL as written in a sentence: the full stop behind it is not a part of it. */
function bareLink(parent, written) {
  const address = written.replace(/[.,:;!?*_]+$/, "");
  link(parent, address, address);
  parent.append(written.slice(address.length));
}

function link(parent, address, label) {
  if (!URL.canParse(address)) {
    parent.append(label);
    return;
  }
  const element = add(parent, "a");
  element.href = address;
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  element.textContent = label;
}
