"""What `ai-engine init` was told, as the configuration that it makes."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ai_engine.channels.about import needed, place
from ai_engine.channels.types import about
from ai_engine.cli.init_channel import WEBHOOK, Flags, groups, literal, settings_of
from ai_engine.cli.init_texts import invalid
from ai_engine.config.schema import Auth


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a configuration is made of."""

    lang: str = "en"
    channel: str = ""
    mode: str = ""
    settings: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """`auth` field, or `endpoints.<name>` → its value as it will stand in the file."""
    callback_url: str | None = None
    model_url: str | None = None
    model_name: str = ""
    model_key: str | None = field(default=None, repr=False)
    """As it will stand in the file."""


def draft(answers: Answers) -> dict[str, Any]:
    """The configuration of these answers, as it is written."""
    channel: dict[str, Any] = {"enabled": True}
    if len(about(answers.channel).modes) > 1:
        channel["mode"] = answers.mode
    for name, value in answers.settings.items():
        section, key = place(name)
        channel.setdefault(section, {})[key] = _listed(value) if _is_list(name) else value
    if answers.callback_url:
        channel["callback_url"] = literal(answers.callback_url)
    made: dict[str, Any] = {"language": answers.lang, "channels": {answers.channel: channel}}
    if answers.model_url:
        model = {"base_url": literal(answers.model_url), "model": literal(answers.model_name)}
        if answers.model_key:
            model["api_key"] = answers.model_key
        made["models"] = {"main": model}
        made["assistant"] = {"model": "main"}
    return made


def settled(answers: Answers, flags: Flags) -> Answers:
    """With what the flags say of the chosen channel, and secrets of our own making.

    Raises:
        ConfigInvalid: a flag is wrong, or this channel would silently ignore it.
    """
    platform, lang = about(answers.channel), answers.lang
    if answers.mode not in (platform.modes or ("",)):
        key, known = ("no_mode" if platform.modes else "no_use"), ", ".join(platform.modes)
        where = f"--mode {answers.mode}"
        raise invalid(where, key, lang, channel=platform.type, known=known)
    if answers.callback_url and answers.channel != WEBHOOK:
        raise invalid("--callback-url", "no_use", lang, channel=platform.type)
    settings = settings_of(platform, flags, lang)
    for group in groups(platform, answers.mode):
        for name in group.names:
            if name in platform.made:
                settings.setdefault(name, secrets.token_urlsafe(32))
    return replace(answers, settings=settings)


def _is_list(name: str) -> bool:
    return "." not in name and isinstance(Auth.model_fields[name].default, tuple)


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def references(answers: Answers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Places whose secret stays elsewhere and may come later than the configuration; and places
    that are only reported since such a secret is not there yet."""
    base = f"$.channels.{answers.channel}"
    later = {name for name, value in answers.settings.items() if value.startswith("${")}
    instead = {
        name
        for names in needed(about(answers.channel), answers.mode)
        if later.intersection(names)
        for name in names
        if name not in later
    }
    places = [f"{base}.{'.'.join(place(name))}" for name in sorted(later)]
    if (answers.model_key or "").startswith("${"):
        places.append("$.models.main.api_key")
    return tuple(places), tuple(f"{base}.{'.'.join(place(name))}" for name in sorted(instead))
