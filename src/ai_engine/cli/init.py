"""`ai-engine init`: asks, or takes flags, and writes a private, checked configuration.

A secret is never an argument: it comes from the environment or a file (the configuration then
holds a reference, not the secret), from standard input, or from a question without echo.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ai_engine.cli import init_options as options
from ai_engine.cli.init_texts import invalid, problem, text
from ai_engine.cli.locate import FILE_NAME
from ai_engine.cli.output import failing, say, show_problems
from ai_engine.domain.errors import ConfigInvalid, EngineError, Problem

if TYPE_CHECKING:
    from ai_engine.cli.init_answers import Answers
    from ai_engine.cli.init_channel import Flags

_SECRET_BYTES_MAX = 64 * 1024


@failing
def init(
    channel: options.Channel = "",
    app_id: options.AppId = "",
    app_secret_env: options.AppSecretEnv = "",
    app_secret_file: options.AppSecretFile = None,
    app_secret_stdin: options.AppSecretStdin = False,
    settings: options.Settings = None,
    secret_env: options.SecretEnv = None,
    secret_file: options.SecretFile = None,
    mode: options.Mode = "",
    callback_url: options.CallbackUrl = None,
    model_url: options.ModelUrl = None,
    model_name: options.ModelName = "",
    model_key_env: options.ModelKeyEnv = "",
    model_key_file: options.ModelKeyFile = None,
    lang: options.Lang = None,
    yes: options.Yes = False,
    output: options.Output = Path(FILE_NAME),
    force: options.Force = False,
) -> None:
    """Write a first configuration: asks what the flags do not say."""
    from ai_engine.cli.init_answers import Answers
    from ai_engine.cli.init_channel import Flags, literal, offered

    speech = lang if lang in ("zh", "en") else language(os.environ)
    kind = channel.strip().lower().replace("-", "_")
    if channel and kind not in offered():
        known = ", ".join(offered())
        raise invalid(f"--channel {channel}", "no_channel", speech, known=known)
    if os.path.lexists(output) and not force:
        raise invalid(str(output), "exists", speech)
    try:
        key = _source(model_key_env, model_key_file, "--model-key", speech)
        secret = _source(app_secret_env, app_secret_file, "--app-secret", speech)
        if app_secret_stdin:
            if secret:
                raise invalid("--app-secret-stdin", "two_secrets", speech)
            secret = literal(sys.stdin.read(_SECRET_BYTES_MAX).rstrip("\r\n"))
        flags = Flags(
            plain=tuple(settings or ()),
            variables=tuple(secret_env or ()),
            files=tuple(secret_file or ()),
            app_id=app_id,
            app_secret=secret,
        )
        given = Answers(
            lang=lang or speech,
            channel=kind,
            mode=mode,
            callback_url=callback_url,
            model_url=model_url,
            model_name=model_name,
            model_key=key or None,
        )
        answers = _without_questions(given, flags) if yes else _ask(given, flags, lang is None)
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


def _source(variable: str, file: Path | None, flag: str, lang: str) -> str:
    from ai_engine.cli.init_channel import reference

    if variable and file is not None:
        raise invalid(f"{flag}-env, {flag}-file", "two_secrets", lang)
    return reference(variable, file, f"{flag}-{'env' if file is None else 'file'}", lang)


def _without_questions(given: "Answers", flags: "Flags") -> "Answers":
    """The flags alone. Raises ConfigInvalid when one is missing or has no effect."""
    from dataclasses import replace

    from ai_engine.channels.about import quiet_mode
    from ai_engine.channels.types import about
    from ai_engine.cli.init_answers import settled
    from ai_engine.cli.init_channel import WEBCHAT, lacking

    answers = replace(given, channel=given.channel or WEBCHAT)
    platform = about(answers.channel)
    answers = settled(replace(answers, mode=answers.mode or quiet_mode(platform)), flags)
    problems = lacking(platform, answers.mode, answers.settings, answers.lang)
    if answers.model_url and not answers.model_name:
        problems.append(problem("--model-name", "missing", answers.lang))
    if problems:
        raise ConfigInvalid(problems)
    return answers


def _ask(given: "Answers", flags: "Flags", is_lang_open: bool) -> "Answers":
    """Questions for what is not given, in the language of the first answer."""
    from dataclasses import replace

    from ai_engine.channels.types import about
    from ai_engine.cli import init_questions
    from ai_engine.cli.init_answers import settled

    answers = given
    if is_lang_open:
        answers = replace(answers, lang=init_questions.ask_language(answers.lang))
    if not answers.channel:
        answers = replace(answers, channel=init_questions.ask_channel(answers.lang))
    platform = about(answers.channel)
    if not answers.mode:
        answers = replace(answers, mode=init_questions.ask_mode(platform, answers.lang))
    answers = settled(answers, flags)
    return init_questions.ask_rest(init_questions.ask_settings(platform, answers))


def _write(answers: "Answers", output: Path, *, force: bool) -> None:
    """Check, write, and say what comes next. An invalid configuration is not written."""
    from ai_engine.cli.init_answers import draft, references
    from ai_engine.cli.init_next import steps
    from ai_engine.config.write import write_private

    content = json.dumps(draft(answers), ensure_ascii=False, indent=2) + "\n"
    later = _check(content, output.name, *references(answers))
    try:
        write_private(output, content, replace=force)
    except FileExistsError:
        raise invalid(str(output), "exists", answers.lang) from None
    except OSError as error:
        reason = error.strerror or "?"
        raise invalid(str(output), "unwritable", answers.lang, reason=reason) from None
    say(text("written", answers.lang, path=output), style="bold green")
    if later:
        say(text("later", answers.lang))
        show_problems(later)
    say(text("next", answers.lang), style="bold")
    for number, step in enumerate(steps(answers, output), 1):
        say(f"  {number}. {step}")


def _check(
    content: str, name: str, references: tuple[str, ...], instead: tuple[str, ...]
) -> list[Problem]:
    """What is still needed at the start: secrets that are referred to but not there yet.
    `instead`: places of which one of `references` takes the place.

    Raises:
        ConfigInvalid: something else is wrong.
    """
    import tempfile
    from dataclasses import replace

    from ai_engine.cli.settings import load_options
    from ai_engine.config.load import attempt
    from ai_engine.config.write import write_private

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_private(path, content)
        tried = attempt(path, **load_options())
    later = [p for p in tried.problems if p.where.endswith(references)]
    known = (*references, *instead) if later else references
    wrong = [p for p in tried.problems if not p.where.endswith(known) and p.severity == "error"]
    if wrong:
        raise ConfigInvalid(wrong)
    return [replace(each, severity="warning") for each in later]
