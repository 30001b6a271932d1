"""`ai-engine routes`: which rules there are, and which one would take a text."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_engine.cli.options import ConfigOption, DataOption, EnvOption, GroupReadOption, JsonOption
from ai_engine.cli.output import failing, print_json, say, show_problems, table
from ai_engine.cli.reach import configuration

if TYPE_CHECKING:
    from pathlib import Path

    from ai_engine.config.schema import Config
    from ai_engine.routing.match import Decision, RoutingTable, RuleVerdict

app = typer.Typer(help="Show the routing rules, and try them on a text.", no_args_is_help=True)

ChannelOption = Annotated[str, typer.Option(help="As if it came through this channel.")]
ChatOption = Annotated[str, typer.Option(help="As if written in a `private` or a `group` chat.")]
RoleOption = Annotated[
    list[str] | None, typer.Option(help="A role of the sender; repeatable. [default: employee]")
]


@app.command("list")
@failing
def list_rules(
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    allow_group_read: GroupReadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the rules in the order in which they are asked."""
    from ai_engine.domain.errors import Problem
    from ai_engine.routing.check import unreachable_rules

    found, routes = _routes(configuration(config, data), env, allow_group_read)
    never = {problem.at: problem for problem in unreachable_rules(found.rules())}
    rules = [
        {**_described(index, found), "reachable": index not in never} for index in routes.order
    ]
    default = found.default_route
    if as_json:
        shown = {"action": default.action, "skill_id": default.skill_id, "text": default.text}
        print_json({"rules": rules, "default": shown})
        return
    rows = [
        (
            rule["rule"],
            rule["priority"],
            rule["pattern"] or "any text",
            f"{rule['action']} {rule['skill_id']}",
            " ".join(f"{key}={rule[key]}" for key in ("channel", "chat", "role") if rule[key]),
        )
        for rule in rules
    ]
    last = ("default", "", "any text", f"{default.action} {default.skill_id}", "no rule wins")
    table(("rule", "priority", "pattern", "action", "only when"), [*rows, last])
    show_problems(
        [
            Problem(where=f"routing_rules[{p.at}]", what=p.what, fix=p.fix, severity="warning")
            for p in never.values()
        ]
    )


@app.command("test")
@failing
def try_text(
    text: Annotated[str, typer.Argument(help="What a person would write.")],
    config: ConfigOption = None,
    data: DataOption = None,
    env: EnvOption = None,
    channel: ChannelOption = "",
    chat: ChatOption = "private",
    role: RoleOption = None,
    allow_group_read: GroupReadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say which rule would take a text, and why each of the others would not.

    The rules are those of the file, whether an engine runs with it or not.
    """
    if chat not in ("private", "group"):
        raise typer.BadParameter("write private or group", param_hint="--chat")
    _, routes = _routes(configuration(config, data), env, allow_group_read)
    who: dict[str, Any] = {
        "channel": channel,
        "chat_kind": chat,
        "roles": frozenset(role or ["employee"]),
    }
    decision = routes.match(text, **who)
    if as_json:
        keys = ("action", "skill_id", "rule", "text", "why")
        print_json({key: getattr(decision, key) for key in keys})
        return
    _show(decision, routes.explain(text, **who))


def _routes(path: "Path", env: str | None, allow_group_read: bool) -> "tuple[Config, RoutingTable]":
    from ai_engine.cli.settings import load_config
    from ai_engine.routing.match import RoutingTable

    found = load_config(path, env=env, allow_group_read=allow_group_read).config
    return found, RoutingTable(found.rules(), found.default_route)


def _described(index: int, config: "Config") -> dict[str, Any]:
    from ai_engine.routing.match import label_of

    rule = config.rules()[index]
    return {"index": index, "rule": label_of(index, rule), **rule.model_dump(exclude={"name"})}


def _show(decision: "Decision", verdicts: "list[RuleVerdict]") -> None:
    say(f"{decision.action} {decision.skill_id}".strip(), style="bold")
    say(f"  because    {decision.why}")
    say(f"  passed on  {decision.text}")
    if decision.action == "reply":
        say(f"  answer     {decision.reply}")
    if not verdicts:
        return
    say()
    rows = [
        ("→" if v.won else "", v.rule, v.priority, f"{v.action} {v.skill_id}", v.why)
        for v in verdicts
    ]
    table(("", "rule", "priority", "action", "why"), rows)
