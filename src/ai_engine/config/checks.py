"""What the schema cannot say: settings that must fit each other, and values with a meaning."""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ai_engine.config.faults import Fault, Loc, nearest
from ai_engine.config.schema import ChannelConfig, Config, DefaultRoute, Rule

RESERVED_CHANNEL = "engine"
"""The built-in channel by which sessions write to each other."""

_CHANNEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def normal_type(name: str) -> str:
    """A channel type in one spelling: lower case, `-` and `_` are the same."""
    return name.strip().lower().replace("-", "_")


ChannelCheck = Callable[[str, ChannelConfig], Iterable[tuple[tuple[str, ...], str, str, bool]]]
"""(type, settings) → (keys below the channel, what is wrong, what to do, whether it refuses)."""


def type_of(name: str, channel: ChannelConfig, known: Collection[str] = ()) -> str:
    """The channel's type: what `type` says or else its key, in the spelling of `known`."""
    written = channel.type.strip() or name
    spelled = {normal_type(each): each for each in known}
    return spelled.get(normal_type(written), written)


def check(
    config: Config, channel_types: Collection[str], look: ChannelCheck | None = None
) -> Iterator[Fault]:
    """Every fault of a configuration whose values have the right shape."""
    for name, channel in config.channels.items():
        yield from _channel(name, channel, config, channel_types, look)
    yield from _models(config)
    for index, rule in enumerate(config.rules()):
        yield from _rule_channel(index, rule, config, channel_types)
    yield from check_action(("default_route",), config.default_route)
    yield from _server(config)
    yield from _urls(config)
    try:
        ZoneInfo(config.skills.timezone)
    except (KeyError, ValueError, OSError):
        what = f"there is no time zone {config.skills.timezone!r}."
        fix = "Write an IANA name, such as Asia/Shanghai or Europe/Berlin."
        yield Fault(loc=("skills", "timezone"), what=what, fix=fix)


def check_action(loc: Loc, rule: Rule | DefaultRoute) -> Iterator[Fault]:
    """What a rule's action needs."""
    if rule.action == "trigger_skill" and not rule.skill_id:
        fix = "Name the skill, such as calendar_query."
        yield Fault(loc=(*loc, "skill_id"), what="trigger_skill needs a skill_id.", fix=fix)
    if rule.action == "reply" and not rule.text.strip():
        yield Fault(loc=(*loc, "text"), what="reply needs a text.", fix="Write the answer.")


def _channel(
    name: str,
    channel: ChannelConfig,
    config: Config,
    channel_types: Collection[str],
    look: ChannelCheck | None,
) -> Iterator[Fault]:
    loc: Loc = ("channels", name)
    if not _CHANNEL_NAME.fullmatch(name):
        fix = "Use letters, digits, '_', '-' and '.', at most 64; the name is part of URLs."
        yield Fault(loc=loc, what="this is no name for a channel.", fix=fix)
    if normal_type(name) == RESERVED_CHANNEL:
        what = f"{RESERVED_CHANNEL!r} is the name of a built-in channel."
        yield Fault(loc=loc, what=what, fix="Choose another name.")
    twins = [n for n in config.channels if normal_type(n) == normal_type(name)]
    if twins[0] != name:
        what = f"this is the same name as {twins[0]!r} ('-' and '_' are the same)."
        yield Fault(loc=loc, what=what, fix="Rename one of them and set its type.")
    if "{message}" not in channel.message_format.text_template:
        what = "the template lacks {message}, so no answer would ever be seen."
        place = (*loc, "message_format", "text_template")
        yield Fault(loc=place, what=what, fix="Put {message} where the answer belongs.")
    if not channel.enabled:
        return
    kind = type_of(name, channel, channel_types)
    if normal_type(kind) not in {normal_type(each) for each in channel_types}:
        yield _not_installed(name, channel, kind, channel_types)
    elif look is not None:
        for key, what, fix, error in look(kind, channel):
            yield Fault(loc=(*loc, *key), what=what, fix=fix, warning=not error)


