"""`ai-engine people`: identities of one person, linked; and what a platform knows of somebody."""

import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ai_engine.cli.locate import locate
from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, JsonOption
from ai_engine.cli.output import failing, print_json, say, table
from ai_engine.cli.reach import call, running_url, segment
from ai_engine.cli.settings import load_config
from ai_engine.domain.errors import EngineError, NotFound

LOCK_SECONDS_MAX: Final = 5.0
_LOCK_POLL_SECONDS: Final = 0.05

PersonId = Annotated[str, typer.Argument(help="An id of your choice, such as zhangsan.")]
Identity = Annotated[
    str, typer.Argument(help="`<channel type>:<tenant>/<user id>`, such as webchat:/admin.")
]

app = typer.Typer(help="People who have several identities.", no_args_is_help=True)


@app.callback()
def people() -> None:
    """People who have several identities; their private chats share one session."""


@app.command("list")
@failing
def list_people(
    config: ConfigOption = None, env: EnvOption = None, as_json: JsonOption = False
) -> None:
    """Every person with linked identities."""
    found = load_config(locate(config, None).config, env=env).config.people
    if as_json:
        print_json(
            [
                {"person": person, "name": each.name, "identities": list(each.identities)}
                for person, each in found.items()
            ]
        )
        return
    rows = [(person, each.name, "\n".join(each.identities)) for person, each in found.items()]
    table(("person", "name", "identities"), rows)


@app.command()
@failing
def link(
    person: PersonId,
    identity: Identity,
    name: Annotated[str, typer.Option(help="The person's name, for people.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that an identity is this person's. It holds for messages accepted from now on."""
    path = locate(config, None).config
    kind, colon, rest = identity.partition(":")
    if not (kind and colon and "/" in rest and rest.rpartition("/")[2]):
        raise typer.BadParameter(
            "write <channel type>:<tenant>/<user id>, such as dingtalk:dingcorp/u001 or "
            "webchat:/admin",
            param_hint="IDENTITY",
        )

    def change(known: dict[str, Any]) -> None:
        for other, each in known.items():
            if identity in each.get("identities", ()) and other != person:
                raise EngineError(
                    f"{identity} is linked to {other!r}",
                    hint=f"ai-engine people unlink {other} {identity}",
                )
        entry = known.setdefault(person, {"identities": []})
        if name:
            entry["name"] = name
        if identity not in entry["identities"]:
            entry["identities"].append(identity)

    _changed(path, change)
    _said(as_json, person, identity, "linked")


@app.command()
@failing
def unlink(
    person: PersonId, identity: Identity, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say that an identity is not this person's any more."""
    path = locate(config, None).config

    def change(known: dict[str, Any]) -> None:
        identities = known.get(person, {}).get("identities", [])
        if identity not in identities:
            raise NotFound(f"{identity} is not linked to {person!r}")
        identities.remove(identity)
        if not identities:
            del known[person]

    _changed(path, change)
    _said(as_json, person, identity, "unlinked")


@app.command()
@failing
def show(
    channel: Annotated[str, typer.Argument(help="The channel's name.")],
    user_id: Annotated[str, typer.Argument(help="The person's id on the platform.")],
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the platform's directory, through the running engine: name, departments, manager."""
    place = locate(config, data)
    url = running_url(place.data)
    if url is None:
        raise NotFound(f"no engine runs on {place.data}", hint="start it: ai-engine serve")
    found = call(url, place.data, f"channels/{segment(channel)}/people/{segment(user_id)}")
    if as_json:
        print_json(found)
        return
    departments = ", ".join(found["departments"])
    table(
        ("user id", "name", "e-mail", "departments", "manager"),
        [(found["user_id"], found["name"], found["email"], departments, found["manager"])],
    )


def _said(as_json: bool, person: str, identity: str, what: str) -> None:
    if as_json:
        print_json({"person": person, "identity": identity, "status": what})
    else:
        say(f"{identity} is {what}: {person}", note="a running engine takes it up by itself")


def _changed(path: Path, change: Any) -> None:
    """Rewrite the configuration file with its `people` changed; a wrong result is not written."""
    from ai_engine.cli.settings import load_config
    from ai_engine.config.write import write_private

    load_config(path)  # what is wrong already is told first, and by its lines
    with _alone(path):
        found = json.loads(path.read_text(encoding="utf-8"))
        known = found.setdefault("people", {})
        change(known)
        if not known:
            del found["people"]
        text = json.dumps(found, ensure_ascii=False, indent=2) + "\n"
        draft = path.with_name(f".{path.name}.people.json")
        write_private(draft, text, replace=True)
        try:
            load_config(draft)
            write_private(path, text, replace=True)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Two commands at once would each write what it has read, and one change would be lost. The
    lock file stays: who removed it would let a third command in beside a waiting one."""
    lock = os.open(
        path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        until = time.monotonic() + LOCK_SECONDS_MAX
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise EngineError(
                        f"another command is changing {path}", hint="try again in a moment"
                    ) from error
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(lock)
