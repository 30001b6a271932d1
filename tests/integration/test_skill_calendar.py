"""The calendar on real files: what is read, what is written, and what survives."""

import asyncio
import fcntl
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from icalendar import Calendar

from ai_engine.domain.errors import SkillFailed
from ai_engine.skills.builtin import ics_file
from ai_engine.skills.builtin.calendar import CalendarSkill
from ai_engine.skills.builtin.ics_file import Event, IcsFile

from support.clock import ManualClock
from support.tool_context import SHANGHAI, WEDNESDAY, tool_context

OTHERS = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Other Program//EN\r
X-WR-CALNAME:公司日历\r
BEGIN:VTIMEZONE\r
TZID:Europe/Berlin\r
BEGIN:STANDARD\r
DTSTART:19961027T030000\r
TZOFFSETFROM:+0200\r
TZOFFSETTO:+0100\r
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r
END:STANDARD\r
BEGIN:DAYLIGHT\r
DTSTART:19810329T020000\r
TZOFFSETFROM:+0100\r
TZOFFSETTO:+0200\r
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r
END:DAYLIGHT\r
END:VTIMEZONE\r
BEGIN:VEVENT\r
UID:standup\r
DTSTART;TZID=Europe/Berlin:20260302T090000\r
DTEND;TZID=Europe/Berlin:20260302T091500\r
RRULE:FREQ=WEEKLY;BYDAY=MO,TH\r
EXDATE;TZID=Europe/Berlin:20261130T090000\r
SUMMARY:Standup\r
X-VENDOR-COLOUR;X-DEEP=yes:#ff0000\r
BEGIN:VALARM\r
ACTION:DISPLAY\r
TRIGGER:-PT5M\r
DESCRIPTION:soon\r
END:VALARM\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:standup\r
RECURRENCE-ID;TZID=Europe/Berlin:20261203T090000\r
DTSTART;TZID=Europe/Berlin:20261203T110000\r
DTEND;TZID=Europe/Berlin:20261203T111500\r
SUMMARY:Standup (later)\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:utc\r
DTSTART:20261126T010000Z\r
DURATION:PT90M\r
SUMMARY:Call\\, Tokyo\r
LOCATION:Room\\n5\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:floating\r
DTSTART:20261126T180000\r
SUMMARY:Dinner\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:holiday\r
DTSTART;VALUE=DATE:20261126\r
DTEND;VALUE=DATE:20261128\r
SUMMARY:放假\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:off\r
DTSTART:20261126T030000Z\r
STATUS:CANCELLED\r
SUMMARY:Cancelled\r
END:VEVENT\r
END:VCALENDAR\r
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "calendar.ics"


@pytest.fixture
def tools(path):
    query, add = CalendarSkill(path, SHANGHAI, ManualClock(WEDNESDAY.timestamp())).tools()
    return {"query": query, "add": add}


async def ask(tool, text, **more):
    context = tool_context(text, **more)
    return await tool.invoke(tool.from_text(text, context), context)


def day(number, hour=0, minute=0):
    return datetime(2026, 11, 1, hour, minute, tzinfo=SHANGHAI) + timedelta(days=number - 1)


def write(path, text):
    path.write_bytes(text.encode())


async def test_a_day_of_a_foreign_file_is_listed_in_local_time_and_order(path, tools):
    write(path, OTHERS)
    result = await ask(tools["query"], "明天有什么安排")
    assert result.text == (
        "**明天（11月26日 周四）：4 项安排**\n\n"
        "- 11月26日–11月27日 放假\n"
        "- 09:00–10:30 Call, Tokyo · Room 5\n"
        "- 16:00–16:15 Standup · 重复\n"
        "- 18:00 Dinner"
    )
    assert result.card is not None
    assert result.card.title == "明天（11月26日 周四）：4 项安排"
    assert result.card.markdown in result.text


async def test_exceptions_of_a_repeated_event_are_respected(path, tools):
    write(path, OTHERS)
    result = await ask(tools["query"], "what's on next week")
    assert result.text == (
        "**Mon 30 Nov – Sun 6 Dec: 1 event**\n\n"
        "**Thu 3 Dec**\n\n"
        "- 18:00–18:15 Standup (later) · repeats"
    )


