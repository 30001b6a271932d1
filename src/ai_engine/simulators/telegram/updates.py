"""Updates on their way to the bot: pushed to its webhook, else kept until it asks for them.

An update stays until it is confirmed: by a 2xx answer, or by a getUpdates with a higher offset.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from ai_engine.domain.errors import NotFound, Overloaded
from ai_engine.domain.message import Json
from ai_engine.simulators.telegram.objects import NOT_BY_DEFAULT, WANTED
from ai_engine.simulators.telegram.params import ApiError, Params, bad
from ai_engine.simulators.telegram.spoiling import encoded, in_order, spoiled

if TYPE_CHECKING:
    from ai_engine.simulators.telegram.server import TelegramSimulator

PENDING_MAX = 10_000
KEPT_MAX = 5_000
"""Updates kept for `resend`."""
REORDER_SECONDS = 1.0
HOLD_SECONDS_MAX = 50
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
WRONG = "-wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTimes:
    """Of updates that the webhook did not take. The Bot API says "a reasonable amount of
    attempts"; these are ours."""

    first: float = 1.0
    """Seconds before the second attempt; each further pause is twice as long."""
    attempts: int = 5
    answer: float = 10.0
    """How long an answer is waited for, in seconds."""


@dataclass(slots=True, kw_only=True)
class Hook:
    """What setWebhook was given."""

    url: str
    secret: str = ""
    error: str = ""
    error_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Pending:
    """One update that is not confirmed."""

    update: Json
    conversation: str
    entry: str = ""
    """The transcript's entry whose fate it tells."""
    album: str = ""


@dataclass(slots=True)
class Sent:
    """What went out last for an entry, byte for byte."""

    pending: Pending
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


