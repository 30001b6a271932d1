"""The assistant's state to JSON and back, for checkpoints and suspended turns."""

import msgspec

from ai_engine.assistant.base import AssistantState
from ai_engine.domain.message import Json

STATE_VERSION = 1


def dump_state(state: AssistantState) -> Json:
    """Plain JSON values. Lists and dicts of `state` are copied."""
    return msgspec.to_builtins(state)


def load_state(data: Json) -> AssistantState:
    """The state that `dump_state` wrote.

    Raises:
        ValueError: not such a state, or written by a newer version.
    """
    state = msgspec.convert(data, AssistantState)
    if state.version > STATE_VERSION:
        raise ValueError(f"assistant state of version {state.version}; known: {STATE_VERSION}")
    return state
