"""`chat.*`: posts, edits and text streams, with the states and errors that Slack documents."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.base import Handler
from ai_engine.simulators.slack.blocks import BadBlocks, Shown, read_blocks
from ai_engine.simulators.slack.codec import unescaped
from ai_engine.simulators.slack.gate import Call, Refusal, arguments
from ai_engine.simulators.transcript import BOT, Entry

if TYPE_CHECKING:
    from ai_engine.simulators.slack.server import SlackSimulator

TEXT_MAX: Final = 40_000
APPEND_MAX: Final = 12_000
POSTS_MAX: Final = 20_000


@dataclass(slots=True, kw_only=True)
class Post:
    """One message of the bot."""

    channel: str
    thread_ts: str
    shown: Shown
    mode: str = ""
    """Of a stream: text | chunks, by its first piece."""
    streaming_since: float | None = None


class Posts:
    """The bot's messages by their time stamp; the oldest are forgotten."""

    def __init__(self, simulator: "SlackSimulator") -> None:
        self._sim = simulator
        self._posts: OrderedDict[str, Post] = OrderedDict()

    def routes(self) -> list[tuple[str, str, Handler]]:
        def method(name: str, work: Any) -> tuple[str, str, Handler]:
            handler = self._sim.gate.method(work, scope="chat:write", sends=True)
            return ("POST", f"/api/chat.{name}", handler)

        return [
            method("postMessage", self._post),
            method("update", self._update),
            method("startStream", self._start),
            method("appendStream", self._append),
            method("stopStream", self._stop),
        ]

    async def read_response(self, request: web.Request) -> tuple[str, Shown]:
        """What is posted to a response address. Raises Refusal."""
        return self._content(Call(args=await arguments(request, json=True), request=request))

    def find(self, ts: str) -> Post | None:
        return self._posts.get(ts)

    async def _post(self, call: Call) -> Json:
        channel = self._channel(call)
        text, shown = self._content(call)
        return self._added(call, channel, text, shown, via="chat.postMessage")

    def _channel(self, call: Call) -> str:
        """The chat's id; of a person, their private chat. Raises Refusal."""
        sim = self._sim
        given = call.text("channel", "channel_not_found")
        chat = sim.directory.find(given)
        if chat is None and sim.directory.knows(given):
            chat = sim.private(given)
        if chat is None:
            raise Refusal("channel_not_found")
        if sim.faults.not_in_channel and chat.kind == "group":
            raise Refusal("not_in_channel")
        return chat.id

    def _content(self, call: Call) -> tuple[str, Shown]:
        """(what people read, the blocks). Raises Refusal."""
        text, given = call.args.get("text") or "", call.args.get("blocks")
        markdown = call.args.get("markdown_text") or ""
        if markdown and (text or given):
            raise Refusal("markdown_text_conflict")
        if not text and not given and not markdown:
            raise Refusal("no_text")
        if len(str(text)) > TEXT_MAX or len(str(markdown)) > APPEND_MAX:
            raise Refusal("msg_too_long")
        shown = self._blocks(given)
        if markdown:
            return str(markdown), shown
        if given:
            return "\n".join(shown.texts), shown
        return unescaped(str(text)), shown

    def _blocks(self, given: Any) -> Shown:
        if not given:
            return Shown()
        if self._sim.faults.blocks_refused:
            raise Refusal("invalid_blocks")
        try:
            return read_blocks(given)
        except BadBlocks as bad:
            messages = [f"[ERROR] {bad}"]
            raise Refusal(bad.error, response_metadata={"messages": messages}) from bad

    def _added(
        self, call: Call, channel: str, text: str, shown: Shown, *, via: str, state: str = ""
    ) -> Json:
        sim = self._sim
        thread = call.maybe("thread_ts")
        entry = sim.show(
            channel=channel,
            thread_ts=thread,
            text=text,
            kind="markdown",
            via=via,
            request=call.request,
            card=shown.card or None,
            buttons=tuple(shown.buttons),
            state=state,
        )
        self._posts[entry.id] = Post(channel=channel, thread_ts=thread, shown=shown)
        while len(self._posts) > POSTS_MAX:
            self._posts.popitem(last=False)
        return {"channel": channel, "ts": entry.id, "message": _message(sim, entry, thread)}

    def _own(self, call: Call) -> tuple[str, Post, Entry]:
        """The bot's message that a call names. Raises Refusal."""
        ts = call.text("ts", "message_not_found")
        post, entry = self._posts.get(ts), self._sim.transcript.get(ts)
        if entry is not None and entry.sender != BOT:
            raise Refusal("message_not_owned_by_app")
        if post is None or entry is None or post.channel != call.args.get("channel"):
            raise Refusal("message_not_found")
        return ts, post, entry

    async def _update(self, call: Call) -> Json:
        ts, post, entry = self._own(call)
        if self._sim.faults.edits_refused or self._streams(post):
            raise Refusal("cant_update_message")
        text, shown = self._content(call)
        post.shown = shown
        self._sim.transcript.mark(
            ts,
            text=text,
            card=shown.card or None,
            buttons=tuple(shown.buttons),
            state="finished" if entry.state else "",
            edits=entry.edits + 1,
        )
        return {"channel": post.channel, "ts": ts, "text": text}

    # Streams.

    def _streams(self, post: Post) -> bool:
        began = post.streaming_since
        return began is not None and self._sim.clock.time() < began + (
            self._sim.faults.stream_seconds
        )

    async def _start(self, call: Call) -> Json:
        channel = self._channel(call)
        call.text("thread_ts", "invalid_thread_ts")
        if self._sim.faults.streaming_refused:
            raise Refusal("channel_type_not_supported")
        chat = self._sim.directory.find(channel)
        if chat is not None and chat.kind == "group":
            call.text("recipient_team_id", "missing_recipient_team_id")
            call.text("recipient_user_id", "missing_recipient_user_id")
        mode, text = _piece(call)
        answer = self._added(
            call, channel, text, Shown(), via="chat.startStream", state="streaming"
        )
        post = self._posts[answer["ts"]]
        post.mode, post.streaming_since = mode, self._sim.clock.time()
        return {"channel": channel, "ts": answer["ts"]}

    def _living(self, call: Call) -> tuple[str, Post, Entry]:
        ts, post, entry = self._own(call)
        if not self._streams(post):
            if post.streaming_since is not None and entry.state == "streaming":
                self._sim.transcript.mark(ts, state="failed")
                post.streaming_since = None
            raise Refusal("message_not_in_streaming_state")
        return ts, post, entry

    def _grow(self, call: Call, post: Post, entry: Entry) -> str:
        mode, piece = _piece(call)
        if mode and post.mode and mode != post.mode:
            raise Refusal("streaming_mode_mismatch")
        post.mode = post.mode or mode
        return entry.text + piece

    async def _append(self, call: Call) -> Json:
        ts, post, entry = self._living(call)
        if not _piece(call)[0]:
            raise Refusal("no_text")
        text = self._grow(call, post, entry)
        self._sim.transcript.mark(ts, text=text, edits=entry.edits + 1)
        return {"channel": post.channel, "ts": ts}

    async def _stop(self, call: Call) -> Json:
        ts, post, entry = self._living(call)
        shown = self._blocks(call.args.get("blocks"))
        text = self._grow(call, post, entry)
        post.shown, post.streaming_since = shown, None
        self._sim.transcript.mark(
            ts,
            text="\n".join([text, *shown.texts]).strip("\n"),
            card=shown.card or None,
            buttons=tuple(shown.buttons),
            state="finished",
            produced_by=self._sim.produced_by(call.request) or entry.produced_by,
        )
        return {
            "channel": post.channel,
            "ts": ts,
            "message": {"ts": ts, "text": text, "bot_id": self._sim.bot.bot_id},
        }


