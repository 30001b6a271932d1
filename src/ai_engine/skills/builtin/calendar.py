"""`calendar_query` and `calendar_add`: the skills that read and write an iCalendar file."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SkillFailed
from ai_engine.domain.ids import derived_id
from ai_engine.domain.skill import Tool, ToolContext, ToolResult
from ai_engine.skills.base import skill
from ai_engine.skills.builtin import calendar_answers as answers
from ai_engine.skills.builtin import calendar_text as words
from ai_engine.skills.builtin.ics_file import Event, IcsFile
from ai_engine.skills.dates import parse_when
from ai_engine.skills.when import When

_SPAN_DAYS_MAX = 400
_DEFAULT_MINUTES = 60
_OVERNIGHT_MAX = timedelta(hours=12)
_RULE_PARTS = frozenset(
    ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST")
)
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """`calendar_add`'s arguments, as given."""

    title: str
    start: str
    end: str
    duration_minutes: int | None
    recurrence: str
    location: str


class CalendarSkill:
    """One calendar file for everyone who may use the skill."""

    def __init__(self, path: Path, timezone: ZoneInfo, clock: Clock) -> None:
        self._file = IcsFile(path, timezone)
        self._timezone = timezone
        self._clock = clock

    def tools(self) -> tuple[Tool, Tool]:
        query = skill(
            name="calendar_query",
            permission="skill:calendar_query.use",
            timeout_seconds=20,
            read_only=True,
            title="Calendar: what is on (“what's on tomorrow”)",
            title_zh="查看日程（“明天有什么安排”）",
            from_text=words.query_arguments,
        )(self.query)
        add = skill(
            name="calendar_add",
            permission="skill:calendar_add.use",
            timeout_seconds=20,
            idempotent=True,
            title="Calendar: add an event (“lunch with Ann tomorrow at noon”)",
            title_zh="添加日程（“明天下午3点和王总开会”）",
            from_text=words.add_arguments,
        )(self.add)
        return query, add

    async def query(
        self,
        context: ToolContext,
        when: Annotated[str, Field(max_length=200)] = "today",
        search: Annotated[str, Field(max_length=100)] = "",
    ) -> ToolResult:
        """Look up the events in the calendar for a day or a range of time.

        Args:
            when: The time in words or ISO 8601: "today", "next week", "2026-12-01/2026-12-07".
            search: Only events whose title or place contains this text.
        """
        return await asyncio.to_thread(self._query, context, when, search)

    async def add(
        self,
        context: ToolContext,
        title: Annotated[str, Field(max_length=200)],
        start: Annotated[str, Field(max_length=200)],
        end: Annotated[str, Field(max_length=200)] = "",
        duration_minutes: Annotated[int, Field(ge=1, le=43_200)] | None = None,
        recurrence: Annotated[str, Field(max_length=200)] = "",
        location: Annotated[str, Field(max_length=200)] = "",
    ) -> ToolResult:
        """Add an event to the calendar. A start without a time of day is an all-day event.

        Args:
            title: What the event is called.
            start: When it starts, in words or ISO 8601: "tomorrow 15:00", "2026-12-01T15:00".
            end: When it ends, in words or ISO 8601; one hour after the start by default.
            duration_minutes: How long it takes, instead of `end`.
            recurrence: How it is repeated: "every Monday", or an RRULE "FREQ=WEEKLY;BYDAY=MO".
            location: Where it is.
        """
        wanted = _Wanted(
            title=" ".join(title.split()),
            start=start,
            end=end,
            duration_minutes=duration_minutes,
            recurrence=recurrence,
            location=" ".join(location.split()),
        )
        return await asyncio.to_thread(self._add, context, wanted)

    def _now(self, context: ToolContext) -> datetime:
        """When the person wrote: a turn that is repeated later means the same time."""
        seconds = context.message.received_at or self._clock.time()
        return datetime.fromtimestamp(seconds, self._timezone)

    def _query(self, context: ToolContext, phrase: str, search: str) -> ToolResult:
        now, language = self._now(context), context.language
        when = parse_when(phrase or "today", now, self._timezone, language)
        if when is None:
            raise SkillFailed(answers.not_understood(phrase, language))
        end = when.end if when.end > when.start else when.start + timedelta(hours=1)
        if (end - when.start).days > _SPAN_DAYS_MAX:
            raise SkillFailed(answers.too_long(_SPAN_DAYS_MAX, language))
        found = self._file.between(when.start, end)
        wanted = search.strip().casefold()
        events = [e for e in found.events if wanted in f"{e.title}\n{e.location}".casefold()]
        today = now.date()
        name = answers.range_name(when.start, end, when.all_day, today, language)
        lines = answers.event_list(events, when.start.date(), today, language)
        return answers.listing(name, lines, len(events), found.unreadable, language)

    def _add(self, context: ToolContext, wanted: _Wanted) -> ToolResult:
        now, language = self._now(context), context.language
        if not wanted.title:
            raise SkillFailed(answers.ask("title", language))
        event = self._event(context, wanted, now)
        event, new = self._file.add(
            event, datetime.fromtimestamp(self._clock.time(), self._timezone)
        )
        others = self._file.between(event.start, max(event.end, event.start + timedelta(minutes=1)))
        clashes = [
            other.title
            for other in others.events
            if other.uid != event.uid and not other.all_day and not event.all_day
        ]
        return answers.added(event, new, clashes, now, language)

    def _event(self, context: ToolContext, wanted: _Wanted, now: datetime) -> Event:
        language = context.language
        if not wanted.start.strip():
            raise SkillFailed(answers.ask("start", language))
        when = parse_when(wanted.start, now, self._timezone, language)
        if when is None:
            raise SkillFailed(answers.not_understood(wanted.start, language))
        rrule = when.rrule
        if wanted.recurrence.strip():
            rrule = self._rule(wanted.recurrence.strip(), when, language)
        start, end, all_day = self._ends(wanted, when, now, language)
        return Event(
            uid=f"{derived_id('event', context.idempotency_key)}@ai-engine",
            title=wanted.title,
            start=start,
            end=end,
            all_day=all_day,
            location=wanted.location,
            rrule=rrule,
        )

    def _ends(
        self, wanted: _Wanted, when: When, now: datetime, language: str
    ) -> tuple[datetime, datetime, bool]:
        if wanted.duration_minutes:
            return when.start, when.start + timedelta(minutes=wanted.duration_minutes), False
        if not wanted.end.strip():
            default = when.start + timedelta(minutes=_DEFAULT_MINUTES)
            return when.start, when.end if when.end > when.start else default, when.all_day
        last = self._end(wanted.end, when, now, language)
        whole = when.all_day and last.time() == time()
        return when.start, last, whole

    def _end(self, text: str, when: When, now: datetime, language: str) -> datetime:
        """The end that is meant: seen from now (`tomorrow 16:00`) or from the start (`16:00`)."""
        seen = [parse_when(text, origin, self._timezone, language) for origin in (now, when.start)]
        ends = [end.end if when.all_day and end.all_day else end.start for end in seen if end]
        if not ends:
            raise SkillFailed(answers.not_understood(text, language))
        later = [end for end in ends if end > when.start]
        # A time of day that is not after the start is taken for the next day's, within limits.
        overnight = ends[0] != ends[-1] and min(later, default=when.start) == ends[-1]
        if not later or (overnight and not when.all_day and ends[-1] - when.start > _OVERNIGHT_MAX):
            raise SkillFailed(answers.ends_early(language))
        return min(later)

    def _rule(self, text: str, when: When, language: str) -> str:
        """An RRULE value from one, or from words."""
        rule = text.upper().removeprefix("RRULE:")
        if not rule.startswith("FREQ="):
            read = parse_when(text, when.start, self._timezone, language)
            if read is None or not read.rrule:
                raise SkillFailed(answers.not_understood(text, language))
            return read.rrule
        if fault := _rule_fault(rule, when.start):
            raise SkillFailed(f"{answers.not_understood(text, language)} {fault}")
        return rule


def _rule_fault(rule: str, start: datetime) -> str:
    """Why the rule is refused: unknown, too frequent, or one that never happens."""
    from dateutil.rrule import rrulestr
    from icalendar import vRecur

    parts = [part.partition("=")[0] for part in rule.split(";")]
    if set(parts) - _RULE_PARTS or len(set(parts)) < len(parts):
        return f"RRULE parts are {', '.join(sorted(_RULE_PARTS))}, each once."
    if not any(rule.startswith(f"FREQ={frequency}") for frequency in _FREQUENCIES):
        return f"FREQ is one of {', '.join(_FREQUENCIES)}."
    # dateutil seeks until the year 9999. The calendar repeats itself every 400 years, so beginning
    # 7600 years later gives the same answer in a twentieth of the time.
    later = start.replace(tzinfo=None, year=start.year + 7600)
    endless = ";".join(p for p in rule.split(";") if not p.startswith(("UNTIL=", "COUNT=")))
    try:
        vRecur.from_ical(rule)
        first = next(iter(rrulestr(endless, dtstart=later)), None)
    except ValueError as error:
        return str(error)[:200]
    return "" if first else "It never happens."
