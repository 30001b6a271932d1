// Messages that the engine has not acknowledged yet. They survive a reload of this tab, and are sent
// again under the same client_id, so that a message counts once however often it is sent.

const KEY = "ai-engine-unsent";
const MAX = 50;

export class Outbox {
  constructor(storage = sessionStorage) {
    this.storage = storage;
    /** @type {{client_id: string, text: string, failed?: string}[]} in the order of writing */
    this.items = this.read();
  }

  get full() {
    return this.items.length >= MAX;
  }

  add(text) {
    const item = { client_id: crypto.randomUUID?.() ?? randomId(), text };
    this.items.push(item);
    this.write();
    return item;
  }

  get(clientId) {
    return this.items.find((item) => item.client_id === clientId);
  }

  remove(clientId) {
    this.items = this.items.filter((item) => item.client_id !== clientId);
    this.write();
  }

  /** The engine will not take this one; the person decides. `why` holds the two languages. */
  fail(clientId, why) {
    const item = this.get(clientId);
    if (item) item.failed = why;
    this.write();
  }

  retry(clientId) {
    const item = this.get(clientId);
    if (item) delete item.failed;
    this.write();
    return item;
  }

  clear() {
    this.items = [];
    this.write();
  }

  read() {
    try {
      const items = JSON.parse(this.storage.getItem(KEY) ?? "[]");
      return Array.isArray(items) ? items.filter((item) => item.client_id && typeof item.text === "string") : [];
    } catch {
      return []; // somebody else's data under our key: start empty
    }
  }

  write() {
    this.storage.setItem(KEY, JSON.stringify(this.items));
  }
}

// crypto.randomUUID exists in secure contexts only; plain http to another host is none.
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
