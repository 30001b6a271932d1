// Elements and line icons.

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
  up: "M7 10.5v9.5H3.5v-9.5zM7 10.5l4-7a2.2 2.2 0 012.2 2.2V9h5.3a2 2 0 012 2.4l-1.4 7A2 2 0 0117.1 20H7",
  down: "M17 13.5V4h3.5v9.5zM17 13.5l-4 7a2.2 2.2 0 01-2.2-2.2V15H5.5a2 2 0 01-2-2.4l1.4-7A2 2 0 016.9 4H17",
  pencil: "M4 20l1-4.5L16.5 4a2.1 2.1 0 013 3L8.5 19zM14.5 6l3.5 3.5",
  undo: "M9 5L4 10l5 5M4 10h10a6 6 0 010 12h-3",
  door: "M13 3.5H5.5v17H13M10 12h10.5M16.5 8l4 4-4 4",
  away: "M10 5H5v14h14v-5M13.5 4H20v6.5M20 4l-9.5 9.5",
};

/** A button with an icon and a name for those who do not see it. */
export function iconButton(className, paths, words, act) {
  const button = make("button", className);
  button.type = "button";
  button.title = words;
  button.setAttribute("aria-label", words);
  button.append(icon(paths, 16));
  button.addEventListener("click", act);
  return button;
}
