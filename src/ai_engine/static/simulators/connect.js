// The drawer's page about how an engine or an SDK is pointed at this simulator.

import { make } from "./dom.js";
import { say } from "./text.js";

const KNOWN = new Set([
  "platform", "name_zh", "name_en", "can", "credentials", "url", "engine", "channel", "state", "people",
  "group_conversation", "endpoints", "auth", "sdk", "robot_name", "group", "callback_url",
]);
const at = (id) => document.getElementById(id);

export function drawConnect(info) {
  const box = at("connect");
  box.replaceChildren(
    part(say("endpoints"), rows(info.endpoints)),
    part(say("credentials"), credentials(info)),
    part(say("configuration"), sample(configuration(info))),
  );
  const sdk = Object.entries(info.sdk ?? {});
  if (sdk.length) {
    const list = make("div");
    for (const [name, hint] of sdk) list.append(make("h4", "", name), sample(typeof hint === "string" ? hint : JSON.stringify(hint, null, 2)));
    box.append(part(say("sdk"), list));
  }
  const more = Object.entries(info).filter(([name]) => !KNOWN.has(name));
  const common = { callback_url: info.callback_url || say("noCallback"), robot_name: info.robot_name };
  box.append(part(say("more"), rows({ ...common, ...Object.fromEntries(more) })));
}

function part(title, content) {
  const section = make("section", "part-of-connect");
  section.append(make("h3", "", title), content);
  return section;
}

function rows(values) {
  const list = make("dl", "facts");
  for (const [name, value] of Object.entries(values ?? {})) {
    list.append(make("dt", "", name), make("dd", "", typeof value === "object" ? JSON.stringify(value) : String(value)));
  }
  return list;
}

function credentials(info) {
  const given = Object.entries({ ...info.credentials, ...info.auth });
  return rows(Object.fromEntries(given.map(([name, value]) => [`auth.${name}`, value || say("asGiven")])));
}

/** The channel's part of an engine's configuration. */
function configuration(info) {
  const auth = Object.fromEntries(Object.entries({ ...info.credentials, ...info.auth }).map(([name, value]) => [name, value || "…"]));
  const type = info.channel === info.platform ? {} : { type: info.platform };
  return JSON.stringify({ channels: { [info.channel]: { ...type, auth, endpoints: info.endpoints } } }, null, 2);
}

function sample(text) {
  const box = make("div", "sample");
  const copy = make("button", "copy", say("copy"));
  copy.type = "button";
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = say("copied");
    } catch {
      getSelection().selectAllChildren(box.querySelector("pre")); // no clipboard here: marked by hand
    }
  });
  const pre = make("pre", "", text);
  pre.tabIndex = 0;
  box.append(pre, copy);
  return box;
}
