"""From the configuration to a working assistant. Nothing is opened or called here."""

from ai_engine.assistant.assistant import Assistant
from ai_engine.assistant.fallback import FallbackChain
from ai_engine.assistant.limits import CircuitBreaker, ConcurrencyLimit
from ai_engine.assistant.loop import AssistantLoop, LoopLimits
from ai_engine.assistant.openai_http import OpenAIModel
from ai_engine.config.schema import Config, ModelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import ConfigInvalid, Problem
from ai_engine.security.egress import Egress


def model_names(config: Config) -> tuple[str, ...]:
    """Keys of the models that answer, in order.

    Raises:
        ConfigInvalid: `assistant` names a model that is not in `models`.
    """
    first = config.assistant.model
    if not first and len(config.models) == 1:
        first = next(iter(config.models))
    names = tuple(dict.fromkeys(name for name in (first, *config.assistant.fallbacks) if name))
    problems = [
        Problem(
            where="$.assistant",
            what=f"The model {name!r} is not in models.",
            fix=f"Known models: {', '.join(config.models) or 'none'}.",
        )
        for name in names
        if name not in config.models
    ]
    if problems:
        raise ConfigInvalid(problems)
    return names


def build_assistant(config: Config, egress: Egress, clock: Clock) -> Assistant:
    """The assistant as configured. `egress` need not be started yet.

    Raises:
        ConfigInvalid: see `model_names`.
    """
    names = model_names(config)
    used = [config.models[name] for name in names]
    chain = FallbackChain([_guarded(name, config.models[name], egress, clock) for name in names])
    limits = LoopLimits(
        rounds_max=config.assistant.rounds_max,
        parallel_tools_max=config.assistant.parallel_tools_max,
    )
    return Assistant(
        loop=AssistantLoop(chain, limits=limits, clock=clock),
        chain=chain,
        names=names,
        system_prompt=config.assistant.system_prompt,
        history_tokens=config.assistant.history_tokens,
        context_tokens=min((model.context_tokens for model in used), default=8192),
        answer_tokens=max((model.max_tokens or 1024 for model in used), default=1024),
        language=config.language,
    )


def _guarded(name: str, config: ModelConfig, egress: Egress, clock: Clock) -> CircuitBreaker:
    """The breaker is outermost: what it refuses takes no place among the calls in flight."""
    model = OpenAIModel(name, config, egress, clock)
    limited = ConcurrencyLimit(
        model, calls_max=config.concurrency, wait_seconds_max=config.total_timeout_seconds
    )
    return CircuitBreaker(limited, clock)
