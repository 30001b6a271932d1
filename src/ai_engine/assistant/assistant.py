"""The assistant as the turn sees it: begin a state, run it, perhaps several times."""

from collections.abc import Sequence
from dataclasses import dataclass

from ai_engine.assistant.base import Answered, AssistantState, Hooks, MustAsk
from ai_engine.assistant.fallback import FallbackChain
from ai_engine.assistant.loop import AssistantLoop
from ai_engine.assistant.prompt import build_state
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.session import HistoryEntry
from ai_engine.domain.skill import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """What the turn uses: `begin` a state, `run` it, perhaps several times."""

    loop: AssistantLoop
    chain: FallbackChain
    names: tuple[str, ...]
    """Keys of the models in the order in which they are tried; empty when none is configured."""
    system_prompt: str
    history_tokens: int
    context_tokens: int
    """The smallest window of the models in use."""
    answer_tokens: int
    language: str

    def begin(
        self, history: Sequence[HistoryEntry], message: InboundMessage, *, today: str = ""
    ) -> AssistantState:
        """The state in which a turn for this message begins."""
        return build_state(
            self.system_prompt,
            history,
            message,
            self.history_tokens,
            self.context_tokens,
            answer_tokens=self.answer_tokens,
            images=self.chain.images,
            language=self.language,
            today=today,
        )

    async def run(
        self, state: AssistantState, tools: Sequence[Tool], hooks: Hooks
    ) -> Answered | MustAsk:
        """See `AssistantLoop.run`."""
        return await self.loop.run(state, tools, hooks)

    async def close(self) -> None:
        """Let the models go; the connections are the `Egress`'s."""
        await self.chain.close()