async def test_a_search_narrows_the_list(path, tools):
    write(path, OTHERS)
    query = tools["query"]
    result = await query.invoke({"when": "2026-11-26", "search": "ROOM"}, tool_context())
    assert "Call, Tokyo" in result.text
    assert "1 event**" in result.text


async def test_without_a_file_nothing_is_planned(tools):
    assert (await ask(tools["query"], "今天")).text == "今天（11月25日 周三）：没有安排。"
    assert (
        await ask(tools["query"], "tonight")
    ).text == "Today (Wed 25 Nov) 18:00–24:00: nothing planned."


async def test_an_instant_shows_the_hour_from_then_on(path, tools):
    write(path, OTHERS)
    assert "Call" in (await ask(tools["query"], "tomorrow at 10am")).text
    assert "Call" not in (await ask(tools["query"], "tomorrow at 11am")).text


async def test_an_added_event_is_found_again_and_is_valid_icalendar(path, tools):
    added = await ask(tools["add"], "明天下午3点和王总开会，地点：三楼会议室")
    assert added.text == (
        "**已添加：和王总开会**\n\n- 时间：明天（11月26日 周四） 15:00–16:00\n- 地点：三楼会议室"
    )
    assert added.card is not None
    assert added.card.fields[0] == ("时间", "明天（11月26日 周四） 15:00–16:00")
    listed = await ask(tools["query"], "明天有什么安排")
    assert "- 15:00–16:00 和王总开会 · 三楼会议室" in listed.text
    calendar = Calendar.from_ical(path.read_bytes())
    event, zone = calendar.walk("VEVENT")[0], calendar.walk("VTIMEZONE")[0]
    assert event["DTSTART"].dt == day(26, 15)
    assert event["DTSTART"].params["TZID"] == zone["TZID"] == "Asia/Shanghai"
    assert {"UID", "DTSTAMP"} <= event.keys()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_repeated_call_adds_once_and_says_the_same_again(path, tools):
    for _ in range(3):
        result = await ask(tools["add"], "每周一早上9点例会", key="turn-1/call-1")
    assert "日历里已有：例会" in result.text
    assert "每周一" in result.text
    assert path.read_bytes().count(b"BEGIN:VEVENT") == 1
    await ask(tools["add"], "每周一早上9点例会", key="turn-2/call-1")
    assert path.read_bytes().count(b"BEGIN:VEVENT") == 2
    assert path.read_bytes().count(b"BEGIN:VTIMEZONE") == 1


async def test_time_is_counted_from_when_the_person_wrote(path, tools):
    await ask(tools["add"], "半小时后喝水", now=WEDNESDAY - timedelta(hours=2))
    assert "- 08:30–09:30 喝水" in (await ask(tools["query"], "今天")).text
    without = CalendarSkill(path, SHANGHAI, ManualClock(WEDNESDAY.timestamp())).tools()[1]
    await ask(without, "半小时后吃饭", now=None, key="k2")
    assert "- 10:30–11:30 吃饭" in (await ask(tools["query"], "今天")).text


async def test_what_others_wrote_stays_byte_for_byte(path, tools):
    write(path, OTHERS)
    path.chmod(0o640)
    await ask(tools["add"], "lunch with Ann tomorrow at noon")
    data = path.read_bytes()
    tail = b"END:VCALENDAR\r\n"
    assert data.startswith(OTHERS.encode().removesuffix(tail))
    assert data.endswith(b"END:VEVENT\r\n" + tail)
    assert path.stat().st_mode & 0o777 == 0o640
    assert "12:00–13:00 lunch with Ann" in (await ask(tools["query"], "tomorrow")).text


async def test_a_file_with_unix_line_ends_is_taken_too(path, tools):
    write(path, OTHERS.replace("\r\n", "\n"))
    await ask(tools["add"], "lunch with Ann tomorrow at noon")
    text = (await ask(tools["query"], "tomorrow")).text
    assert "lunch with Ann" in text
    assert "Dinner" in text