def _not_installed(
    name: str, channel: ChannelConfig, kind: str, channel_types: Collection[str]
) -> Fault:
    near = nearest(kind, sorted(channel_types))
    meant = f"Did you mean {near!r}? " if near else ""
    return Fault(
        loc=("channels", name, "type") if channel.type else ("channels", name),
        what=f"the connector plugin for channel type {kind!r} is not installed; "
        "the engine starts without this channel.",
        fix=f"{meant}Install a connector plugin that provides it, or set type to one of "
        f"{', '.join(sorted(channel_types))}.",
        warning=True,
    )


def _models(config: Config) -> Iterator[Fault]:
    known = sorted(config.models)
    assistant = config.assistant
    if not assistant.model and len(known) > 1:
        what = "several models are configured, and this does not say which one answers."
        fix = f"Set it to one of {', '.join(known)}."
        yield Fault(loc=("assistant", "model"), what=what, fix=fix)
    named: list[tuple[Loc, str]] = [(("assistant", "model"), assistant.model)]
    named += [(("assistant", "fallbacks", i), m) for i, m in enumerate(assistant.fallbacks)]
    seen: set[str] = set()
    for loc, name in named:
        if name and name not in config.models:
            yield Fault(loc=loc, what=f"there is no model {name!r}.", fix=_model_fix(name, known))
        elif name and name in seen:
            fix = "Remove it here: a model that failed is not asked again in the same turn."
            yield Fault(loc=loc, what=f"{name!r} is named already.", fix=fix, warning=True)
        seen.add(name)


def _model_fix(name: str, known: list[str]) -> str:
    if near := nearest(name, known):
        return f"Did you mean {near!r}?"
    if known:
        return f"Write a key of models: {', '.join(known)}."
    return f"Describe it under models.{name} (base_url, model)."


def _rule_channel(
    index: int, rule: Rule, config: Config, channel_types: Collection[str]
) -> Iterator[Fault]:
    if rule.channel and rule.channel not in {*config.channels, *channel_types}:
        near = nearest(rule.channel, sorted({*config.channels, *channel_types}))
        what = f"there is no channel {rule.channel!r}, so this rule never applies."
        fix = f"Did you mean {near!r}?" if near else "Name a key of channels."
        yield Fault(loc=("routing_rules", index, "channel"), what=what, fix=fix, warning=True)


def _server(config: Config) -> Iterator[Fault]:
    server = config.server
    for here, there in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(server, here) and not getattr(server, there):
            what = f"{here} is set, so {there} is needed too."
            fix = "Set both, or neither when a reverse proxy does TLS."
            yield Fault(loc=("server", there), what=what, fix=fix)
    for index, address in enumerate(server.trusted_proxies):
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError:
            what = f"{address!r} is not an IP address or network."
            fix = "Write an address or a network, such as 10.0.0.5 or 10.0.0.0/8."
            yield Fault(loc=("server", "trusted_proxies", index), what=what, fix=fix)


def _urls(config: Config) -> Iterator[Fault]:
    places: list[tuple[Loc, str]] = [
        (("skills", "weather", "geocoding_url"), config.skills.weather.geocoding_url),
        (("skills", "weather", "forecast_url"), config.skills.weather.forecast_url),
    ]
    for name, model in config.models.items():
        places.append((("models", name, "base_url"), model.base_url or "-"))
    for name, channel in config.channels.items():
        loc: Loc = ("channels", name)
        places.append(((*loc, "callback_url"), channel.callback_url))
        for key, value in channel.endpoints.named().items():
            if not (key == "ws" and value.startswith(("ws://", "wss://"))):
                places.append(((*loc, "endpoints", key), value))
    for loc, url in places:
        if url and not _is_http(url):
            what = "this is not an http or https URL."  # itself not shown: it may hold a token
            yield Fault(loc=loc, what=what, fix="Write one, such as https://host.example/v1 .")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
