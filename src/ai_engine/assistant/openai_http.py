"""The client of every OpenAI-compatible model server: one streamed call over aiohttp."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Sequence
from email.utils import parsedate_to_datetime
from types import TracebackType

import aiohttp
import msgspec
from yarl import URL

from ai_engine.assistant.base import Delta
from ai_engine.assistant.openai_wire import Answer, decode_chunk, error_text, request_body
from ai_engine.assistant.sse import SseParser
from ai_engine.config.schema import ModelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import ModelFailed
from ai_engine.domain.message import Json
from ai_engine.domain.within import within
from ai_engine.security.egress import Egress

EVENT_BYTES_MAX = 1_048_576
ANSWER_BYTES_MAX = 16 * 1_048_576
ERROR_BYTES_MAX = 65_536
RETRY_AFTER_SECONDS_MAX = 10.0
_BACKOFF_SECONDS = 0.25
_DRAIN_SECONDS = 0.2
_DONE = b"[DONE]"
_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


class _Retryable(Exception):
    """This attempt failed before its first piece; another may work."""

    def __init__(self, failure: ModelFailed, after_seconds: float | None = None) -> None:
        super().__init__(failure)
        self.failure = failure
        self.after_seconds = after_seconds


class _UsageRefused(Exception):
    """The server answered 400 or 422 to a request with `stream_options`."""

    def __init__(self, failure: ModelFailed) -> None:
        super().__init__(failure)
        self.failure = failure


class _Tries:
    """What the attempts of one call have shown so far."""

    __slots__ = ("failed", "refusal", "usage")

    def __init__(self, *, usage: bool) -> None:
        self.usage = usage
        self.failed = 0
        self.refusal: ModelFailed | None = None
        """The server's answer to the attempt with `stream_options`."""


class OpenAIModel:
    """One configured model. Implements `Model`; safe for concurrent calls."""

    def __init__(self, name: str, config: ModelConfig, egress: Egress, clock: Clock) -> None:
        self.name = name
        self.languages: Sequence[str] = config.languages
        self.tools = config.tools
        self.images = config.images
        self._config = config
        self._egress = egress
        self._clock = clock
        self._url = URL(config.base_url.rstrip("/") + "/chat/completions")
        self._key = config.api_key.get_secret_value()
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",
        }
        if self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._timeout = aiohttp.ClientTimeout(
            total=config.total_timeout_seconds,
            sock_connect=config.connect_timeout_seconds,
        )
        self._idle_seconds = config.idle_timeout_seconds
        """Watched here: the client's own `sock_read` sets a timer for each read."""
        self._usage_option = True

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """See `Model.stream`. Repeats a failed attempt only before the first piece."""
        tries = _Tries(usage=self._usage_option)
        while True:
            body = request_body(self._config, messages, tools, usage=tries.usage)
            reading = _Reading()
            try:
                async with await self._posted(body) as response:
                    if response.status != 200:
                        await self._raise_status(response, usage=tries.usage)
                    while piece := await self._next(response, reading):
                        yield piece
            except _UsageRefused as error:
                tries.usage, tries.refusal = False, error.failure
            except (_Retryable, ModelFailed, aiohttp.ClientError, OSError) as error:
                await self._wait(tries, self._retryable(error, tries, begun=reading.begun))
            else:
                self._usage_option = tries.usage
                return

    async def close(self) -> None:
        """Nothing is held: connections belong to the process's `Egress`."""

    async def _posted(self, body: bytes) -> aiohttp.ClientResponse:
        """The response once its head is there."""
        with _spoken_to(self._config.connect_timeout_seconds + self._idle_seconds):
            return await self._egress.session.post(
                self._url,
                data=body,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            )

    async def _wait(self, tries: "_Tries", error: _Retryable) -> None:
        tries.failed += 1
        asked = error.after_seconds
        if tries.failed > self._config.retries or (asked or 0.0) > RETRY_AFTER_SECONDS_MAX:
            raise error.failure from error
        backoff = _BACKOFF_SECONDS * 2 ** (tries.failed - 1)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, protects nothing
        await self._clock.sleep(asked if asked is not None else backoff * jitter)

    def _retryable(self, error: Exception, tries: "_Tries", *, begun: bool) -> _Retryable:
        """What another attempt may mend. Raises ModelFailed when none would."""
        if isinstance(error, _Retryable):
            return error
        if isinstance(error, ModelFailed):
            if tries.refusal is not None and error.reason == "refused":
                # Refused without the option too: the first answer explains it better.
                raise tries.refusal from error
            raise error
        if isinstance(error, aiohttp.InvalidURL):
            raise self._failed("base_url is not a URL", reason="refused") from error
        if isinstance(error, TimeoutError):
            failure = self._failed(_timeout_text(error, self._config))
            again = isinstance(error, aiohttp.ConnectionTimeoutError)
        else:
            failure = self._failed(f"no connection: {type(error).__name__}: {error}")
            again = not begun
        if not again:
            raise failure from error
        retryable = _Retryable(failure)
        retryable.__cause__ = error
        return retryable

    async def _next(self, response: aiohttp.ClientResponse, reading: "_Reading") -> Delta | None:
        """The next piece of a 200 answer, streamed or, from servers that cannot, whole; None
        after the last."""
        answer = reading.answer
        try:
            while not reading.ended:
                text = self._taken(await self._events(response, reading), answer)
                if answer.done:
                    await _drain(response)
                    reading.ended = True
                restart = answer.take_restart()
                if reading.ended:
                    if not answer.done and not answer.finish:
                        raise self._failed("the answer broke off before its end")
                    return answer.last(self.name, text, restart=restart)
                if text or restart:
                    reading.begun = True
                    return Delta(text=text, restart=restart)
        except ValueError as error:  # also msgspec's errors
            raise self._failed(f"not the chat-completions protocol: {error}") from error
        return None

    async def _events(
        self, response: aiohttp.ClientResponse, reading: "_Reading"
    ) -> Sequence[bytes]:
        with _spoken_to(self._idle_seconds):
            data = await response.content.readany()
        return reading.events(data)

    def _taken(self, events: Sequence[bytes], answer: Answer) -> str:
        """The text of a batch of events."""
        text = ""
        for event in events:
            if event == _DONE:
                answer.done = True
                break
            chunk = decode_chunk(event)
            if chunk.error is not None:
                said = error_text(msgspec.json.encode({"error": chunk.error}))
                raise self._failed(f"the server reported an error: {said}")
            text = answer.add(chunk, text)
        return text

    async def _raise_status(self, response: aiohttp.ClientResponse, *, usage: bool) -> None:
        said = error_text(await _bounded(response))
        status = response.status
        if status in _RETRY_STATUS:
            after = self._retry_after(response.headers.get("Retry-After"))
            raise _Retryable(self._failed(f"HTTP {status}: {said}"), after)
        failure = self._failed(f"HTTP {status}: {said}", reason="refused", status=status)
        if usage and status in {400, 422}:
            raise _UsageRefused(failure)
        raise failure

    def _retry_after(self, value: str | None) -> float | None:
        """Seconds; RFC 9110 allows a number of seconds or a date. None when it says nothing."""
        if not value:
            return None
        if value.strip().isdigit():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.time())
        except (ValueError, OverflowError):
            return None

    def _failed(self, what: str, *, reason: str = "unreachable", status: int = 0) -> ModelFailed:
        if self._key:
            what = what.replace(self._key, "***")
        hints = {
            401: f"check models.{self.name}.api_key",
            403: f"check models.{self.name}.api_key",
            404: f"check models.{self.name}.base_url (it ends in /v1) and .model",
        }
        return ModelFailed(
            f"model {self.name!r}: {what}",
            reason=reason,
            hint=hints.get(status, "" if reason == "refused" else f"check models.{self.name}"),
        )


