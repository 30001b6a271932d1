"""One turn's work: what it has to hand, and what it has done so far."""

import asyncio
import logging
from dataclasses import replace
from typing import Any, Final

from ai_engine.assistant.base import AssistantState
from ai_engine.assistant.prompt import estimate_tokens
from ai_engine.assistant.state import dump_state, load_state
from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Attachment, Json
from ai_engine.domain.reply import Card, Reply
from ai_engine.domain.session import Context, HistoryEntry
from ai_engine.domain.skill import Tool, ToolCall, ToolContext, ToolResult, spoken_language
from ai_engine.domain.texts import text
from ai_engine.journal.base import AuditEntry, Journal, Outcome, Turn
from ai_engine.observe.metrics import Metrics
from ai_engine.observe.stopwatch import Stopwatch
from ai_engine.pipeline.plan import Plan
from ai_engine.pipeline.replies import as_replies, framed
from ai_engine.pipeline.stream import PartialText
from ai_engine.policy.authorize import Actor

log = logging.getLogger(__name__)

EVERYONE: Final = frozenset({"employee"})
"""The roles of whoever arrives through an authenticated channel."""


class Work:
    """Implements `assistant.base.Hooks`: the loop and the triggers act through it."""

    def __init__(
        self, turn: Turn, plan: Plan, journal: Journal, metrics: Metrics, clock: Clock
    ) -> None:
        self.turn = turn
        self.plan = plan
        self.metrics = metrics
        self.clock = clock
        self.message = turn.message
        sender = turn.message.sender
        self.actor = Actor(id=f"{sender.platform}:{sender.tenant}/{sender.user_id}", roles=EVERYONE)
        self.language = spoken_language(turn.message.text, plan.config.language)
        if turn.suspended is not None:
            self.language = str(turn.suspended.state.get("language", self.language))
        self.trace: list[Json] = []
        self.audit: list[AuditEntry] = []
        self.context: Context | None = None
        self.watch = Stopwatch(clock)
        self.model_seconds = 0.0
        self.said = turn.message.text
        """The person's words that this turn answers; a resumed turn's are those asked about."""
        self.journal = journal
        saved = turn.checkpoint or {}
        self._saved: Json = dict(saved)
        self.text = str(saved.get("stopped", ""))
        """The answer so far, for a turn that is stopped."""
        self.stream = PartialText(
            plan.channels.get(self.message.channel),
            {**self.message.target, "session_key": turn.session.key},
            turn.id,
            clock,
            self._remember_stream,
            handle=saved.get("stream"),
            blocked=lambda: journal.undelivered(turn.session.key),
        )
        config = plan.config.channels.get(self.message.channel)
        self._template = config.message_format.text_template if config else "{message}"
        self._rated = config.feedback if config else True

    # What the turn's end is made of.

    def step(self, name: str, /, **detail: Any) -> None:
        """One line of the message's story; never what people wrote."""
        self.trace.append({"at": self.clock.time(), "step": name, **detail})

    def say(self, code: str, **values: object) -> str:
        """One of the engine's own sentences in the person's language."""
        return text(code, self.language, **values)

    def replies(
        self,
        answer: str,
        produced_by: str,
        card: Card | None = None,
        *,
        media: tuple[Attachment, ...] = (),
        rated: bool = False,
    ) -> tuple[Reply, ...]:
        return as_replies(
            self.turn.id,
            answer,
            template=self._template,
            capabilities=self.plan.capabilities(self.message.channel),
            produced_by=produced_by,
            card=card,
            stream=self.stream.handle,
            media=media,
            feedback=self.turn.id if rated and self._rated else "",
        )

    def outcome(
        self,
        answer: str,
        produced_by: str,
        *,
        card: Card | None = None,
        media: tuple[Attachment, ...] = (),
        remember: bool = False,
        **more: Any,
    ) -> Outcome:
        """The turn's end: one answer, and with `remember` a place in the model's history."""
        history: tuple[HistoryEntry, ...] = ()
        if remember:
            history = (
                HistoryEntry(role="user", text=self.said, tokens=estimate_tokens(self.said)),
                HistoryEntry(role="assistant", text=answer, tokens=estimate_tokens(answer)),
            )
        more.setdefault("context", self.context)
        self.step("answered", by=produced_by, chars=len(answer))
        return Outcome(
            replies=self.replies(answer, produced_by, card, media=media, rated=remember),
            history=history,
            audit=tuple(self.audit),
            trace=tuple(self.trace),
            **more,
        )

    def finishing_stream(self, outcome: Outcome) -> Outcome:
        """The answer, which finishes the stream also when that was opened only just now."""
        if self.stream.handle is None or not outcome.replies:
            return outcome
        first, *rest = outcome.replies
        return replace(outcome, replies=(replace(first, stream=self.stream.handle), *rest))

    # Hooks of the assistant's loop; the triggers use them too.

    def on_text(self, text: str) -> None:
        self.text = text
        self.stream.show(framed(self._template, text))

    def outside(self, seconds: float, what: str) -> None:
        self.model_seconds += seconds
        self.watch.add(seconds, what)

    async def checkpoint(self, state: AssistantState) -> None:
        await self._save("assistant", dump_state(state))

    async def _remember_stream(self, handle: Json) -> None:
        await self._save("stream", handle)

    async def keep_stream(self) -> None:
        """Before this attempt is given up: the next one, or the apology, must find the stream."""
        if self.stream.handle is not None and "stream" not in self._saved:
            await self._remember_stream(self.stream.handle)

    @property
    def was_stopped(self) -> bool:
        """A `/stop` meant an earlier attempt of this turn, which then ended with the process."""
        return "stopped" in (self.turn.checkpoint or {})

    async def mark_stopped(self) -> None:
        """Durable: whatever happens, this turn's answer is what was said so far."""
        await self._save("stopped", self.text)

    async def _save(self, name: str, value: Any) -> None:
        self._saved = {**self._saved, name: value}  # a new one: the journal may hold the former
        await self.journal.checkpoint(self.turn, self._saved)

    def saved_state(self) -> AssistantState | None:
        """Where an earlier attempt of this turn had got to."""
        saved = (self.turn.checkpoint or {}).get("assistant")
        return None if saved is None else load_state(saved)

    def allowed(self, action: str) -> bool:
        """The one policy point, for the message's sender."""
        return self.plan.policy.authorize(self.actor, action, self.turn.session.key).allowed

    async def call(self, tool: Tool, call: ToolCall) -> ToolResult:
        """Authorise, run with a time-out, record. A tool's own failure is a result."""
        if not self.allowed(tool.permission):
            result = ToolResult(text=self.say("turn.denied", action=tool.permission), error=True)
            return self._record(tool, call, result, "denied", 0.0)
        context = ToolContext(
            message=self.message,
            idempotency_key=f"{self.turn.id}/{call.id}",
            language=self.language,
            params=self.turn.session.context.params,
        )
        started = self.clock.monotonic()
        outcome = "ok"
        try:
            with self.watch.outside("tool"):
                async with asyncio.timeout(tool.timeout_seconds):
                    result = await tool.invoke(call.arguments, context)
        except TimeoutError:
            outcome = "timeout"
            sentence = self.say("skill.timeout", skill=tool.name, seconds=tool.timeout_seconds)
            result = ToolResult(text=sentence, error=True)
        except Exception:  # a skill's bug is its result; logged, never swallowed
            outcome = "crashed"
            log.exception("skill %s failed", tool.name)
            result = ToolResult(text=self.say("skill.crashed", skill=tool.name), error=True)
        except asyncio.CancelledError:
            seconds = self.clock.monotonic() - started
            self._record(tool, call, ToolResult(text="", error=True), "cancelled", seconds)
            raise
        if result.error and outcome == "ok":
            outcome = "error"
        return self._record(tool, call, result, outcome, self.clock.monotonic() - started)

    def _record(
        self, tool: Tool, call: ToolCall, result: ToolResult, outcome: str, seconds: float
    ) -> ToolResult:
        self.metrics.tool_call(tool.name, outcome, seconds)
        self.step("tool", name=tool.name, call=call.id, result=outcome, seconds=round(seconds, 4))
        self.audit.append(
            AuditEntry(
                action=tool.permission,
                actor=self.actor.id,
                resource=tool.name,
                outcome=outcome,
            )
        )
        if not result.error:
            before = self.context or self.turn.session.context
            self.context = replace(before, last_skill=tool.name, params=dict(call.arguments))
        return result
