"""What a connector says of itself: names, credentials, permissions. Plain data, shown to people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from ai_engine.config.schema import Auth, ChannelConfig
from ai_engine.security.egress import origin

_REPLIES: Final = ("markdown", "text")
_ADDRESSES: Final = ("url", "homeserver")
"""`auth` fields that are base URLs."""


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
    """mode (or `*`) → names of `auth` fields that must be set. One of several is enough where they
    are separated by `|`; a name with a dot is no `auth` field: `url|endpoints.api`."""
    offers: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """mode (or `*`) → names of further `auth` fields that most people set."""
    made: Sequence[str] = ()
    """`auth` fields that are ours to choose: a first configuration gets random ones."""
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """`auth` field → (zh, en): what it is called and where it is found, for people."""
    steps: Mapping[str, Sequence[tuple[str, str]]] = field(
        default_factory=dict[str, Sequence[tuple[str, str]]]
    )
    """mode (or `*`) → (zh, en) of what is left to do on the platform once the configuration is
    written; `{callback}` stands for the channel's address."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """`auth` field → the general name (`app_id`, `app_secret`) that stands in for it."""
    hints: Mapping[str, str] = field(default_factory=dict[str, str])
    """`auth` field → where it comes from, when the general sentence does not tell."""
    permissions: Sequence[Permission] = ()
    replies: Sequence[str] = _REPLIES
    """Forms of `reply` that it has."""
    endpoints: Sequence[str] = ("api",)
    """Names of `endpoints` that it uses."""
    console: str = ""
    """URL of the platform's developer console."""
    calls_base: bool = False
    """True: `callback_url` is the engine's own public base address, which buttons call."""
    outgoing_only: bool = False
    """True: it can only be written to."""


def mode_of(about: About, config: ChannelConfig) -> str:
    """The configured mode, or the type's default; empty when the type has but one way."""
    return config.mode or (about.modes[0] if about.modes else "")


def needs_address(about: About, mode: str) -> bool:
    """Whether the platform calls us, so that it must be able to reach us."""
    return mode == "webhook"


def quiet_mode(about: About) -> str:
    """The mode for people without a public address, if there is one, else the default."""
    return next(
        (m for m in about.modes if not needs_address(about, m)), next(iter(about.modes), "")
    )


def credential(about: About, config: ChannelConfig, name: str) -> str:
    """An `auth` field by its own name, or by the general name that stands in for it."""
    stands_in = about.aliases.get(name)
    found = config.auth.plain(name)
    return found or (credential(about, config, stands_in) if stands_in else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong with a channel's settings."""

    key: tuple[str, ...]
    """Where: keys below the channel."""
    what: str
    fix: str
    error: bool = True
    """False: the channel works without; a warning."""


def findings(about: About, config: ChannelConfig) -> list[Finding]:
    """What an administrator should mend; [] when all is well."""
    mode = mode_of(about, config)
    found: list[Finding] = []
    if mode not in (about.modes or ("",)):
        fix = f"Set it to {' or '.join(about.modes)}." if about.modes else "Leave it out."
        what = f"{mode} is not a mode of a {about.type} channel."
        found.append(Finding(key=("mode",), what=what, fix=fix))
    lacking = [
        names
        for names in needed(about, mode)
        if not any(_is_set(about, config, name) for name in names)
    ]
    found += [_needed(about, names) for names in lacking]
    if config.reply not in about.replies:
        used = about.replies[0]
        what = f"a {about.type} channel has no reply form {config.reply!r}; {used} is used."
        fix = f"Set it to {' or '.join(about.replies)}."
        found.append(Finding(key=("reply",), what=what, fix=fix, error=False))
    return [*found, *_address_findings(config), *_endpoint_findings(about, config)]


def needed(about: About, mode: str) -> list[tuple[str, ...]]:
    """What must be set in a mode; of each tuple one is enough."""
    return [tuple(e.split("|")) for e in (*about.needs.get("*", ()), *about.needs.get(mode, ()))]


def is_secret(name: str) -> bool:
    """Whether an `auth` field is never shown. Raises KeyError: there is no such field."""
    return Auth.model_fields[name].annotation is SecretStr


def place(name: str) -> tuple[str, ...]:
    """Keys below the channel of an `auth` field, or of a name with a dot, such as endpoints.api."""
    return tuple(name.split(".")) if "." in name else ("auth", name)


def _is_set(about: About, config: ChannelConfig, name: str) -> bool:
    if "." not in name:
        return bool(credential(about, config, name).strip())
    found: object = config
    for key in place(name):
        found = getattr(found, key)
    return bool(str(found).strip())


def _needed(about: About, names: Sequence[str]) -> Finding:
    name = names[0]
    alias = about.aliases.get(name)
    other = f" (auth.{alias} is taken for it, too)" if alias else ""
    where = f"Copy it from {about.console}" if about.console else "Set it"
    best = "; secrets best as ${ENV_NAME} or ${file:PATH}"
    return Finding(
        key=place(name),
        what=f"a {about.type} channel needs {' or '.join('.'.join(place(n)) for n in names)}.",
        fix=about.hints.get(name, f"{where}{best}{other}."),
    )


def _address_findings(config: ChannelConfig) -> list[Finding]:
    return [
        Finding(
            key=("auth", name),
            what=f"auth.{name} is not an http or https URL.",
            fix="Write a whole base URL.",
        )
        for name in _ADDRESSES
        if (base := config.auth.plain(name)) and not _is_http(base)
    ]


def _endpoint_findings(about: About, config: ChannelConfig) -> list[Finding]:
    found: list[Finding] = []
    for name, base in config.endpoints.named().items():
        key = ("endpoints", name)
        if base and name not in about.endpoints:
            what = f"a {about.type} channel has no endpoint {name}."
            found.append(Finding(key=key, what=what, fix="Remove it.", error=False))
        elif base and not _is_url(base):
            what = f"endpoints.{name} is not an http, https, ws or wss URL."
            found.append(Finding(key=key, what=what, fix="Write a whole base URL."))
    return found


def problems(about: About, config: ChannelConfig) -> list[str]:
    """`findings` as sentences."""
    return [f"{'.'.join(each.key)}: {each.what} {each.fix}" for each in findings(about, config)]


def _is_url(base: str) -> bool:
    return _is_http(base.replace("wss://", "https://", 1).replace("ws://", "http://", 1))


def _is_http(base: str) -> bool:
    try:
        origin(base)
    except ValueError:
        return False
    return True
