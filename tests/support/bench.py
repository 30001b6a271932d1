"""The road in hand: ingress, turns and deliveries on a journal of the test's choice."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from ai_engine.assistant.assistant import Assistant
from ai_engine.assistant.fakes import Line, ScriptedModel
from ai_engine.assistant.fallback import FallbackChain
from ai_engine.assistant.loop import AssistantLoop, LoopLimits
from ai_engine.channels.base import (
    Address,
    Capabilities,
    Outgoing,
    Profile,
    Status,
    WebhookResponse,
)
from ai_engine.config.schema import Config
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import (
    Chat,
    ChatKind,
    InboundMessage,
    Media,
    MessageKind,
    Sender,
)
from ai_engine.domain.skill import Tool, ToolResult
from ai_engine.events.base import MemoryEvents
from ai_engine.observe.metrics import Metrics
from ai_engine.pipeline.delivery import Deliveries
from ai_engine.pipeline.ingress import Ingress
from ai_engine.pipeline.latency import OwnShare
from ai_engine.pipeline.plan import Plan
from ai_engine.pipeline.turn import Turns
from ai_engine.policy.authorize import Policy
from ai_engine.routing.match import RoutingTable

from support.clock import ManualClock
from support.hosts import MemoryMedia

SECONDS = 5.0
_numbers = itertools.count(1)


class FakeChannel:
    """Records what the road hands it; `fail` is raised by the next sends, `failures` in order."""

    type = "fake"

    def __init__(self, name: str = "chat", **capabilities: Any) -> None:
        self.name = name
        self.capabilities = Capabilities(**{"text_limit": 4000, **capabilities})
        self.sent: list[Outgoing] = []
        self.finished: list[tuple[dict[str, Any], Outgoing]] = []
        self.opened: list[tuple[dict[str, Any], str]] = []
        self.updates: list[str] = []
        self.failures: list[BaseException] = []
        self.update_failure: Exception | None = None
        self.open_failure: Exception | None = None
        self.open_gate: asyncio.Event | None = None
        self.can_stream = True
        self.send_gate: asyncio.Event | None = None
        self.closed = False
        self.noticed: list[Any] = []
        self.seen_failure: Exception | None = None
        self.contents: dict[str, Media] = {}
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Nothing to open."""

    async def webhook(self, request: Any, accept: Any) -> WebhookResponse:
        raise AssertionError("not used")

    async def run(self, accept: Any) -> None:
        """No long connection."""

    async def _took(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _send(self, outgoing: Outgoing, handle: dict[str, Any] | None = None) -> None:
        if self.send_gate is not None:
            await self.send_gate.wait()
        if self.failures:
            failure = self.failures.pop(0)
            await self._took()
            raise failure
        self.sent.append(outgoing)
        if handle is not None:
            self.finished.append((handle, outgoing))
        await self._took()

    async def seen(self, target: Any) -> None:
        self.noticed.append(target)
        if self.seen_failure is not None:
            raise self.seen_failure

    async def fetch(self, attachment: Any, target: Any) -> Media:
        if attachment.ref not in self.contents:
            raise SendRefused("no such file")
        return self.contents[attachment.ref]

    def address(self, to: str) -> Address:
        return Address(chat=Chat(kind=ChatKind.PRIVATE, id=to), user_id=to, target={"to": to})

    async def profile(self, user_id: str) -> Profile | None:
        return Profile(user_id=user_id, name=user_id.title())

    async def check(self) -> str:
        return "fine"

    async def register(self, base_url: str) -> str:
        return f"{base_url}/api/message/{self.name}"

    async def send(self, outgoing: Outgoing) -> None:
        assert outgoing.reply.stream is None
        await self._send(outgoing)

    async def open_stream(self, target: Any, key: str) -> Any:
        self.opened.append((target, key))
        await self._took()
        if self.open_gate is not None:
            await self.open_gate.wait()
        if self.open_failure is not None:
            raise self.open_failure
        return {"card": f"{key}/{len(self.opened)}"} if self.can_stream else None

    async def update(self, handle: Any, text: str) -> None:
        if self.update_failure is not None:
            raise self.update_failure
        self.updates.append(text)
        await self._took()

    async def finish(self, handle: Any, outgoing: Outgoing) -> None:
        await self._send(outgoing, handle)

    def status(self) -> Status:
        return Status(state="ready")

    async def close(self) -> None:
        self.closed = True

    async def until(self, predicate: Callable[[], Any]) -> None:
        """Wait until the channel has seen that."""
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(predicate)

    @property
    def texts(self) -> list[str]:
        return [outgoing.reply.text for outgoing in self.sent]

    def answers(self, message_id: str) -> list[str]:
        return [o.reply.text for o in self.sent if o.in_reply_to == message_id]


def assistant_of(model: ScriptedModel, clock: Any, language: str = "en") -> Assistant:
    """An assistant on one scripted model."""
    chain = FallbackChain([model])
    return Assistant(
        loop=AssistantLoop(chain, limits=LoopLimits(), clock=clock),
        chain=chain,
        names=(model.name,),
        system_prompt="You help.",
        history_tokens=3000,
        context_tokens=8192,
        answer_tokens=512,
        language=language,
    )


def tool(name: str = "look", run: Any = None, **more: Any) -> Tool:
    """A skill that an employee may use; `run(arguments, context)` gives its text."""

    async def invoke(arguments: Any, context: Any) -> ToolResult:
        found = f"{name} done" if run is None else run(arguments, context)
        if asyncio.iscoroutine(found):
            found = await found
        return found if isinstance(found, ToolResult) else ToolResult(text=found)

    return Tool(
        **{
            "name": name,
            "description": f"does {name}",
            "parameters": {"type": "object", "properties": {}},
            "invoke": invoke,
            "permission": "skill:calendar_add.use",
            "from_text": lambda text, _: {"what": text},
            "title": f"The {name}",
            "title_zh": f"{name}技能",
            **more,
        }
    )


class Bench:
    """Ingress, turns and deliveries on a journal, with a channel, tools and a model of the test."""

    def __init__(
        self,
        journal: Any,
        clock: Any = None,
        *,
        channel: FakeChannel | None = None,
        tools: Sequence[Tool] = (),
        model: ScriptedModel | None = None,
        **config: Any,
    ) -> None:
        self.journal = journal
        self.clock = clock or ManualClock()
        self.channel = channel or FakeChannel()
        self.model = model or ScriptedModel()
        self.events = MemoryEvents()
        self.media = MemoryMedia()
        self.metrics = Metrics()
        self.share = OwnShare()
        self.plan = self.make_plan(tools, **config)
        self.turns = Turns(
            journal, self.events, self.metrics, self.clock, self.share, lambda: self.plan
        )
        self.deliveries = Deliveries(
            journal, self.metrics, self.clock, self.share, lambda: self.plan
        )
        self.ingress = Ingress(
            journal, self.events, self.metrics, self.clock, lambda: self.plan.config
        )
        self.running: list[asyncio.Task[None]] = []

    def make_plan(self, tools: Sequence[Tool] = (), **config: Any) -> Plan:
        rules = [
            {"pattern": f"^!{t.name}", "action": "trigger_skill", "skill_id": t.name} for t in tools
        ]
        made = Config.model_validate(
            {
                "language": "en",
                "channels": {self.channel.name: {"type": "fake"}},
                "routing_rules": [
                    *rules,
                    {"pattern": "^ping$", "action": "reply", "text": "pong"},
                    {"pattern": "^hush", "action": "drop"},
                    {"pattern": "^!", "action": "trigger_skill", "skill_id": "missing"},
                ],
                **config,
            }
        )
        return Plan(
            config=made,
            routes=RoutingTable(made.rules(), made.default_route),
            assistant=assistant_of(self.model, self.clock),
            tools={t.name: t for t in tools},
            channels={self.channel.name: self.channel},
            policy=Policy.default(),
            media=self.media,
        )

    def message(
        self,
        text: str,
        *,
        id: str = "",  # noqa: A002 - reads well in tests
        user: str = "anna",
        chat: str = "c1",
        group: bool = False,
        kind: MessageKind = MessageKind.TEXT,
        **more: Any,
    ) -> InboundMessage:
        return InboundMessage(
            channel=self.channel.name,
            message_id=id or f"m{next(_numbers)}",
            sender=Sender(platform="fake", user_id=user, tenant="t"),
            chat=Chat(kind=ChatKind.GROUP if group else ChatKind.PRIVATE, id=chat),
            kind=kind,
            text=text,
            **{"target": {"to": chat}, **more},
        )

    async def say(self, text: str, **more: Any) -> str:
        """Accept a message; its platform id."""
        message = self.message(text, **more)
        await self.ingress.accept(message)
        return message.message_id

    async def ask(self, text: str, **more: Any) -> str:
        """Accept a message and wait for its (last) answer."""
        message_id = await self.say(text, **more)
        return await self.answer_to(message_id)

    async def answer_to(self, message_id: str, count: int = 1) -> str:
        await self.channel.until(lambda: len(self.channel.answers(message_id)) >= count)
        return self.channel.answers(message_id)[-1]

    async def next_answer(self, before: int) -> str:
        """The answer after the first `before` ones, whatever it answers."""
        await self.channel.until(lambda: len(self.channel.sent) > before)
        return self.channel.texts[before]

    async def story(self, message_id: str) -> dict[str, Any]:
        found = await self.journal.trace(message_id)
        assert found is not None
        return found

    async def until_state(self, message_id: str, state: str) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while (story := await self.story(message_id))["state"] != state:
                await asyncio.sleep(0)
        return story

    async def until(self, predicate: Callable[[], Any]) -> None:
        async with asyncio.timeout(SECONDS):
            while not predicate():
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """Until the journal has done all that was asked for."""
        for _ in range(3):
            await self.journal.stats()
            for _ in range(20):
                await asyncio.sleep(0)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def session(self, text: str = "", **more: Any) -> Any:
        return await self.journal.session_by_key(self.ingress.key(self.message(text, **more)))

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.running = [
            loop.create_task(self.turns.run()),
            loop.create_task(self.deliveries.run()),
        ]

    async def stop(self) -> None:
        """End without draining, as a process that is told to hurry."""
        for task in self.running:
            task.cancel()
        for task in self.running:
            with suppress(asyncio.CancelledError):
                await task

    async def drain(self) -> None:
        await self.journal.drain()
        async with asyncio.timeout(SECONDS):
            for task in self.running:
                await task
        self.running = []


@asynccontextmanager
async def bench(journal: Any, clock: Any = None, **more: Any) -> AsyncIterator[Bench]:
    """The three parts running on an open journal; the road's own failure is the test's."""
    made = Bench(journal, clock, **more)
    made.start()
    try:
        async with asyncio.timeout(SECONDS):
            while not (await journal.stats()).owner:
                await asyncio.sleep(0)
        yield made
        for task in made.running:
            assert not task.done() or task.exception() is None, task.exception()
    finally:
        await made.stop()


def line(*pieces: str, gate: asyncio.Event | None = None, **more: Any) -> Line:
    """A model answer in pieces; with `gate`, the last one waits."""
    return Line(pieces=pieces, gate=gate, **more)


class Failing:
    """The journal, but for calls that a test makes fail."""

    def __init__(self, inner, **failures):
        self._inner = inner
        self.failures = {name: list(errors) for name, errors in failures.items()}
        self.calls = []

    def __getattr__(self, name):
        real = getattr(self._inner, name)
        if name not in self.failures:
            return real

        async def call(*args, **more):
            self.calls.append(name)
            if self.failures[name]:
                raise self.failures[name].pop(0)
            return await real(*args, **more)

        return call