class Updates:
    """One queue a conversation for the webhook; one list for getUpdates."""

    def __init__(self, simulator: "TelegramSimulator", times: RetryTimes) -> None:
        self._sim = simulator
        self._times = times
        self._hook: Hook | None = None
        self._bot_chose = False  # it has called setWebhook, deleteWebhook or getUpdates
        self.allowed: list[str] = []
        self._pending: OrderedDict[int, Pending] = OrderedDict()
        self._kept: OrderedDict[str, Sent] = OrderedDict()
        self._serving: set[str] = set()
        self._news = asyncio.Condition()
        self._poll: asyncio.Event | None = None
        """Set when the call that waits for updates is to end, since another one came."""
        self._last = 0
        self._answers = 0
        self._held: set[str] | None = None
        """Conversations that are served when `together` ends."""

    @property
    def hook(self) -> Hook | None:
        """Until the bot chooses for itself: the engine's address, if there is an engine."""
        sim = self._sim
        url = f"{sim.engine}/api/message/{sim.channel}"
        if not self._bot_chose and sim.engine and (self._hook is None or self._hook.url != url):
            self._hook, self.allowed = Hook(url=url, secret=sim.secret_token), list(WANTED)
        return self._hook

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def wants(self, kind: str) -> bool:
        """Whether the bot has asked for updates of this kind."""
        return kind in self.allowed if self.allowed else kind not in NOT_BY_DEFAULT

    def check_room(self) -> None:
        """Raises Overloaded."""
        if len(self._pending) >= PENDING_MAX:
            raise Overloaded(f"{PENDING_MAX} updates are under way already")

    async def put(
        self, kind: str, body: Json, *, conversation: str, entry: str = "", album: str = ""
    ) -> int:
        """Queue an update; its number, 0 when the bot does not want its kind."""
        if not self.wants(kind):
            self._settle(entry, taken=False, detail=f"allowed_updates leaves out {kind}")
            return 0
        self._last += 1
        pending = Pending(
            update={"update_id": self._last, kind: body},
            conversation=conversation,
            entry=entry,
            album=album,
        )
        await self._add(pending)
        return self._last

    async def _add(self, pending: Pending) -> None:
        self._pending[pending.update["update_id"]] = pending
        if pending.entry:
            self._kept[pending.entry] = Sent(pending)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        if self.hook is not None:
            self._serve(pending.conversation)
        async with self._news:
            self._news.notify_all()

    async def resend(self, entry: str, *, replay: bool) -> None:
        """See `Simulator.resend`. To a bot that polls it comes as a new update."""
        kept = self._kept.get(entry)
        if kept is None:
            raise NotFound(f"no message {entry} is kept")
        if self.hook is None:
            self._last += 1
            again = {**kept.pending.update, "update_id": self._last}
            conversation = kept.pending.conversation
            await self._add(Pending(update=again, conversation=conversation, entry=entry))
        elif replay and kept.body:
            await self._post(self.hook, kept.headers, kept.body)
        else:
            await self._deliver(self.hook, kept.pending)

    # The webhook.

    def set_hook(self, hook: Hook | None) -> None:
        """A new webhook, or none; what waits goes there at once."""
        self._hook, self._bot_chose = hook, True
        if hook is not None:
            for conversation in {pending.conversation for pending in self._pending.values()}:
                self._serve(conversation)

    def drop(self) -> None:
        """drop_pending_updates."""
        self._pending.clear()

    @contextmanager
    def together(self) -> Generator[None]:
        """What is put inside leaves at once at the end, as the parts of an album do."""
        self._held = set()
        try:
            yield
        finally:
            held, self._held = self._held, None
            for conversation in held:
                self._serve(conversation)

    def close(self) -> None:
        """End the call that waits for updates."""
        if self._poll is not None:
            self._poll.set()
            self._sim.own(self._wake())

    def _serve(self, conversation: str) -> None:
        if self._held is not None:
            self._held.add(conversation)
        elif conversation not in self._serving:
            self._serving.add(conversation)
            self._sim.own(self._serve_all(conversation))

    async def _serve_all(self, conversation: str) -> None:
        try:
            while self.hook is not None and (run := await self._run(conversation)):
                for batch in run:
                    await asyncio.gather(*(self._send(pending) for pending in batch))
        finally:
            self._serving.discard(conversation)

    def _of(self, conversation: str) -> list[Pending]:
        return [p for p in self._pending.values() if p.conversation == conversation]

    async def _run(self, conversation: str) -> list[list[Pending]]:
        """The next updates: one, an album together, or a reversed run if the knob says so."""
        size = self._sim.faults.reorder
        if size > 1:
            try:
                async with asyncio.timeout(REORDER_SECONDS), self._news:
                    await self._news.wait_for(lambda: len(self._of(conversation)) >= size)
            except TimeoutError:
                pass  # a shorter run then
            return [[pending] for pending in self._of(conversation)[:size][::-1]]
        waiting = self._of(conversation)
        if not waiting:
            return []
        first = waiting[0]
        return [[p for p in waiting if p is first or (p.album and p.album == first.album)]]

    async def _send(self, pending: Pending) -> None:
        """Until it is taken, given up, or the webhook is gone."""
        sim, pause = self._sim, self._times.first
        if sim.faults.delay_seconds:
            await sim.clock.sleep(sim.faults.delay_seconds)
        number = pending.update["update_id"]
        for attempt in range(1, self._times.attempts + 1):
            if (hook := self.hook) is None:
                return
            taken, detail = await self._deliver(hook, pending)
            self._settle(pending.entry, taken=taken, detail=detail, via="webhook")
            if taken:
                for _ in range(sim.faults.duplicate):
                    await self._deliver(hook, pending)
                break
            hook.error, hook.error_at = (
                f"Wrong response from the webhook: {detail}",
                sim.clock.time(),
            )
            if attempt < self._times.attempts:
                await sim.clock.sleep(pause)
                pause *= 2
        self._pending.pop(number, None)

    async def _deliver(self, hook: Hook, pending: Pending) -> tuple[bool, str]:
        faults = self._sim.faults
        headers = {"Content-Type": "application/json"}
        if hook.secret:
            headers[SECRET_HEADER] = hook.secret + (WRONG if faults.wrong_secret else "")
        body = encoded(spoiled(pending.update, faults), faults)
        if pending.entry in self._kept:
            self._kept[pending.entry] = Sent(pending, headers, body)
        return await self._post(hook, headers, body)

    async def _post(self, hook: Hook, headers: dict[str, str], body: bytes) -> tuple[bool, str]:
        """(taken, detail). The answer may hold one method call (Bot API, "Making requests when
        getting updates")."""
        sim = self._sim
        began = asyncio.get_running_loop().time()
        status, answer, error = 0, b"", ""
        try:
            async with sim.http.post(
                hook.url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._times.answer),
                allow_redirects=False,
            ) as response:
                status = response.status
                answer = await response.content.read(65_536)
        except TimeoutError:
            error = f"no answer within {self._times.answer:g} s"
        except (aiohttp.ClientError, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        sim.wire.add(
            direction="out",
            at=sim.clock.time(),
            method="POST",
            path=f"/api/message/{sim.channel}",
            headers=headers,
            body=body,
            status=status,
            answer=answer,
            milliseconds=(asyncio.get_running_loop().time() - began) * 1000,
            error=error,
        )
        if 200 <= status < 300:
            await self._answered(answer)
        return 200 <= status < 300, error or f"HTTP {status}"

    async def _answered(self, answer: bytes) -> None:
        try:
            called: Any = msgspec.json.decode(answer)
        except msgspec.DecodeError:
            return  # an answer without a call may be anything
        if isinstance(called, dict) and isinstance(called.get("method"), str):  # pyright: ignore[reportUnknownMemberType]
            params = Params({str(k): v for k, v in called.items()})  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
            try:
                await self._sim.api.run(params.text("method"), params)
            except ApiError as error:
                self._sim.wire.add(
                    direction="in",
                    at=self._sim.clock.time(),
                    method="(in the answer)",
                    path=f"/{params.text('method')}",
                    body=answer,
                    status=error.status,
                    error=error.description,
                )

    def _settle(self, entry: str, *, taken: bool, detail: str, via: str = "") -> None:
        if entry:
            status = "delivered" if taken else "undelivered"
            self._sim.transcript.mark(entry, status=status, detail=detail, via=via)

    # getUpdates.

    async def get(self, params: Params) -> list[Json]:
        """getUpdates. Raises ApiError."""
        if self.hook is not None:
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        self._bot_chose = True
        superseded = self._newest_poll()
        if self._sim.faults.take("rival"):
            raise self._other()
        allowed = params.json("allowed_updates")
        if isinstance(allowed, list):
            self.allowed = [str(kind) for kind in allowed]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        self._confirm(params.number("offset", 0))
        hold = min(params.number("timeout", 0), HOLD_SECONDS_MAX)
        try:
            async with asyncio.timeout(hold or 0.001), self._news:
                await self._news.wait_for(lambda: self._pending or superseded.is_set())
        except TimeoutError:
            pass  # nothing to tell
        if superseded.is_set():
            raise self._other()
        limit = max(1, min(params.number("limit", 100), 100))
        return await self._batch(limit)

    def _newest_poll(self) -> asyncio.Event:
        if self._poll is not None:
            self._poll.set()
        self._poll = asyncio.Event()
        self._sim.own(self._wake())
        return self._poll

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    @staticmethod
    def _other() -> ApiError:
        return ApiError(
            409,
            "Conflict: terminated by other getUpdates request; "
            "make sure that only one bot instance is running",
        )

    def _confirm(self, offset: int) -> None:
        """A negative offset counts from the end and forgets all before."""
        numbers = list(self._pending)
        if offset < 0:
            offset = numbers[max(len(numbers) + offset, 0)] if numbers else 0
        for number in numbers:
            if number < offset:
                pending = self._pending.pop(number)
                self._settle(pending.entry, taken=True, detail="confirmed", via="poll")

    async def _batch(self, limit: int) -> list[Json]:
        faults = self._sim.faults
        found = list(self._pending.values())[:limit]
        if found and faults.delay_seconds:
            await self._sim.clock.sleep(faults.delay_seconds)
        if found and self._cut():
            raise bad("the connection is cut")
        if found and faults.malformed_json:
            faults.malformed_answer += 1
        updates = [spoiled(pending.update, faults) for pending in found]
        return in_order(updates, faults)

    def _cut(self) -> bool:
        """Whether this answer is the one that `drop_at_frame` names; the gate closes for it."""
        faults = self._sim.faults
        if not faults.drop_at_frame:
            return False
        self._answers += 1
        if self._answers < faults.drop_at_frame:
            return False
        self._answers, faults.drop_at_frame = 0, 0
        faults.drop_answer += 1
        return True
