"""What `serve` shows when it is up: what is on, where, and what is missing."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ai_engine import __version__

if TYPE_CHECKING:
    from ai_engine.engine import Engine

_DOTS = {"ready": "green", "connected": "green", "connecting": "yellow"}


def show_banner(engine: "Engine", url: str, link: str) -> None:
    """On standard output."""
    config = engine.config
    facts = _facts()
    facts.add_row("address", url)
    facts.add_row("data", str(engine.data.resolve()))
    facts.add_row("channels", _channels(engine))
    names = engine.plan.assistant.names
    facts.add_row("models", " → ".join(names) if names else Text("none yet", "yellow"))
    facts.add_row("skills", ", ".join(engine.plan.tools) or "none")
    facts.add_row("rules", str(len(config.rules())))
    facts.add_row("roles", "whoever arrives through a channel may chat and use the skills above")
    out = Console(highlight=False)
    _print_panel(out, "ai-engine", facts, *_missing(engine))
    for name, channel in engine.plan.channels.items():
        settings = config.channels.get(name)
        if settings and settings.mode == "webhook" and channel.type in ("dingtalk", "webhook"):
            _print_link(out, f"callback address of {name}", f"{url}/api/message/{name}")
    _print_link(out, "web chat (opens once, for 10 minutes)", link)


def _facts() -> Table:
    """Two columns: what, and the value; a value wraps within its own column."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _print_panel(out: Console, name: str, *parts: RenderableType) -> None:
    title = Text.assemble((f" {name} ", "bold"), (f"{__version__} ", "dim"))
    out.print(Panel(Group(*parts), title=title, title_align="left", padding=(1, 2)))


def _print_link(out: Console, title: str, link: str) -> None:
    """On a line of its own, never broken: a link that a frame breaks cannot be copied."""
    out.print(Text.assemble((f"   {title}\n", "dim"), f"   {link}"), soft_wrap=True)


def _channels(engine: "Engine") -> Table:
    shown = Table.grid(padding=(0, 1))
    shown.add_column(no_wrap=True)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, channel in engine.plan.channels.items():
        status = channel.status()
        colour = _DOTS.get(status.state, "red")
        line = Text(f"{channel.type}, {status.state.replace('_', ' ')}", "dim")
        if status.detail:
            line.append(f": {status.detail}", "dim" if colour == "green" else "yellow")
        shown.add_row(Text("●", colour), name, line)
    return shown


def _missing(engine: "Engine") -> list[Text]:
    """What an administrator would want to do next."""
    hints: list[Text] = []
    if not engine.plan.assistant.names:
        hints.append(
            Text(
                "\nNo model yet: add one under `models`, or try `ai-engine model pull smollm2`.",
                "yellow",
            )
        )
    hints += [
        Text(f"\n{problem.where}: {problem.what} {problem.fix}", "yellow")
        for problem in engine.live.current.warnings
        if not _told(engine, problem.where)
    ]
    return hints


def _told(engine: "Engine", where: str) -> bool:
    """Whether the channel's own line says it already."""
    return any(
        where.endswith(f"$.channels.{name}") and channel.status().state == "plugin_missing"
        for name, channel in engine.plan.channels.items()
    )


def show_demo(engine: "Engine", *, url: str, page: str, link: str, data: Path) -> None:
    """What the demo prints: what it is, things to try, and where to look."""
    facts = _facts()
    facts.add_row("engine · 引擎", url)
    facts.add_row("model · 模型", _model(engine))
    facts.add_row("data · 数据目录", str(data))
    tries = Table.grid(padding=(0, 2))
    tries.add_column(style="bold", no_wrap=True)
    tries.add_column(style="dim")
    tries.add_row("明天有什么安排?", "the calendar, by a rule, no model · 日程，由规则触发")
    tries.add_row("北京天气", "the weather, by a rule (simulated) · 天气，由规则触发（模拟数据）")
    if engine.plan.assistant.names:
        who = "the local model, English only · 本地模型，只会英文"
        tries.add_row("Tell me a joke.", who if _is_local(engine) else "your model · 你的模型")
    out = Console(highlight=False)
    head = Text("\nTry · 试试看", "bold cyan")
    _print_panel(out, "ai-engine demo", facts, head, tries, Text("\n" + _STOP, "dim"))
    _print_link(out, "open this: the chat, as on DingTalk · 请打开：模拟的钉钉", page)
    _print_link(out, "or the web chat, opens once · 或网页聊天，链接只能打开一次", link)


_STOP = (
    "Each answer says which part gave it. Ctrl+C ends everything.\n"
    "每条回答都注明由哪一部分给出。按 Ctrl+C 结束。"
)


def _is_local(engine: "Engine") -> bool:
    return any(settings.model == "smollm2" for settings in engine.config.models.values())


def _model(engine: "Engine") -> Text:
    if not engine.plan.assistant.names:
        return Text("none: rules and skills only · 无，仅规则与技能", "yellow")
    settings = next(iter(engine.config.models.values()))
    note = "  a demonstration: tiny, English only · 仅供演示" if _is_local(engine) else ""
    return Text.assemble(settings.model, (note, "dim"))