async def test_all_day_events_have_dates_and_may_last_several_days(path, tools):
    await ask(tools["add"], "12月1日到3日出差")
    event = Calendar.from_ical(path.read_bytes()).walk("VEVENT")[0]
    assert str(event["DTSTART"].dt) == "2026-12-01"
    assert str(event["DTEND"].dt) == "2026-12-04"
    assert (await ask(tools["query"], "12月3日")).text.endswith("- 12月1日–12月3日 出差")
    assert "没有安排" in (await ask(tools["query"], "12月4日")).text


async def test_a_clash_is_mentioned(tools):
    await ask(tools["add"], "明天下午3点和王总开会", key="a")
    second = await ask(tools["add"], "明天下午3点半电话会议", key="b")
    assert "时间冲突：和王总开会" in second.text
    third = await ask(tools["add"], "明天下午4点半散步", key="c")
    assert "冲突" not in third.text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"start": "tomorrow 15:00", "end": "16:45"}, "15:00–16:45"),
        ({"start": "tomorrow 15:00", "duration_minutes": 30}, "15:00–15:30"),
        ({"start": "2026-11-26T15:00", "end": "2026-11-26T17:00"}, "15:00–17:00"),
        ({"start": "2026-11-26T07:00:00Z"}, "15:00–16:00"),
        ({"start": "tomorrow 15:00", "end": "tomorrow 16:30"}, "15:00–16:30"),
        ({"start": "tomorrow 22:00", "end": "1am"}, "22:00–01:00 (+1)"),
        ({"start": "tomorrow 15:00", "end": "2026-11-27T14:00"}, "15:00–14:00 (+1)"),
        ({"start": "tomorrow", "end": "2026-11-28"}, "Tomorrow (Thu 26 Nov) – Sat 28 Nov"),
        ({"start": "tomorrow 15:00", "recurrence": "every Thursday"}, "Repeats: every Thu"),
        ({"start": "明天15:00", "recurrence": "每周四"}, "Repeats: every Thu"),
        (
            {"start": "tomorrow 15:00", "recurrence": "RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3"},
            "Repeats: FREQ=MONTHLY;BYDAY=-1FR;COUNT=3",
        ),
    ],
)
async def test_a_models_arguments_are_understood(tools, arguments, line):
    result = await tools["add"].invoke({"title": "Talk", **arguments}, tool_context(language="en"))
    assert not result.error
    assert line in result.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": ""}, "When is it?"),
        ({"title": " ", "start": "tomorrow"}, "What should the event be called?"),
        ({"start": "gibberish"}, "cannot read the time 'gibberish'"),
        ({"start": "tomorrow 15:00", "end": "14:00"}, "before it starts"),
        ({"start": "tomorrow 15:00", "end": "gibberish"}, "'gibberish'"),
        ({"start": "tomorrow", "recurrence": "sometimes"}, "'sometimes'"),
        ({"start": "tomorrow", "recurrence": "FREQ=SECONDLY"}, "FREQ is one of"),
        ({"start": "tomorrow", "recurrence": "FREQ=DAILY;X=1"}, "RRULE parts"),
        ({"start": "tomorrow", "recurrence": "FREQ=WEEKLY;BYDAY=XX"}, "BYDAY"),
        (
            {"start": "tomorrow", "recurrence": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"},
            "never happens",
        ),
        ({"title": "x" * 201, "start": "tomorrow"}, "title"),
    ],
)  # fmt: skip
async def test_what_cannot_be_added_is_said_and_nothing_is_written(path, tools, arguments, words):
    given = {"title": "Talk", **arguments}
    result = await tools["add"].invoke(given, tool_context(language="en"))
    assert result.error
    assert words in result.text
    assert not path.exists()


async def test_questions_that_cannot_be_answered_say_why_in_the_persons_language(tools):
    query = tools["query"]
    assert "看不懂时间“胡说”" in (await query.invoke({"when": "胡说"}, tool_context("胡说"))).text
    wide = {"when": "2020-01-01/2026-01-01"}
    assert "at most 400 days" in (await query.invoke(wide, tool_context())).text
    assert "最多 400 天" in (await query.invoke(wide, tool_context("好"))).text
    assert "title" not in query.parameters["properties"]


