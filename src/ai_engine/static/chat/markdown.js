// A small Markdown reader that builds DOM nodes. Text only ever becomes text nodes, so nothing that
// a model or a person writes can become markup. Known: paragraphs, headings, lists, quotes, rules,
// fenced and inline code, bold, italic, strike-through, links (http and https), tables.

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)\s*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;
const TABLE_LINE = /^\s*\|?\s*:?-{1,}:?\s*(\|\s*:?-{1,}:?\s*)*\|?\s*$/;
const DEPTH_MAX = 8;
const LINE_MAX = 20000; // longer lines are shown as they are: matching spans is quadratic at worst

/** A fragment of DOM nodes for `source`. */
export function render(source) {
  const fragment = document.createDocumentFragment();
  blocks(source.replace(/\r\n?/g, "\n").split("\n"), fragment, 0);
  return fragment;
}

/** `source` with the marks closed that are still open at its end, while it is being written. */
export function closed(source) {
  const fences = source.match(/^ {0,3}(?:```|~~~)/gm) ?? [];
  if (fences.length % 2) return source;
  const line = source.slice(source.lastIndexOf("\n") + 1);
  const ticks = line.match(/`/g)?.length ?? 0;
  if (ticks % 2) return `${source}\``;
  if (!openBold(line)) return source;
  const rest = source.replace(/\*+\s*$/, ""); // the marks alone, or half of the closing ones
  return openBold(rest.slice(rest.lastIndexOf("\n") + 1)) ? `${rest.trimEnd()}**` : rest;
}

function openBold(line) {
  return (line.match(/\*\*/g)?.length ?? 0) % 2 === 1;
}

function make(tag, parent, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function blocks(lines, parent, depth) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) at += 1;
    else if (FENCE.test(line)) at = fence(lines, at, parent);
    else if (HEADING.test(line)) at = heading(lines, at, parent);
    else if (RULE.test(line)) {
      make("hr", parent);
      at += 1;
    } else if (depth < DEPTH_MAX && QUOTE.test(line)) at = quote(lines, at, parent, depth);
    else if (depth < DEPTH_MAX && ITEM.test(line)) at = list(lines, at, parent, depth);
    else if (isTable(lines, at)) at = table(lines, at, parent);
    else at = paragraph(lines, at, parent, depth);
  }
}

function fence(lines, at, parent) {
  const [, marks, language] = FENCE.exec(lines[at]);
  const body = [];
  let next = at + 1;
  while (next < lines.length && !closes(lines[next], marks)) body.push(lines[next++]);
  const pre = make("pre", parent);
  pre.tabIndex = 0;
  const code = make("code", pre, body.join("\n"));
  if (language) code.dataset.language = language;
  return next + 1;
}

function closes(line, marks) {
  const text = line.trim();
  return text.length >= marks.length && text === marks[0].repeat(text.length);
}

function heading(lines, at, parent) {
  const [, marks, text] = HEADING.exec(lines[at]);
  inline(text, make(`h${Math.min(marks.length + 2, 6)}`, parent));
  return at + 1;
}

function quote(lines, at, parent, depth) {
  const inside = [];
  while (at < lines.length && QUOTE.test(lines[at])) inside.push(QUOTE.exec(lines[at++])[1]);
  blocks(inside, make("blockquote", parent), depth + 1);
  return at;
}

function list(lines, at, parent, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const element = make(ordered ? "ol" : "ul", parent);
  if (ordered && parseInt(mark, 10) !== 1) element.start = parseInt(mark, 10);
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (!found || found[1].length < indent.length || found[1].length > indent.length + 1) break;
    if (/\d/.test(found[2]) !== ordered || RULE.test(lines[at])) break;
    const inside = [found[3]];
    at += 1;
    while (at < lines.length && belongs(lines, at, indent.length)) inside.push(outdent(lines[at++], indent.length));
    item(inside, make("li", element), depth);
    while (at + 1 < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1])) at += 1;
  }
  return at;
}

function belongs(lines, at, indent) {
  const line = lines[at];
  if (!line.trim()) return at + 1 < lines.length && /^\s/.test(lines[at + 1]) && lead(lines[at + 1]) > indent + 1;
  if (lead(line) > indent + 1) return true;
  return !ITEM.test(line) && !FENCE.test(line) && !HEADING.test(line) && !QUOTE.test(line) && lines[at - 1].trim() !== "";
}

function lead(line) {
  return line.length - line.trimStart().length;
}

function outdent(line, indent) {
  return line.slice(Math.min(lead(line), indent + (lead(line) >= indent + 3 ? 3 : 2)));
}

function item(lines, element, depth) {
  const single = lines.every((line) => line.trim() && !ITEM.test(line) && !FENCE.test(line) && !QUOTE.test(line));
  if (single) text(lines, element);
  else {
    let first = 0;
    while (first < lines.length && lines[first].trim() && !ITEM.test(lines[first]) && !FENCE.test(lines[first])) first += 1;
    text(lines.slice(0, first), element);
    blocks(lines.slice(first), element, depth + 1);
  }
}

