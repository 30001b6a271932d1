"""What `serve` shows when it is up: what is on, where, and what is missing."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
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
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("address", url)
    facts.add_row("data", str(engine.data.resolve()))
    facts.add_row("channels", _channels(engine, url))
    names = engine.plan.assistant.names
    facts.add_row("models", " → ".join(names) if names else Text("none yet", "yellow"))
    facts.add_row("skills", ", ".join(engine.plan.tools) or "none")
    facts.add_row("rules", str(len(config.rules())))
    facts.add_row("roles", "whoever arrives through a channel may chat and use the skills above")
    title = Text.assemble((" ai-engine ", "bold"), (f"{__version__} ", "dim"))
    out = Console(highlight=False)
    parts = Group(facts, *_missing(engine))
    out.print(Panel(parts, title=title, title_align="left", padding=(1, 2)))
    _print_link(out, "web chat (opens once, for 10 minutes)", link)


def _print_link(out: Console, title: str, link: str) -> None:
    """On a line of its own, never broken: a link that a frame breaks cannot be copied."""
    out.print(Text.assemble((f"   {title}\n", "dim"), f"   {link}"), soft_wrap=True)


def _channels(engine: "Engine", url: str) -> Text:
    lines: list[Text] = []
    for name, channel in engine.plan.channels.items():
        status = channel.status()
        line = Text.assemble(("● ", _DOTS.get(status.state, "red")), (name, "bold"))
        line.append(f"  {channel.type}, {status.state}", "dim")
        settings = engine.config.channels.get(name)
        if settings and settings.mode == "webhook" and channel.type in ("dingtalk", "webhook"):
            line.append(f"  {url}/api/message/{name}")
        if status.detail:
            line.append(f"\n  {status.detail}", "yellow")
        lines.append(line)
    return Text("\n").join(lines)


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
    ]
    return hints


def show_demo(engine: "Engine", *, url: str, page: str, link: str, data: Path) -> None:
    """What the demo prints: where to look, and three things to try."""
    where = Table.grid(padding=(0, 2))
    where.add_column(style="dim", no_wrap=True)
    where.add_column(overflow="fold")
    where.add_row("the chat, as on DingTalk · 模拟的钉钉", Text(page, "bold underline"))
    where.add_row("the engine · 引擎", url)
    where.add_row("model · 模型", _model(engine))
    where.add_row("everything is in · 数据目录", str(data))
    tries = Table.grid(padding=(0, 2))
    tries.add_column(style="bold", no_wrap=True)
    tries.add_column(style="dim")
    tries.add_row("明天有什么安排?", "日程技能,由规则触发,不需要模型 · the calendar, by a rule")
    tries.add_row("北京天气", "天气技能,由规则触发(模拟数据) · the weather, by a rule (simulated)")
    tries.add_row("Tell me a joke.", "the local model answers, in English · 本地模型只会英文")
    title = Text.assemble((" ai-engine demo ", "bold"), (f"{__version__} ", "dim"))
    parts = Group(where, Text("\nTry · 试试看", "bold cyan"), tries, Text("\n" + _STOP, "dim"))
    out = Console(highlight=False)
    out.print(Panel(parts, title=title, title_align="left", padding=(1, 2)))
    _print_link(out, "the web chat, opens once · 网页聊天,链接只能打开一次", link)


_STOP = (
    "Each answer says which part gave it. Ctrl+C ends everything.\n"
    "每条回答都注明由哪一部分给出。按 Ctrl+C 结束。"
)


def _model(engine: "Engine") -> Text:
    if not engine.plan.assistant.names:
        return Text("none: rules and skills only · 无,仅规则与技能", "yellow")
    settings = next(iter(engine.config.models.values()))
    local = settings.model == "smollm2"
    note = "  a demonstration: 135 million parameters, English only" if local else ""
    return Text.assemble(settings.model, (note, "dim"))