@pytest.mark.parametrize(
    "broken",
    [
        b"this is no calendar",
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nEND:VCALENDAR\r\n",
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:a\r\n",
        b"\xff\xfe\x00binary",
        b"BEGIN:VCARD\r\nVERSION:4.0\r\nEND:VCARD\r\n",
    ],
)
async def test_a_broken_file_is_reported_with_its_path_and_never_touched(path, tools, broken):
    path.write_bytes(broken)
    for tool, text in (("query", "tomorrow"), ("add", "lunch tomorrow at noon")):
        result = await ask(tools[tool], text)
        assert result.error
        assert str(path) in result.text
    assert path.read_bytes() == broken
    assert {each.name for each in path.parent.iterdir()} <= {path.name, path.name + ".lock"}


async def test_entries_that_cannot_be_read_hide_no_others_and_are_counted(path, tools):
    bad = "BEGIN:VEVENT\r\nUID:bad\r\nDTSTART:garbage\r\nSUMMARY:x\r\nEND:VEVENT\r\n"
    none = "BEGIN:VEVENT\r\nUID:none\r\nSUMMARY:y\r\nEND:VEVENT\r\n"
    write(path, OTHERS.replace("BEGIN:VEVENT\r\nUID:utc", f"{bad}{none}BEGIN:VEVENT\r\nUID:utc"))
    result = await ask(tools["query"], "明天")
    assert "4 项安排" in result.text
    assert "2 条记录无法读取" in result.text


async def test_an_unreadable_file_is_named(path, tools):
    path.mkdir()
    result = await ask(tools["query"], "today")
    assert result.error
    assert "cannot be read" in result.text
    result = await ask(tools["add"], "lunch tomorrow at noon")
    assert result.error
    assert str(path) in result.text


async def test_a_file_that_is_too_large_is_refused(path, tools, monkeypatch):
    monkeypatch.setattr(ics_file, "_FILE_BYTES_MAX", 100)
    write(path, OTHERS)
    assert "larger than 100 bytes" in (await ask(tools["query"], "today")).text


async def test_events_added_at_once_are_all_kept(path, tools):
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for n in range(12):
            group.create_task(ask(tools["add"], f"明天{9 + n}:00 第{n}件事", key=f"k{n}"))
    assert path.read_bytes().count(b"BEGIN:VEVENT") == 12
    assert "12 项安排" in (await ask(tools["query"], "明天")).text


async def test_a_file_that_another_program_holds_is_reported_after_a_while(
    path, tools, monkeypatch
):
    monkeypatch.setattr(ics_file, "_LOCK_SECONDS_MAX", 0.05)
    with path.with_name("calendar.ics.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = await ask(tools["add"], "lunch tomorrow at noon")
    assert result.error
    assert "try again" in result.text
    assert not path.exists()


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(path, monkeypatch):
    write(path, OTHERS)
    event = Event(uid="n", title="new", start=day(26, 9), end=day(26, 10))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ics_file.os, "fsync", full)
    with pytest.raises(SkillFailed, match="No space left"):
        IcsFile(path, SHANGHAI).add(event, WEDNESDAY)
    assert path.read_bytes() == OTHERS.encode()
    assert {each.name for each in path.parent.iterdir()} == {path.name, path.name + ".lock"}


def test_text_cannot_smuggle_lines_into_the_file(path):
    file = IcsFile(path, SHANGHAI)
    title = "x\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:evil"
    file.add(Event(uid="n", title=title, start=day(26, 9), end=day(26, 10)), WEDNESDAY)
    events = file.between(day(26), day(27)).events
    assert [each.title for each in events] == ["x END:VEVENT BEGIN:VEVENT SUMMARY:evil"]


def test_a_link_to_a_file_stays_a_link(path, tmp_path):
    real = tmp_path / "real" / "shared.ics"
    real.parent.mkdir()
    write(real, OTHERS)
    path.symlink_to(real)
    file = IcsFile(path, SHANGHAI)
    file.add(Event(uid="n", title="new", start=day(26, 9), end=day(26, 10)), WEDNESDAY)
    assert path.is_symlink()
    assert b"SUMMARY:new" in real.read_bytes()
