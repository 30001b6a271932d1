"""`ai-engine init`: asks, or takes flags, and writes a private, checked configuration.

A secret is never an argument: it comes from the environment or a file (the configuration then
holds a reference, not the secret), from standard input, or from a question without echo.
"""

import json
import os
import secrets
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ai_engine.cli.init_texts import text
from ai_engine.cli.locate import FILE_NAME
from ai_engine.cli.output import failing, say, show_problems
from ai_engine.domain.errors import ConfigInvalid, EngineError, Problem

CHANNELS = ("dingtalk", "webhook", "webchat")
_SECRET_BYTES_MAX = 64 * 1024
_PRIVATE = "Never give a secret itself as an argument: others on this machine could read it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a configuration is made of. Secrets are as they will stand in the file."""

    lang: str = "en"
    channel: str = ""
    mode: str = "stream"
    app_id: str = ""
    secret: str = ""
    callback_url: str | None = None
    model_url: str | None = None
    model_name: str = ""
    model_key: str | None = None


@failing
def init(
    channel: Annotated[str, typer.Option(help="dingtalk, webhook or webchat.")] = "",
    app_id: Annotated[str, typer.Option(help="DingTalk: Client ID (AppKey).")] = "",
    app_secret_env: Annotated[
        str, typer.Option(help=f"Environment variable with the channel's secret. {_PRIVATE}")
    ] = "",
    app_secret_file: Annotated[
        Path | None, typer.Option(help="File with the channel's secret.")
    ] = None,
    app_secret_stdin: Annotated[
        bool,
        typer.Option("--app-secret-stdin", help="Read the channel's secret from standard input."),
    ] = False,
    mode: Annotated[
        str, typer.Option(help="DingTalk: stream (needs no public address) or webhook.")
    ] = "stream",
    callback_url: Annotated[
        str | None, typer.Option(help="webhook: where answers are posted to.")
    ] = None,
    model_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible model server, ending in /v1.")
    ] = None,
    model_name: Annotated[str, typer.Option(help="The model's name there.")] = "",
    model_key_env: Annotated[
        str, typer.Option(help="Environment variable with the model server's API key.")
    ] = "",
    model_key_file: Annotated[
        Path | None, typer.Option(help="File with the model server's API key.")
    ] = None,
    lang: Annotated[str | None, typer.Option(help="zh or en; as LANG says when absent.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    output: Annotated[Path, typer.Option(help="Where to write.")] = Path(FILE_NAME),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a first configuration: asks what the flags do not say."""
    speech = lang if lang in ("zh", "en") else language(os.environ)
    given = Answers(
        lang=lang or speech,
        channel=channel,
        mode=mode,
        app_id=app_id,
        callback_url=callback_url,
        model_url=model_url,
        model_name=model_name,
    )
    if channel and channel not in CHANNELS:
        raise _invalid(f"--channel {channel}", "no_channel", speech)
    if os.path.lexists(output) and not force:
        raise _invalid(str(output), "exists", speech)
    try:
        key = _reference(model_key_env, model_key_file, "--model-key", speech)
        secret = _reference(app_secret_env, app_secret_file, "--app-secret", speech)
        if app_secret_stdin:
            if secret:
                raise _invalid("--app-secret-stdin", "two_secrets", speech)
            secret = _literal(sys.stdin.read(_SECRET_BYTES_MAX).rstrip("\r\n"))
        given = replace(given, secret=secret, model_key=key or None)
        answers = _without_questions(given) if yes else _ask(given, is_lang_open=lang is None)
    except typer.Abort:
        aborted = text("aborted", speech)
        raise EngineError(aborted, hint=text("aborted.fix", speech)) from None
    _write(answers, output, force=force)


def language(environ: Mapping[str, str]) -> str:
    """zh or en, as the locale variables say."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(variable, ""):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def draft(answers: Answers) -> dict[str, Any]:
    """The configuration of these answers, as it is written."""
    channel: dict[str, Any] = {"enabled": True}
    if answers.channel == "dingtalk":
        channel["mode"] = answers.mode
        channel["auth"] = {"app_id": _literal(answers.app_id), "app_secret": answers.secret}
    elif answers.channel == "webhook":
        channel["auth"] = {"secret": answers.secret}
        if answers.callback_url:
            channel["callback_url"] = _literal(answers.callback_url)
    made: dict[str, Any] = {"language": answers.lang, "channels": {answers.channel: channel}}
    if answers.model_url:
        model = {"base_url": _literal(answers.model_url), "model": _literal(answers.model_name)}
        if answers.model_key:
            model["api_key"] = answers.model_key
        made["models"] = {"main": model}
        made["assistant"] = {"model": "main"}
    return made


def _without_questions(given: Answers) -> Answers:
    """The flags alone. Raises ConfigInvalid when one is missing or has no effect."""
    answers = replace(given, channel=given.channel or "webchat")
    problems = _useless(answers)
    needed: list[str] = []
    if answers.channel == "dingtalk":
        needed += ["--app-id"] if not answers.app_id else []
        needed += ["--app-secret-env | --app-secret-file"] if not answers.secret else []
    if answers.model_url and not answers.model_name:
        needed.append("--model-name")
    problems += [_problem(flag, "missing", answers.lang) for flag in needed]
    if problems:
        raise ConfigInvalid(problems)
    return _with_made_secret(answers)


def _useless(answers: Answers) -> list[Problem]:
    """Flags that the chosen channel would silently ignore."""
    flags = {
        "--app-id": bool(answers.app_id) and answers.channel != "dingtalk",
        "--app-secret-…": bool(answers.secret) and answers.channel == "webchat",
        "--callback-url": bool(answers.callback_url) and answers.channel != "webhook",
    }
    return [
        _problem(flag, "no_use", answers.lang, channel=answers.channel)
        for flag, is_useless in flags.items()
        if is_useless
    ]


def _ask(given: Answers, *, is_lang_open: bool) -> Answers:
    """Questions for what is not given, in the language of the first answer."""
    answers = given
    if is_lang_open:
        chosen = _choose("语言 / Language", ("zh", "en"), answers.lang, answers.lang)
        answers = replace(answers, lang=chosen)
    lang = answers.lang
    if not answers.channel:
        chosen = _choose(text("ask.channel", lang), CHANNELS, "webchat", lang)
        answers = replace(answers, channel=chosen)
    if problems := _useless(answers):
        raise ConfigInvalid(problems)
    if answers.channel == "dingtalk":
        answers = replace(
            answers,
            app_id=answers.app_id or _required("ask.app_id", lang),
            secret=answers.secret or _literal(_required("ask.app_secret", lang, hide=True)),
        )
    elif answers.channel == "webhook" and answers.callback_url is None:
        answers = replace(answers, callback_url=_optional("ask.callback_url", lang))
    return _with_made_secret(_ask_model(answers))


def _ask_model(answers: Answers) -> Answers:
    lang = answers.lang
    if answers.model_url is None:
        answers = replace(answers, model_url=_optional("ask.model_url", lang))
    if answers.model_url:
        if not answers.model_name:
            answers = replace(answers, model_name=_required("ask.model_name", lang))
        if answers.model_key is None:
            key = _literal(_optional("ask.model_key", lang, hide=True))
            answers = replace(answers, model_key=key)
    return answers


def _with_made_secret(answers: Answers) -> Answers:
    if answers.channel == "webhook" and not answers.secret:
        return replace(answers, secret=secrets.token_urlsafe(32))
    return answers


def _choose(question: str, choices: tuple[str, ...], default: str, lang: str) -> str:
    def chosen(value: str) -> str:
        if value.strip() not in choices:
            raise typer.BadParameter(text("one_of", lang, choices=", ".join(choices)))
        return value.strip()

    return str(typer.prompt(question, default=default, value_proc=chosen))


def _required(key: str, lang: str, *, hide: bool = False) -> str:
    def filled(value: str) -> str:
        if not value.strip():
            raise typer.BadParameter(text("needed", lang))
        return value.strip()

    return str(typer.prompt(text(key, lang), hide_input=hide, value_proc=filled))


def _optional(key: str, lang: str, *, hide: bool = False) -> str:
    answer = typer.prompt(text(key, lang), default="", show_default=False, hide_input=hide)
    return str(answer).strip()


def _reference(variable: str, file: Path | None, flag: str, lang: str) -> str:
    """`${NAME}` or `${file:PATH}` of a secret that stays where it is; empty for neither."""
    if variable and file is not None:
        raise _invalid(f"{flag}-env, {flag}-file", "two_secrets", lang)
    if file is not None:
        if set("{}") & set(str(file.absolute())):
            raise _invalid(f"{flag}-file", "bad_reference", lang)
        return f"${{file:{file.absolute()}}}"
    if variable and not (variable.isascii() and variable.isidentifier()):
        raise _invalid(f"{flag}-env", "bad_reference", lang)
    return f"${{{variable}}}" if variable else ""


def _literal(value: str) -> str:
    """The text as a value that is not read as a reference."""
    return value.replace("${", "$${")


def _write(answers: Answers, output: Path, *, force: bool) -> None:
    """Check, write, and say what comes next. An invalid configuration is not written."""
    from ai_engine.config.write import write_private

    content = json.dumps(draft(answers), ensure_ascii=False, indent=2) + "\n"
    later = _check(content, output.name, _references(answers))
    try:
        write_private(output, content, replace=force)
    except FileExistsError:
        raise _invalid(str(output), "exists", answers.lang) from None
    except OSError as error:
        reason = error.strerror or "?"
        raise _invalid(str(output), "unwritable", answers.lang, reason=reason) from None
    say(text("written", answers.lang, path=output), style="bold green")
    if later:
        say(text("later", answers.lang))
        show_problems(later)
    _say_next(answers, output)


def _references(answers: Answers) -> tuple[str, ...]:
    """The places whose secret stays elsewhere and may come later than the configuration."""
    places = {
        "$.channels.dingtalk.auth.app_secret": answers.secret,
        "$.channels.webhook.auth.secret": answers.secret,
        "$.models.main.api_key": answers.model_key or "",
    }
    return tuple(place for place, value in places.items() if value.startswith("${"))


def _check(content: str, name: str, references: tuple[str, ...]) -> list[Problem]:
    """What is still needed at the start: secrets that are referred to but not there yet.

    Raises:
        ConfigInvalid: something else is wrong.
    """
    from ai_engine.cli.settings import load_options
    from ai_engine.config.load import attempt
    from ai_engine.config.write import write_private

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_private(path, content)
        tried = attempt(path, **load_options())
    later = [p for p in tried.problems if p.where.endswith(references)]
    wrong = [p for p in tried.problems if p not in later and p.severity == "error"]
    if wrong:
        raise ConfigInvalid(wrong)
    return [replace(problem, severity="warning") for problem in later]


def _say_next(answers: Answers, output: Path) -> None:
    lang = answers.lang
    command = "ai-engine serve"
    if output != Path(FILE_NAME):
        command += f" --config {shlex.quote(str(output))}"
    kind = answers.channel
    steps = [text(f"next.{kind}.{answers.mode}" if kind == "dingtalk" else f"next.{kind}", lang)]
    serve = text("next.serve", lang, command=command)
    steps = [serve, *steps] if kind == "webchat" else [*steps, serve]
    if not answers.model_url:
        steps.append(text("next.model", lang))
    say(text("next", lang), style="bold")
    for number, step in enumerate(steps, 1):
        say(f"  {number}. {step}")


def _problem(where: str, key: str, lang: str, **values: object) -> Problem:
    return Problem(where=where, what=text(key, lang, **values), fix=text(f"{key}.fix", lang))


def _invalid(where: str, key: str, lang: str, **values: object) -> ConfigInvalid:
    return ConfigInvalid([_problem(where, key, lang, **values)])
