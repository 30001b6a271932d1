"""An iCalendar file (RFC 5545): reads events, repetitions expanded, and adds new ones.

Everything here blocks: call it in a thread. A new event is spliced into the file's text, so what
other programs wrote stays as it is, byte for byte.
"""

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, cast

from ai_engine.domain.errors import SkillFailed

Component = Any
"""icalendar's components are dictionaries of dozens of value classes, typed too loosely to help."""

_FILE_BYTES_MAX = 20_000_000
_LOCK_SECONDS_MAX = 5.0
_LOCK_POLL_SECONDS = 0.02
_END = re.compile(rb"^END:VCALENDAR[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_NEW = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//ai-engine//calendar//EN\r\nEND:VCALENDAR\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event, or one occurrence of a repeated one."""

    uid: str
    title: str
    start: datetime
    end: datetime
    all_day: bool = False
    location: str = ""
    rrule: str = ""
    """Set when it is repeated: an RRULE value, or `RDATE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    events: list[Event]
    """Whole days first within a day, then by start."""
    unreadable: int = 0
    """Entries of the file without a usable start or rule; they were left out."""


class IcsFile:
    """The file at `path`; it need not exist yet. Local times are in `timezone`."""

    def __init__(self, path: Path, timezone: tzinfo) -> None:
        self._path = path
        self._timezone = timezone

    def between(self, start: datetime, end: datetime) -> Found:
        """Events that overlap [start, end), cancelled ones left out.

        Raises:
            SkillFailed: the file cannot be read, or is no iCalendar file.
        """
        import recurring_ical_events

        data = self._read()
        if not data:
            return Found(events=[])
        calendar = self._parse(data)
        unreadable = _drop_unreadable(calendar)
        rules = {
            str(event.get("UID", "")): rule
            for event in calendar.walk("VEVENT")
            if (rule := _rule(event))
        }
        query: Any = recurring_ical_events.of(calendar, skip_bad_series=True)
        events = [
            self._event(component, rules)
            for component in query.between(start, end)
            if str(component.get("STATUS", "")).upper() != "CANCELLED"
        ]
        events.sort(key=lambda one: (one.start.date(), not one.all_day, one.start, one.title))
        return Found(events=events, unreadable=unreadable)

    def add(self, event: Event, now: datetime) -> tuple[Event, bool]:
        """Write the event, unless its UID is there: (what the file has now, whether it is new).

        Raises:
            SkillFailed: the file cannot be read or written, is no iCalendar file, or is locked.
        """
        path = Path(os.path.realpath(self._path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_name(path.name + ".lock")):
                data = self._read() or _NEW
                calendar = self._parse(data)
                for present in calendar.walk("VEVENT"):
                    if str(present.get("UID", "")) == event.uid:
                        return self._event(present, {event.uid: _rule(present)}), False
                _replace(path, _spliced(data, calendar, event, now))
        except OSError as error:
            raise SkillFailed(
                f"The calendar file {self._path} cannot be written: {error.strerror}.",
                hint="check skills.calendar.file, the file's owner and the free space",
            ) from error
        return event, True

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                data = file.read(_FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise SkillFailed(
                f"The calendar file {self._path} cannot be read: {error.strerror}.",
                hint="check skills.calendar.file and the file's owner and mode",
            ) from error
        if len(data) > _FILE_BYTES_MAX:
            raise SkillFailed(
                f"The calendar file {self._path} is larger than {_FILE_BYTES_MAX} bytes.",
                hint="move old events to another file",
            )
        return data.removeprefix(b"\xef\xbb\xbf") if data.strip() else b""

    def _parse(self, data: bytes) -> Component:
        from icalendar import Calendar

        try:
            calendar = Calendar.from_ical(data)
        except (ValueError, KeyError, IndexError) as error:
            raise SkillFailed(
                f"The calendar file {self._path} is not a valid iCalendar file: {str(error)[:200]}",
                hint="repair it or restore a copy; nothing was changed",
            ) from error
        if not _END.search(data):
            raise SkillFailed(
                f"The calendar file {self._path} has no line END:VCALENDAR.",
                hint="it may be cut off; restore a copy, nothing was changed",
            )
        return calendar

    def _event(self, component: Component, rules: dict[str, str]) -> Event:
        start, all_day = self._moment(component["DTSTART"].dt)
        uid = str(component.get("UID", ""))
        if "DTEND" in component:
            end = self._moment(component["DTEND"].dt)[0]
        elif "DURATION" in component:
            end = start + component["DURATION"].dt
        else:
            end = start + timedelta(days=1) if all_day else start
        return Event(
            uid=uid,
            title=_line(component.get("SUMMARY", "")),
            start=start,
            end=end,
            all_day=all_day,
            location=_line(component.get("LOCATION", "")),
            rrule=rules.get(uid, ""),
        )

    def _moment(self, value: date | datetime) -> tuple[datetime, bool]:
        """Local time, and whether it is a whole day. Floating times are local ones."""
        if not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=self._timezone), True
        if value.tzinfo is None:
            return value.replace(tzinfo=self._timezone), False
        return value.astimezone(self._timezone), False


def _line(value: Any) -> str:
    """A property's text on one line, whatever control characters it holds."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def _rule(component: Component) -> str:
    if "RRULE" in component:
        rules: Any = component["RRULE"]
        first: Any = cast("list[Any]", rules)[0] if isinstance(rules, list) else rules
        return first.to_ical().decode()
    return "RDATE" if "RDATE" in component else ""


def _drop_unreadable(calendar: Component) -> int:
    """Take out what cannot be placed in time, so that it hides nothing else; how many."""
    bad = [event for event in calendar.walk("VEVENT") if event.errors or "DTSTART" not in event]
    for event in bad:
        calendar.subcomponents.remove(event)
    return len(bad)


def _spliced(data: bytes, calendar: Component, event: Event, now: datetime) -> bytes:
    """The file's bytes with the event, and its time zone if that is missing, before the end."""
    import icalendar

    component: Component = icalendar.Event()
    component.add("UID", event.uid)
    component.add("DTSTAMP", now.astimezone(UTC))
    component.add("SUMMARY", event.title)
    component.add("DTSTART", event.start.date() if event.all_day else event.start)
    component.add("DTEND", event.end.date() if event.all_day else event.end)
    if event.rrule:
        component.add("RRULE", icalendar.vRecur.from_ical(event.rrule))
    if event.location:
        component.add("LOCATION", event.location)
    added = component.to_ical()
    zone = component["DTSTART"].params.get("TZID", "")
    known = {str(one.get("TZID", "")) for one in calendar.walk("VTIMEZONE")}
    if zone and zone not in known:
        added = icalendar.Timezone.from_tzid(zone).to_ical() + added
    *_, last = _END.finditer(data)
    before = data[: last.start()]
    return before + added + data[last.start() :]


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    """Alone among processes and threads; given up after five seconds."""
    with path.open("ab") as file:
        deadline = time.monotonic() + _LOCK_SECONDS_MAX
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SkillFailed(
                        "The calendar is being changed by someone else.", hint="try again"
                    ) from error
                time.sleep(_LOCK_POLL_SECONDS)
        yield


def _replace(path: Path, data: bytes) -> None:
    """Durable and all or nothing: readers see the old file or the new one."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
