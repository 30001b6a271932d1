// The side drawer: the wire log, the fault knobs, and how to connect.

import { ICONS, icon, make } from "./dom.js";
import { say } from "./text.js";

const ROWS_MAX = 300;
const TABS = ["wire", "faults", "connect"];
const at = (id) => document.getElementById(id);
let tab = "wire";
let rows = [];

export async function openDrawer(open) {
  at("drawer").hidden = !open;
  at("open-drawer").setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("with-drawer", open);
  if (!open) return;
  await Promise.all([loadWire(), loadFaults()]);
}

export function wireDrawer() {
  at("open-drawer").addEventListener("click", () => openDrawer(at("drawer").hidden));
  at("close-drawer").addEventListener("click", () => openDrawer(false));
  for (const name of TABS) at(`tab-${name}`).addEventListener("click", () => show(name));
  at("drawer").querySelector(".tabs").addEventListener("keydown", turn);
  at("drawer").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    openDrawer(false);
    at("open-drawer").focus();
  });
  at("clear").addEventListener("click", async () => {
    await fetch(tab === "wire" ? "/sim/requests" : "/sim/faults", { method: "DELETE" });
    if (tab === "wire") {
      rows = [];
      drawWire();
    }
  });
}

export function nameDrawer() {
  at("open-drawer").replaceChildren(icon(ICONS.wire), make("span", "", say("openDrawer")));
  at("close-drawer").replaceChildren(icon(ICONS.close));
  at("close-drawer").setAttribute("aria-label", say("closeDrawer"));
  show(tab);
  drawWire();
}

/** The arrow keys go from tab to tab. */
function turn(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  show(TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length]);
  at(`tab-${tab}`).focus();
}

function show(chosen) {
  tab = chosen;
  for (const name of TABS) {
    at(name).hidden = name !== chosen;
    at(`tab-${name}`).setAttribute("aria-selected", String(name === chosen));
    at(`tab-${name}`).tabIndex = name === chosen ? 0 : -1;
  }
  at("clear").hidden = chosen === "connect";
  at("drawer-note").textContent = say(`${chosen}Note`);
}

async function loadWire() {
  const answer = await fetch("/sim/requests");
  rows = (await answer.text()).split("\n").filter(Boolean).slice(-ROWS_MAX).map((line) => JSON.parse(line));
  drawWire();
}

export function addRow(row) {
  if (at("drawer").hidden || rows.at(-1)?.n >= row.n) return;
  rows.push(row);
  const list = at("wire");
  if (rows.length === 1) list.replaceChildren();
  list.prepend(wireRow(row));
  while (rows.length > ROWS_MAX) {
    rows.shift();
    list.lastElementChild.remove();
  }
}

function drawWire() {
  at("wire").replaceChildren(...[...rows].reverse().map(wireRow));
  if (!rows.length) at("wire").append(make("p", "nothing", say("noWire")));
}

function wireRow(row) {
  const details = make("details", "row");
  const summary = make("summary");
  const out = row.direction.endsWith("out");
  const arrow = make("span", `arrow ${out ? "out" : "in"}`, out ? "→" : "←");
  arrow.title = row.direction;
  const bad = Boolean(row.error) || row.status >= 400;
  const status = row.method === "WS" ? "" : row.error ? "×" : String(row.status);
  summary.append(
    arrow,
    make("span", "method", row.method),
    make("span", "path", row.path),
    make("span", `status ${bad ? "bad" : ""}`, status),
    make("span", "ms", row.method === "WS" ? "" : `${row.milliseconds.toFixed(row.milliseconds < 10 ? 1 : 0)} ms`),
  );
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(full(row));
  });
  return details;
}

function full(row) {
  const box = make("div", "full");
  const parts = [
    [new Date(row.at * 1000).toLocaleTimeString(), row.error || (row.query && `?${row.query}`)],
    ["headers", Object.entries(row.headers).map(([name, value]) => `${name}: ${value}`).join("\n")],
    ["body", pretty(row.body)],
    ["answer", pretty(row.answer)],
  ];
  for (const [name, text] of parts) if (text) box.append(make("h3", "", name), make("pre", "", text));
  return box;
}

function pretty(text) {
  try {
    const value = JSON.parse(text);
    if (typeof value?.data === "string") {
      try {
        value.data = JSON.parse(value.data);
      } catch { /* the data of a frame need not be JSON */ }
    }
    return JSON.stringify(value, null, 2);
  } catch {
    return text;
  }
}

async function loadFaults() {
  drawFaults(await (await fetch("/sim/faults")).json());
}

export function drawFaults(knobs) {
  if (at("faults").contains(document.activeElement)) return;
  at("faults").replaceChildren(...Object.entries(knobs).map(knob));
}

function knob([name, value]) {
  const label = make("label", "knob");
  const input = make("input");
  input.type = typeof value === "boolean" ? "checkbox" : typeof value === "number" ? "number" : "text";
  if (input.type === "checkbox") input.checked = value;
  else input.value = value;
  if (input.type === "number") input.step = name.endsWith("_seconds") ? "any" : "1";
  input.addEventListener("change", async () => {
    const chosen = input.type === "checkbox" ? input.checked : input.type === "number" ? Number(input.value) : input.value;
    const answer = await fetch("/sim/faults", { method: "POST", body: JSON.stringify({ [name]: chosen }) });
    label.classList.toggle("bad", !answer.ok);
  });
  label.append(make("span", "", name.replaceAll("_", " ")), input);
  return label;
}
