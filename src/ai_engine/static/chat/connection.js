// The connection to the engine: says hello, sends what is unsent, resumes after the newest event it
// has, and comes back by itself. The protocol is docs/reference/websocket.md.

const VERSION = 1;
const WAIT_MIN = 500;
const WAIT_MAX = 20000;
const SILENCE_MAX = 15000; // an unanswered hello or message: the connection is dead
const UNAUTHENTICATED = 4401;
const IDLE = 4410;
const OLD_PAGE = 4426;

export class Connection {
  /**
   * `on` has: frame(frame), state(name, details). States: connecting, online, offline {seconds},
   * paused, signed_out, old_page.
   */
  constructor(outbox, on) {
    this.outbox = outbox;
    this.on = on;
    this.session = "";
    this.last = 0;
    this.failures = 0;
    this.socket = null;
    this.timer = 0;
    this.watch = 0;
    this.pause = 0; // no sending before this time: the engine asked for patience
    this.ready = false;
    this.over = false;
    addEventListener("online", () => this.now());
    addEventListener("focus", () => this.now());
    addEventListener("keydown", () => this.socket || this.now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.now());
  }

  open() {
    this.on.state("connecting");
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/ws`);
    this.socket = socket;
    socket.onopen = () => {
      this.put({ type: "hello", v: VERSION, last_event: this.last, session: this.session });
      this.expect();
    };
    socket.onmessage = (message) => this.socket === socket && this.hear(JSON.parse(message.data));
    socket.onclose = (event) => this.socket === socket && this.closed(event.code);
    this.expect();
  }

  /** Connect at once, when there is no connection and none is under way. */
  now() {
    if (this.socket || this.over) return;
    clearTimeout(this.timer);
    this.open();
  }

  put(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Something must come back soon, or the connection only looks alive. */
  expect() {
    clearTimeout(this.watch);
    const socket = this.socket;
    this.watch = setTimeout(() => {
      if (this.socket !== socket) return;
      socket.onclose = null;
      socket.close();
      this.closed(0);
    }, SILENCE_MAX);
  }

  hear(frame) {
    clearTimeout(this.watch);
    switch (frame.type) {
      case "welcome":
        if (frame.session !== this.session) this.last = 0;
        this.session = frame.session;
        this.failures = 0;
        break;
      case "reset":
        this.last = frame.n;
        break;
      case "event":
        if (frame.n <= this.last) return;
        this.last = frame.n;
        if (frame.body.client_id) this.outbox.remove(frame.body.client_id); // an ack that got lost
        break;
      case "ack":
        this.outbox.remove(frame.client_id);
        break;
      case "error":
        this.refused(frame);
        break;
    }
    this.on.frame(frame);
    if (frame.type === "welcome") {
      this.ready = true;
      this.on.state("online");
      this.flush();
    } else if (this.ready && this.outbox.items.some((item) => !item.failed)) this.expect();
  }

  refused(frame) {
    if (!frame.client_id) return;
    if (frame.retry_after_seconds) {
      this.pause = Date.now() + frame.retry_after_seconds * 1000;
      setTimeout(() => this.flush(), frame.retry_after_seconds * 1000);
      clearTimeout(this.watch);
    } else this.outbox.fail(frame.client_id, { zh: frame.message_zh, en: frame.message_en });
  }

  /** Send one message, or keep it for the next connection. */
  send(item) {
    if (!this.ready || Date.now() < this.pause) return this.now();
    this.put({ type: "send", client_id: item.client_id, text: item.text });
    this.expect();
  }

  stop() {
    this.put({ type: "stop" });
  }

  flush() {
    if (!this.ready) return;
    for (const item of this.outbox.items) if (!item.failed) this.send(item);
  }

  closed(code) {
    clearTimeout(this.watch);
    this.socket = null;
    this.ready = false;
    if (code === UNAUTHENTICATED || code === OLD_PAGE) {
      this.over = true;
      this.on.state(code === OLD_PAGE ? "old_page" : "signed_out");
    } else if (code === IDLE) this.on.state("paused");
    else {
      this.failures += 1;
      const full = Math.min(WAIT_MAX, WAIT_MIN * 2 ** Math.min(this.failures, 10));
      const wait = full * (0.5 + Math.random() / 2);
      this.on.state("offline", { seconds: Math.ceil(wait / 1000) });
      this.timer = setTimeout(() => this.open(), wait);
    }
  }
}
