// What a person does with a message, and the sentence when the platform does not have it.

import { say } from "./text.js";

const NOTICE_SECONDS = 12;
const at = (id) => document.getElementById(id);
const done = new Set();
let timer = 0;

/** A sentence above the composer; gone after a while, or with the next thing that works. */
export function notice(words) {
  clearTimeout(timer);
  at("notice").hidden = !words;
  at("notice").textContent = words;
  if (words) timer = setTimeout(() => notice(""), NOTICE_SECONDS * 1000);
}

/** POST to the control API; its answer, or null after a refusal, which is shown. */
export async function post(path, body) {
  try {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(body) });
    const said = await answer.json();
    notice(answer.ok ? "" : [`${say("refused")}${sentence(said.message)}`, sentence(said.hint)].filter(Boolean).join(" "));
    return answer.ok ? said : null;
  } catch {
    notice(say("page_lost"));
    return null;
  }
}

/** Refusals are written without a full stop. */
function sentence(words) {
  if (!words) return "";
  return /[.!?。！？]$/.test(words) ? words : words + say("stop");
}

/** The acts that a bubble offers; `me()` is who acts, `begin(entry)` starts an edit, and `again(entry)`
 *  draws a message anew. */
export function actsOf({ me, begin, again }) {
  return {
    edit: begin,
    resend: (entry) => post("/sim/resend", { message_id: entry.id }),
    recall: (entry) => post("/sim/recall", { message_id: entry.id }),
    rate: (entry, rating) => post("/sim/rate", { entry: entry.id, rating, user: me() }),
    press: async (entry, button) => {
      if (!(await post("/sim/press", { entry: entry.id, button, user: me() }))) return;
      done.add(`${entry.id} ${button}`);
      again(entry);
    },
    pressed: (id, button) => done.has(`${id} ${button}`),
  };
}
