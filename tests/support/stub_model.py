"""An OpenAI-compatible model server in the test's own process, with a script of answers.

    async with StubModel() as stub:
        stub.reply("hello")
        … ModelConfig(base_url=stub.base_url, model="stub") …
        assert stub.requests[0]["messages"][-1]["content"] == "hi"

Scripted answers are used in order; without one the server answers `stub.default`.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(kw_only=True)
class Answer:
    """One scripted answer; see `StubModel.reply`."""

    chunks: Sequence[str] = ()
    reasoning: Sequence[str] = ()
    calls: Sequence[tuple[str, str]] = ()
    """(name, JSON text of the arguments)"""
    call_ids: bool = True
    finish: str = ""
    delay_seconds: float = 0.0
    """Before the first piece."""
    chunk_delay_seconds: float = 0.0
    status: int = 200
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    break_after: int | None = None
    """Drop the connection after so many pieces."""
    stall_after: int | None = None
    """Fall silent after so many pieces, until the client gives up."""
    linger_seconds: float = 0.0
    """Between the last piece and the end of the body."""
    whole: bool = False
    """Answer with one JSON body though a stream was asked for."""
    raw: Sequence[bytes] | None = None
    """The body, byte for byte, one network write each."""
    gate: asyncio.Event | None = None
    """Wait for this before answering."""


class StubModel:
    """`requests` and `headers` hold what was asked, oldest first; `asked` wakes waiters."""

    def __init__(self, *, default: str = "stub answer") -> None:
        self.default = default
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.in_flight = 0
        self.in_flight_max = 0
        self._peers: set[object] = set()
        self._script: deque[Answer] = deque()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._changed = asyncio.Condition()
        self._closing = asyncio.Event()

    async def __aenter__(self) -> "StubModel":
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def reply(self, text: str | Sequence[str] = "", **more: Any) -> None:
        """Answer with this text; a sequence is streamed piece by piece. `more`: see `Answer`."""
        self._script.append(Answer(chunks=[text] if isinstance(text, str) else text, **more))

    def reply_tool_call(self, name: str, args: Mapping[str, Any] | str, **more: Any) -> None:
        """Ask for one tool; `args` as text is sent as it is."""
        self.reply_tool_calls([(name, args)], **more)

    def reply_tool_calls(
        self, calls: Sequence[tuple[str, Mapping[str, Any] | str]], **more: Any
    ) -> None:
        """Ask for several tools in one round."""
        written = [(n, a if isinstance(a, str) else json.dumps(a)) for n, a in calls]
        self._script.append(Answer(calls=written, **more))

    def reply_error(self, status: int, message: str = "error", **headers: str) -> None:
        """Refuse. Header names with underscores: `Retry_After="1"`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._script.append(Answer(status=status, error=message, headers=named))

    def reply_raw(self, *pieces: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Answer 200 with these bytes."""
        self._script.append(Answer(raw=pieces, headers=headers or {}))

    async def wait_for_requests(self, count: int) -> None:
        """Return once so many requests have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    @property
    def connections(self) -> int:
        """How many connections brought requests."""
        return len(self._peers)

    async def wait_until_idle(self) -> None:
        """Return once no request is being answered."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.in_flight == 0)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        answer = self._script.popleft() if self._script else Answer(chunks=[self.default])
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        async with self._changed:
            self.requests.append(body)
            assert request.transport is not None
            self._peers.add(request.transport.get_extra_info("peername"))
            self.headers.append(dict(request.headers))
            self._changed.notify_all()
        try:
            if answer.gate is not None:
                await answer.gate.wait()
            if answer.delay_seconds:
                await asyncio.sleep(answer.delay_seconds)
            if answer.status != 200:
                text = json.dumps({"error": {"message": answer.error}})
                return web.Response(status=answer.status, text=text, headers=answer.headers)
            if answer.whole:
                return web.json_response(_whole(answer))
            return await self._stream(request, answer, body)
        finally:
            self.in_flight -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _stream(
        self, request: web.Request, answer: Answer, body: Mapping[str, Any]
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", **answer.headers}
        )
        await response.prepare(request)
        pieces = answer.raw
        if pieces is None:
            pieces = [_event(piece) for piece in _pieces(answer, body)] + [b"data: [DONE]\n\n"]
        for at, piece in enumerate(pieces):
            if at == answer.break_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            if at == answer.stall_after:
                await self._stall(request)
            if answer.chunk_delay_seconds and at:
                await asyncio.sleep(answer.chunk_delay_seconds)
            await response.write(piece)
        if answer.linger_seconds:
            await asyncio.sleep(answer.linger_seconds)
        return response

    async def _stall(self, request: web.Request) -> None:
        """Say nothing until the client has gone or the server closes."""
        while not self._closing.is_set():
            if request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(0.005)


def _event(piece: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(piece, ensure_ascii=False).encode() + b"\n\n"


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "stub",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _pieces(answer: Answer, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    pieces = [_chunk({"role": "assistant", "content": ""})]
    pieces += [_chunk({"reasoning_content": text}) for text in answer.reasoning]
    pieces += [_chunk({"content": text}) for text in answer.chunks]
    for index, (name, arguments) in enumerate(answer.calls):
        head: dict[str, Any] = {"index": index, "function": {"name": name, "arguments": ""}}
        if answer.call_ids:
            head |= {"id": f"call_{index}", "type": "function"}
        pieces.append(_chunk({"tool_calls": [head]}))
        half = len(arguments) // 2
        for part in (arguments[:half], arguments[half:]):
            tail = {"index": index, "function": {"arguments": part}}
            pieces.append(_chunk({"tool_calls": [tail]}))
    pieces.append(_chunk({}, answer.finish or ("tool_calls" if answer.calls else "stop")))
    if (body.get("stream_options") or {}).get("include_usage"):
        pieces.append({"choices": [], "usage": _usage(answer)})
    return pieces


def _usage(answer: Answer) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": len(answer.chunks)}


def _whole(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.chunks)}
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.calls:
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": {"name": n, "arguments": a}}
            for at, (n, a) in enumerate(answer.calls)
        ]
    finish = answer.finish or ("tool_calls" if answer.calls else "stop")
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice], "usage": _usage(answer)}
