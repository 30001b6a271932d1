"""How the calendar answers: days, times and events in Chinese and English markdown, and cards."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from ai_engine.domain.reply import Card
from ai_engine.domain.skill import ToolResult
from ai_engine.skills.builtin.ics_file import Event
from ai_engine.skills.day_names import WEEKDAYS_EN, WEEKDAYS_ZH, day_name, short_day
from ai_engine.skills.when import WEEKDAYS

_EVENTS_SHOWN_MAX = 50


def range_name(start: datetime, end: datetime, all_day: bool, today: date, language: str) -> str:
    """A whole range of time in words."""
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    if all_day and last <= first:
        return day_name(first, today, language)
    if all_day:
        joint = " 至 " if language == "zh" else " – "
        return day_name(first, today, language) + joint + day_name(last, today, language)
    return f"{day_name(first, today, language)} {_hours(start, end)}"


def _hours(start: datetime, end: datetime) -> str:
    if end <= start:
        return f"{start:%H:%M}"
    days = (end.date() - start.date()).days
    if days and end.time() == datetime.min.time() and days == 1:
        return f"{start:%H:%M}–24:00"
    return f"{start:%H:%M}–{end:%H:%M}" + (f" (+{days})" if days else "")


def event_line(event: Event, language: str) -> str:
    """`- 09:30–10:30 站会 · 三楼会议室 · 重复`."""
    zh = language == "zh"
    hours = ("全天" if zh else "all day") if event.all_day else _hours(event.start, event.end)
    last = (event.end - timedelta(microseconds=1)).date()
    if event.all_day and last > event.start.date():
        hours = f"{short_day(event.start.date(), language)}–{short_day(last, language)}"
    parts = [f"{hours} {event.title or ('（无标题）' if zh else '(no title)')}"]
    if event.location:
        parts.append(event.location)
    if event.rrule:
        parts.append("重复" if zh else "repeats")
    return "- " + " · ".join(parts)


def event_list(events: Sequence[Event], first: date, today: date, language: str) -> str:
    """The events as markdown, under their days when there are several."""
    shown = events[:_EVENTS_SHOWN_MAX]
    days: dict[date, list[str]] = {}
    for event in shown:
        day = max(event.start.date(), first)
        days.setdefault(day, []).append(event_line(event, language))
    lines: list[str] = []
    for day in sorted(days):
        if days.keys() != {first}:
            lines += [f"**{day_name(day, today, language)}**", ""]
        lines += [*days[day], ""]
    if len(events) > len(shown):
        more = len(events) - len(shown)
        lines.append(f"……还有 {more} 项" if language == "zh" else f"… and {more} more")
    return "\n".join(lines).strip()


def recurrence_name(rrule: str, language: str) -> str:
    """An RRULE in words, for the rules that our grammars make; others as they are."""
    parts = {name: value for name, _, value in (p.partition("=") for p in rrule.split(";"))}
    frequency, days = parts.get("FREQ", ""), parts.get("BYDAY", "")
    if set(parts) - {"FREQ", "BYDAY"} or not re.fullmatch(r"((MO|TU|WE|TH|FR|SA|SU),?)*", days):
        return rrule
    chosen = [WEEKDAYS.index(day) for day in days.split(",") if day]
    zh = language == "zh"
    if frequency == "WEEKLY" and chosen:
        if zh:
            return "每周" + "、".join(WEEKDAYS_ZH[day] for day in chosen)
        return "every " + ", ".join(WEEKDAYS_EN[day] for day in chosen)
    plain = {
        "DAILY": ("每天", "every day"),
        "WEEKLY": ("每周", "every week"),
        "MONTHLY": ("每月", "every month"),
        "YEARLY": ("每年", "every year"),
    }
    return plain.get(frequency, (rrule, rrule))[0 if zh else 1]


def listing(name: str, lines: str, count: int, unreadable: int, language: str) -> ToolResult:
    """The answer to `calendar_query`."""
    zh = language == "zh"
    notes = ""
    if unreadable:
        notes = (
            f"\n\n（日历文件中有 {unreadable} 条记录无法读取，已略过）"
            if zh
            else f"\n\n({unreadable} entries of the calendar file cannot be read; left out)"
        )
    if not count:
        return ToolResult(
            text=(f"{name}：没有安排。" if zh else f"{name}: nothing planned.") + notes
        )
    title = f"{name}：{count} 项安排" if zh else f"{name}: {count} event{'s' if count > 1 else ''}"
    return ToolResult(
        text=f"**{title}**\n\n{lines}{notes}", card=Card(title=title, markdown=lines + notes)
    )


def added(event: Event, new: bool, clashes: list[str], now: datetime, language: str) -> ToolResult:
    """The answer to `calendar_add`."""
    zh = language == "zh"
    when = range_name(event.start, event.end, event.all_day, now.date(), language)
    fields = [("时间" if zh else "When", when)]
    if event.rrule:
        fields.append(("重复" if zh else "Repeats", recurrence_name(event.rrule, language)))
    if event.location:
        fields.append(("地点" if zh else "Where", event.location))
    if clashes:
        text = ("、" if zh else ", ").join(clashes[:5])
        fields.append(("⚠️ 时间冲突" if zh else "⚠️ At the same time", text))
    head = ("已添加" if new else "日历里已有") if zh else ("Added" if new else "Already there")
    title = f"{head}：{event.title}" if zh else f"{head}: {event.title}"
    lines = "\n".join(f"- {name}{'：' if zh else ': '}{value}" for name, value in fields)
    return ToolResult(text=f"**{title}**\n\n{lines}", card=Card(title=title, fields=tuple(fields)))


def not_understood(phrase: str, language: str) -> str:
    """Words about time that nobody can read."""
    if language == "zh":
        return (
            f"看不懂时间“{phrase[:80]}”。请换个说法，例如“明天下午3点”“下周五”或 2026-12-01T15:00。"
        )
    return (
        f"I cannot read the time {phrase[:80]!r}. "
        "Try “tomorrow at 3pm”, “next Friday” or 2026-12-01T15:00."
    )


def ask(missing: str, language: str) -> str:
    """The question for what is missing: `title` or `start`."""
    if missing == "title":
        zh, en = "请告诉我日程的内容。", "What should the event be called?"
    else:
        zh = "请告诉我日程的时间，例如“明天下午3点和王总开会”。"
        en = "When is it? For example: “meeting with Bob tomorrow at 3pm”."
    return zh if language == "zh" else en


def too_long(days_max: int, language: str) -> str:
    """The range is refused."""
    if language == "zh":
        return f"时间范围太长，最多 {days_max} 天。"
    return f"The range of time is too long; at most {days_max} days."


def ends_early(language: str) -> str:
    """The end is refused."""
    return "结束时间早于开始时间。" if language == "zh" else "It would end before it starts."