def _timeout_text(error: TimeoutError, config: ModelConfig) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {config.connect_timeout_seconds:g} s"
    if isinstance(error, _Silent):
        return f"silent for {config.idle_timeout_seconds:g} s"
    return f"no whole answer within {config.total_timeout_seconds:g} s"


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read what follows the end marker, so that the connection can be used again; briefly."""
    if response.content.at_eof():
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await response.content.readany():
                pass


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error body."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) >= ERROR_BYTES_MAX:
            break
    return body[:ERROR_BYTES_MAX]


class _Silent(TimeoutError):
    """The server said nothing for too long."""


class _spoken_to(within):  # noqa: N801 - used as a function, as `within` is
    """Raises `_Silent` when its time is over, to tell this limit from the whole answer's."""

    __slots__ = ()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        except TimeoutError as timeout:
            raise _Silent from timeout


class _Reading:
    """One answer's body on its way in."""

    __slots__ = ("_head", "_parser", "_size", "_whole", "answer", "begun", "ended")

    def __init__(self) -> None:
        self.answer = Answer()
        self.begun = False
        """Something of the answer was given out."""
        self.ended = False
        self._parser = SseParser(event_bytes_max=EVENT_BYTES_MAX)
        self._size = 0
        self._head = True
        self._whole: list[bytes] | None = None

    def events(self, data: bytes) -> Sequence[bytes]:
        """The events that one network read completes; none was read at the body's end. A body
        that begins with `{` is one whole JSON answer, whatever its declared type."""
        if not data:
            self.ended = True
            return self._parser.finish() if self._whole is None else [b"".join(self._whole), _DONE]
        self._size += len(data)
        if self._size > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        if self._head and data.strip():
            self._head = False
            self._whole = [] if data.lstrip().startswith(b"{") else None
        if self._whole is None:
            return self._parser.feed(data)
        self._whole.append(data)
        return ()
