"""What a connector says of itself: names, credentials, permissions. Plain data, shown to people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ai_engine.config.schema import ChannelConfig
from ai_engine.security.egress import origin

_REPLIES: Final = ("markdown", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One right that the platform's console grants to the app."""

    name: str
    """Exactly as the platform names it."""
    zh: str
    en: str
    """What we need it for."""
    page: str
    """Where it is granted: the console's page, in its own words, with its URL where it has one."""
    needed: str = "always"
    """always | the feature that needs it, such as `cards`, `groups`, `media`, `directory`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One connector type."""

    type: str
    zh: str
    en: str
    """The platform's name."""
    modes: Sequence[str] = ()
    """How messages may come in, the default first; () when there is but one way."""
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """mode (or `*`) → names of `auth` fields that must be set."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """`auth` field → the general name (`app_id`, `app_secret`) that stands in for it."""
    permissions: Sequence[Permission] = ()
    replies: Sequence[str] = _REPLIES
    """Forms of `reply` that it has."""
    endpoints: Sequence[str] = ("api",)
    """Names of `endpoints` that it uses."""
    console: str = ""
    """URL of the platform's developer console."""
    outgoing_only: bool = False
    """True: it can only be written to."""


def mode_of(about: About, config: ChannelConfig) -> str:
    """The configured mode, or the type's default; empty when the type has but one way."""
    return config.mode or (about.modes[0] if about.modes else "")


def credential(about: About, config: ChannelConfig, name: str) -> str:
    """An `auth` field by its own name, or by the general name that stands in for it."""
    return config.auth.plain(name) or (
        config.auth.plain(about.aliases[name]) if name in about.aliases else ""
    )


def problems(about: About, config: ChannelConfig) -> list[str]:
    """What an administrator should mend, in sentences; [] when all is well."""
    found: list[str] = []
    mode = mode_of(about, config)
    if mode not in (about.modes or ("",)):
        known = " or ".join(about.modes) or "no mode (leave it out)"
        found.append(f"mode: {mode} is not a mode of {about.type}; set it to {known}.")
    for name in (*about.needs.get("*", ()), *about.needs.get(mode, ())):
        if not credential(about, config, name):
            alias = about.aliases.get(name)
            other = f" (or auth.{alias})" if alias else ""
            found.append(f"auth.{name}{other} is empty: {about.en} needs it.")
    if config.reply not in about.replies:
        found.append(
            f"reply: {about.type} has no form {config.reply!r}; set it to "
            f"{' or '.join(about.replies)}."
        )
    for name, base in config.endpoints.named().items():
        if not base:
            continue
        if name not in about.endpoints:
            found.append(f"endpoints.{name} is not used by {about.type}; remove it.")
        elif not _is_url(base):
            found.append(f"endpoints.{name} is not an http, https, ws or wss URL.")
    return found


def _is_url(base: str) -> bool:
    plain = base.replace("wss://", "https://", 1).replace("ws://", "http://", 1)
    try:
        origin(plain)
    except ValueError:
        return False
    return True