function isTable(lines, at) {
  return lines[at].includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && TABLE_LINE.test(lines[at + 1]);
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
}

function table(lines, at, parent) {
  const frame = make("div", parent);
  frame.className = "table";
  frame.tabIndex = 0;
  const element = make("table", frame);
  const head = cells(lines[at]);
  const sides = cells(lines[at + 1]).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "centre" : "end") : ""));
  row(head, make("tr", make("thead", element)), "th", sides, head.length);
  const body = make("tbody", element);
  at += 2;
  while (at < lines.length && lines[at].includes("|")) row(cells(lines[at++]), make("tr", body), "td", sides, head.length);
  return at;
}

function row(values, parent, tag, sides, width) {
  for (let at = 0; at < width; at += 1) {
    const cell = make(tag, parent);
    if (sides[at]) cell.className = sides[at];
    inline(values[at] ?? "", cell);
  }
}

function paragraph(lines, at, parent, depth) {
  const found = [lines[at++]];
  const starts = (line) =>
    FENCE.test(line) || HEADING.test(line) || RULE.test(line) || (depth < DEPTH_MAX && (QUOTE.test(line) || ITEM.test(line)));
  while (at < lines.length && lines[at].trim() && !starts(lines[at]) && !isTable(lines, at)) found.push(lines[at++]);
  text(found, make("p", parent));
  return at;
}

/** Lines of chat keep their breaks. */
function text(lines, parent) {
  lines.forEach((line, at) => {
    if (at) make("br", parent);
    inline(line.trim(), parent);
  });
}

// One pass over the text: at each place the first alternative that fits is taken.
const SPAN = new RegExp(
  [
    "(?<escape>\\\\[\\\\`*_{}\\[\\]()#+\\-.!|~>])",
    "(?<ticks>`+)(?<code>[^`](?:.*?[^`])?)\\k<ticks>(?!`)",
    "!?\\[(?<label>[^\\[\\]]*)\\]\\((?<target>[^\\s()]*(?:\\([^\\s()]*\\)[^\\s()]*)*)(?:\\s+\"[^\"]*\")?\\)",
    "\\*\\*\\*(?<both>(?=[^\\s*]).*?(?<=[^\\s*]))\\*\\*\\*",
    "\\*\\*(?<bold>(?=\\S).+?(?<=\\S))\\*\\*",
    "(?<![\\p{L}\\p{N}])__(?<bold2>(?=\\S).+?(?<=\\S))__(?![\\p{L}\\p{N}])",
    "~~(?<strike>(?=\\S).+?(?<=\\S))~~",
    "\\*(?<italic>(?=[^\\s*]).*?(?<=[^\\s*]))\\*(?!\\*)",
    "(?<![\\p{L}\\p{N}_])_(?<italic2>(?=[^\\s_]).*?(?<=[^\\s_]))_(?![\\p{L}\\p{N}_])",
    "(?<bare>https?://[^\\s<>\"'()（）。，、；！？】」]+)",
  ].join("|"),
  "gu",
);

function inline(source, parent, depth = 0) {
  if (depth > DEPTH_MAX || source.length > LINE_MAX) {
    parent.append(source);
    return;
  }
  let done = 0;
  for (const found of source.matchAll(SPAN)) {
    parent.append(source.slice(done, found.index));
    span(found, parent, depth + 1);
    done = found.index + found[0].length;
  }
  parent.append(source.slice(done));
}

function span(found, parent, depth) {
  const is = found.groups;
  if (is.escape) parent.append(is.escape[1]);
  else if (is.code !== undefined) make("code", parent, is.code);
  else if (is.target !== undefined) link(is.target, is.label || is.target, found[0], parent, depth);
  else if (is.both) inline(is.both, make("em", make("strong", parent)), depth);
  else if (is.bold ?? is.bold2) inline(is.bold ?? is.bold2, make("strong", parent), depth);
  else if (is.strike) inline(is.strike, make("s", parent), depth);
  else if (is.italic ?? is.italic2) inline(is.italic ?? is.italic2, make("em", parent), depth);
  else if (is.bare) {
    const address = is.bare.replace(/[.,:;!?*_~]+$/, "");
    link(address, address, address, parent, DEPTH_MAX + 1);
    parent.append(is.bare.slice(address.length));
  } else parent.append(found[0]);
}

function link(target, label, written, parent, depth) {
  const url = safe(target);
  if (!url) {
    parent.append(written);
    return;
  }
  const element = anchor(url, parent);
  inline(label, element, depth);
}

/** The URL when it is http or https without credentials, else null. */
export function safe(target) {
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) return null;
  const url = new URL(target);
  return url.username || url.password ? null : url.href;
}

/** A link that tells the other side nothing about this page. */
export function anchor(url, parent) {
  const element = make("a", parent);
  element.href = url;
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  return element;
}
