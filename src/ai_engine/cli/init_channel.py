"""What `ai-engine init` knows of a channel type: its settings, and those that flags give."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ai_engine.channels.about import About, is_secret, needed
from ai_engine.channels.types import BUILT_IN, about
from ai_engine.cli.init_texts import invalid, problem
from ai_engine.config.schema import Auth
from ai_engine.domain.errors import ConfigInvalid, Problem

WEBHOOK = "webhook"
WEBCHAT = "webchat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Settings of which one is enough."""

    names: tuple[str, ...]
    is_needed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """How a command line gives settings. Each entry is `NAME=…`."""

    plain: tuple[str, ...] = ()
    """`--set NAME=VALUE`"""
    variables: tuple[str, ...] = ()
    """`--secret-env NAME=VARIABLE`"""
    files: tuple[str, ...] = ()
    """`--secret-file NAME=PATH`"""
    app_id: str = ""
    """`--app-id`: what the type calls its id, as it was written."""
    app_secret: str = ""
    """`--app-secret-…`: what the type calls its secret, as it will stand in the file."""


def offered() -> tuple[str, ...]:
    """Types that people can write to."""
    return tuple(kind for kind in BUILT_IN if not about(kind).outgoing_only)


def groups(platform: About, mode: str) -> list[Group]:
    """What a mode needs, then what else most people set."""
    more = (*platform.offers.get("*", ()), *platform.offers.get(mode, ()))
    return [
        *(Group(names=names, is_needed=True) for names in needed(platform, mode)),
        *(Group(names=(name,), is_needed=False) for name in more),
    ]


def own_name(platform: About, general: str) -> str:
    """What the type calls `app_id` or `app_secret`; empty when it has nothing of the kind."""
    for mode in ("*", *platform.modes):
        for names in (name.split("|") for name in platform.needs.get(mode, ())):
            if general in names:
                return general
    return next((own for own, alias in platform.aliases.items() if alias == general), "")


def label(platform: About, name: str, lang: str) -> str:
    """What an `auth` field is, and where it is found."""
    if name in platform.labels:
        return platform.labels[name][0 if lang == "zh" else 1]
    return " ".join((Auth.model_fields[name].description or name).split())


def flag_of(platform: About, name: str) -> str:
    """The flag that gives a setting."""
    if name == own_name(platform, "app_id"):
        return "--app-id"
    if name == own_name(platform, "app_secret"):
        return "--app-secret-env | --app-secret-file"
    if "." not in name and is_secret(name):
        return f"--secret-env {name}=VARIABLE | --secret-file {name}=PATH"
    return f"--set {name}=VALUE"


def lacking(platform: About, mode: str, settings: Mapping[str, str], lang: str) -> list[Problem]:
    """The flags that are needed still."""
    return [
        problem(" | ".join(flag_of(platform, name) for name in group.names), "missing", lang)
        for group in groups(platform, mode)
        if group.is_needed and not any(settings.get(name) for name in group.names)
    ]


def settings_of(platform: About, flags: Flags, lang: str) -> dict[str, str]:
    """Setting → its value as it will stand in the file.

    Raises:
        ConfigInvalid: an unknown name, a secret in the open, two sources, no effect.
    """
    found: dict[str, str] = {}
    wrong: list[Problem] = []
    for flag, name, value in _entries(platform, flags, lang, wrong):
        if name not in _known(platform):
            known = ", ".join(_known(platform))
            key = "unknown" if known else "no_use"
            wrong.append(problem(flag, key, lang, known=known, channel=platform.type))
        elif flag.startswith("--set") and "." not in name and is_secret(name):
            wrong.append(problem(flag, "open_secret", lang, name=name))
        elif name in found:
            wrong.append(problem(flag, "two_secrets", lang))
        else:
            found[name] = value
    if wrong:
        raise ConfigInvalid(wrong)
    return found


def _entries(
    platform: About, flags: Flags, lang: str, wrong: list[Problem]
) -> Iterable[tuple[str, str, str]]:
    """(the flag without its value, the setting, its value); what cannot be read goes to `wrong`."""
    for flag, general, value in (
        ("--app-id", "app_id", literal(flags.app_id)),
        ("--app-secret-…", "app_secret", flags.app_secret),
    ):
        own = own_name(platform, general)
        if value and own:
            yield flag, own, value
        elif value:
            wrong.append(problem(flag, "no_use", lang, channel=platform.type))
    for flag, entries in (
        ("--set", flags.plain),
        ("--secret-env", flags.variables),
        ("--secret-file", flags.files),
    ):
        for entry in entries:
            name, equals, value = entry.partition("=")
            if not (equals and name.strip() and value.strip()):
                wrong.append(problem(flag, "no_pair", lang))
                continue
            name, value = name.strip().removeprefix("auth."), value.strip()
            yield f"{flag} {name}", name, _value(flag, value, lang)


def _value(flag: str, text: str, lang: str) -> str:
    if flag == "--secret-env":
        return reference(text, None, flag, lang)
    if flag == "--secret-file":
        return reference("", Path(text), flag, lang)
    return literal(text)


def _known(platform: About) -> list[str]:
    """Settings of a type, as `--set` names them."""
    names = [
        name
        for mode in ("*", *platform.modes)
        for group in groups(platform, mode)
        for name in group.names
    ]
    names += [*platform.labels, *(f"endpoints.{name}" for name in platform.endpoints)]
    return list(dict.fromkeys(names))


def reference(variable: str, file: Path | None, flag: str, lang: str) -> str:
    """`${NAME}` or `${file:PATH}` of a secret that stays where it is; empty for neither."""
    if file is not None:
        if set("{}") & set(str(file.absolute())):
            raise invalid(flag, "bad_reference", lang)
        return f"${{file:{file.absolute()}}}"
    if variable and not (variable.isascii() and variable.isidentifier()):
        raise invalid(flag, "bad_reference", lang)
    return f"${{{variable}}}" if variable else ""


def literal(value: str) -> str:
    """The text as a value that is not read as a reference."""
    return value.replace("${", "$${")
