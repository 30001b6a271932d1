"""The questions of `ai-engine init`, in the language of the person."""

from collections.abc import Sequence
from dataclasses import replace

import typer

from ai_engine.channels.about import About, is_secret, needs_address, quiet_mode
from ai_engine.channels.types import about
from ai_engine.cli.init_answers import Answers
from ai_engine.cli.init_channel import (
    WEBCHAT,
    WEBHOOK,
    Group,
    groups,
    label,
    literal,
    offered,
)
from ai_engine.cli.init_texts import text
from ai_engine.cli.output import say


def ask_language(default: str) -> str:
    """zh or en."""
    return _choose("语言 / Language", ("zh", "en"), default, default)


def ask_channel(lang: str) -> str:
    """A channel type, by its name or its number in the list that is shown."""
    kinds = offered()
    say(text("ask.channel", lang), style="bold")
    for number, kind in enumerate(kinds, 1):
        platform = about(kind)
        name = platform.zh if lang == "zh" else platform.en
        say(f"  {number:>2}  {kind:<12} {name}", note=_address_note(platform, lang))
    return _choose(text("ask.which", lang), kinds, WEBCHAT, lang)


def _address_note(platform: About, lang: str) -> str:
    needs = platform.type != WEBHOOK and needs_address(platform, quiet_mode(platform))
    return text("note.address", lang) if needs else ""


def ask_mode(platform: About, lang: str) -> str:
    """How messages come in; what the type has only one way for is not asked."""
    best = quiet_mode(platform)
    if len(platform.modes) < 2:
        if note := _address_note(platform, lang):
            say(f"{platform.zh if lang == 'zh' else platform.en}: {note}", style="bold")
        return best
    say(text("ask.mode", lang), style="bold")
    modes = sorted(platform.modes, key=lambda mode: mode != best)
    for number, mode in enumerate(modes, 1):
        say(f"  {number:>2}  {mode:<12} {text(f'mode.{mode}', lang)}")
    return _choose(text("ask.which", lang), modes, best, lang)


def ask_settings(platform: About, answers: Answers) -> Answers:
    """Each setting that the mode needs and that is not given yet."""
    settings = dict(answers.settings)
    asked = [
        group
        for group in groups(platform, answers.mode)
        if not any(name in settings or name in platform.made for name in group.names)
    ]
    if asked and platform.console:
        say(text("console", answers.lang, url=platform.console))
    for group in asked:
        name, value = _ask_group(platform, group, answers.lang)
        if value:
            settings[name] = literal(value)
    return replace(answers, settings=settings)


def _ask_group(platform: About, group: Group, lang: str) -> tuple[str, str]:
    """Which of the group was given, and what."""
    names = [name for name in group.names if "." not in name]
    for name in names:
        is_last = name == names[-1]
        say(label(platform, name, lang))
        if is_secret(name):
            say(text("hidden", lang), style="dim")
        key = f"auth.{name}"
        if group.is_needed and is_last:
            return name, _required(key, lang, hide=is_secret(name))
        may_be_empty = text("may_be_empty" if is_last else "or_next", lang)
        if value := _optional(f"{key} {may_be_empty}", hide=is_secret(name)):
            return name, value
    return names[-1], ""


def ask_rest(answers: Answers) -> Answers:
    """Where a webhook's answers go; the model."""
    lang = answers.lang
    if answers.channel == WEBHOOK and answers.callback_url is None:
        answers = replace(answers, callback_url=_optional(text("ask.callback_url", lang)))
    if answers.model_url is None:
        answers = replace(answers, model_url=_optional(text("ask.model_url", lang)))
    if answers.model_url:
        if not answers.model_name:
            answers = replace(answers, model_name=_required(text("ask.model_name", lang), lang))
        if answers.model_key is None:
            key = literal(_optional(text("ask.model_key", lang), hide=True))
            answers = replace(answers, model_key=key)
    return answers


def _choose(question: str, choices: Sequence[str], default: str, lang: str) -> str:
    def chosen(value: str) -> str:
        found = value.strip().lower().replace("-", "_")
        if found.isdecimal() and 1 <= int(found) <= len(choices):
            return choices[int(found) - 1]
        if found not in choices:
            raise typer.BadParameter(text("one_of", lang, choices=", ".join(choices)))
        return found

    return str(typer.prompt(question, default=default, value_proc=chosen))


def _required(question: str, lang: str, *, hide: bool = False) -> str:
    def filled(value: str) -> str:
        if not value.strip():
            raise typer.BadParameter(text("needed", lang))
        return value.strip()

    return str(typer.prompt(question, hide_input=hide, value_proc=filled))


def _optional(question: str, *, hide: bool = False) -> str:
    answer = typer.prompt(question, default="", show_default=False, hide_input=hide)
    return str(answer).strip()
