"""`ai-engine`: the root of the command line. Each noun is a module, imported when it is named."""

import importlib
import os
import sys
from typing import Any, Final

import typer

from ai_engine import __version__

_NOUNS: Final[dict[str, tuple[str, str, str]]] = {
    # name: (module, attribute, what it is for)
    "serve": ("ai_engine.cli.serve", "serve", "Run the engine."),
    "demo": ("ai_engine.cli.demo", "demo", "Try it: a simulated DingTalk and a local model."),
    "init": ("ai_engine.cli.init", "init", "Make a configuration."),
    "config": ("ai_engine.cli.config", "app", "Check the configuration and show it."),
    "channels": ("ai_engine.cli.channels", "app", "Connections to chat platforms."),
    "message": ("ai_engine.cli.message", "app", "Messages of your own to people and groups."),
    "people": ("ai_engine.cli.people", "app", "People who have several identities."),
    "routes": ("ai_engine.cli.routes", "app", "Which rule answers a message, and why."),
    "sessions": ("ai_engine.cli.sessions", "app", "Conversations that are alive."),
    "model": ("ai_engine.cli.model", "app", "Models: fetch, list, test, serve."),
    "skills": ("ai_engine.cli.skills", "app", "What the assistant can do."),
    "deadletters": ("ai_engine.cli.deadletters", "app", "What was given up, and replaying it."),
    "trace": ("ai_engine.cli.trace", "trace", "A message's whole story."),
    "verify": ("ai_engine.cli.verify", "verify", "Try a channel from end to end."),
    "simulate": ("ai_engine.cli.simulate", "app", "A local server that speaks a platform's API."),
}
_EVERY: Final = "*"


def build(noun: str = _EVERY) -> typer.Typer:
    """The command line with this noun's module in it; the others are only listed.

    Importing all of them would make every command as slow as the slowest.
    """
    app = typer.Typer(
        name="ai-engine",
        help="A private AI assistant in the chat tools that a company already uses.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name, (module, attribute, about) in _NOUNS.items():
        if noun not in (name, _EVERY):
            app.command(name, help=about)(_listed)
            continue
        found: Any = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _listed() -> None:
    """Stands for a noun that was not named on this command line."""
    raise AssertionError("the named noun is always the real one")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ai-engine {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """A private AI assistant in the chat tools that a company already uses."""


def main() -> None:
    """The entry point of the program `ai-engine`."""
    completing = "_AI_ENGINE_COMPLETE" in os.environ
    named = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    build(_EVERY if completing else named)()