def _piece(call: Call) -> tuple[str, str]:
    """(mode, text) of what is streamed: `markdown_text`, or chunks of that type. Raises Refusal."""
    text, chunks = call.args.get("markdown_text"), call.args.get("chunks")
    if text and chunks:
        raise Refusal("streaming_mode_mismatch")
    if text:
        if not isinstance(text, str) or len(text) > APPEND_MAX:
            raise Refusal("msg_too_long")
        return "text", text
    if not chunks:
        return "", ""
    words: list[str] = []
    for chunk in cast("list[Any]", chunks) if isinstance(chunks, list) else [None]:
        if not isinstance(chunk, dict):
            raise Refusal("invalid_chunks")
        piece = cast("Json", chunk)
        if piece.get("type") != "markdown_text" or not isinstance(piece.get("text"), str):
            raise Refusal("invalid_chunks")
        words.append(piece["text"])
    if sum(map(len, words)) > APPEND_MAX:
        raise Refusal("msg_too_long")
    return "chunks", "".join(words)


def _message(sim: "SlackSimulator", entry: Entry, thread: str) -> Json:
    message: Json = {
        "type": "message",
        "subtype": "bot_message",
        "text": entry.text,
        "ts": entry.id,
        "bot_id": sim.bot.bot_id,
        "user": sim.bot.user_id,
        "team": sim.bot.team_id,
    }
    return {**message, "thread_ts": thread} if thread else message
