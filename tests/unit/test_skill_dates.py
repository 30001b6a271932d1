"""`parse_when`: English sentences, ISO 8601, and the choice between the languages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.skills import english_dates
from ai_engine.skills.dates import parse_when

from support.tool_context import SHANGHAI, WEDNESDAY


def read(text, language="en", now=WEDNESDAY):
    found = parse_when(text, now, SHANGHAI, language)
    assert found is not None, text
    return found


def stamp(moment):
    return moment.strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2026-11-25", "2026-11-26"),
        ("tomorrow", "2026-11-26", "2026-11-27"),
        ("the day after tomorrow", "2026-11-27", "2026-11-28"),
        ("yesterday", "2026-11-24", "2026-11-25"),
        ("Friday", "2026-11-27", "2026-11-28"),
        ("on Wednesday", "2026-11-25", "2026-11-26"),
        ("this Monday", "2026-11-30", "2026-12-01"),
        ("next Friday", "2026-12-04", "2026-12-05"),
        ("last Friday", "2026-11-20", "2026-11-21"),
        ("next week", "2026-11-30", "2026-12-07"),
        ("this weekend", "2026-11-28", "2026-11-30"),
        ("next month", "2026-12-01", "2027-01-01"),
        ("this year", "2026-01-01", "2027-01-01"),
        ("December 3rd", "2026-12-03", "2026-12-04"),
        ("5 December 2027", "2027-12-05", "2027-12-06"),
        ("the 3rd of March", "2027-03-03", "2027-03-04"),
        ("on the 3rd", "2026-12-03", "2026-12-04"),
        ("in three days", "2026-11-28", "2026-11-29"),
        ("in 2 weeks", "2026-12-09", "2026-12-10"),
        ("2 days ago", "2026-11-23", "2026-11-24"),
        ("the next 3 days", "2026-11-25", "2026-11-28"),
        ("Dec 1 to Dec 3", "2026-12-01", "2026-12-04"),
        ("monday to wednesday", "2026-11-30", "2026-12-03"),
        ("2026-12-01", "2026-12-01", "2026-12-02"),
        ("2026-12-01/2026-12-07", "2026-12-01", "2026-12-08"),
        ("a fortnight ago", "2026-11-11", "2026-11-12"),
    ],
)
def test_english_days_are_whole_days(text, start, end):
    found = read(text)
    assert (str(found.start.date()), str(found.end.date()), found.all_day) == (start, end, True)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("tomorrow at 3pm", "2026-11-26 15:00", "2026-11-26 15:00"),
        ("tomorrow at 3", "2026-11-26 15:00", "2026-11-26 15:00"),
        ("tomorrow at 03:00", "2026-11-26 03:00", "2026-11-26 03:00"),
        ("tomorrow 9:30", "2026-11-26 09:30", "2026-11-26 09:30"),
        ("tomorrow at 12 am", "2026-11-26 00:00", "2026-11-26 00:00"),
        ("tomorrow at 12 p.m.", "2026-11-26 12:00", "2026-11-26 12:00"),
        ("Friday at noon", "2026-11-27 12:00", "2026-11-27 12:00"),
        ("at 8", "2026-11-25 20:00", "2026-11-25 20:00"),
        ("9am", "2026-11-26 09:00", "2026-11-26 09:00"),
        ("Wednesday 9am", "2026-12-02 09:00", "2026-12-02 09:00"),
        ("tomorrow 9am-10:30am", "2026-11-26 09:00", "2026-11-26 10:30"),
        ("tomorrow from 3 to 5pm", "2026-11-26 15:00", "2026-11-26 17:00"),
        ("tomorrow from 11 to 1pm", "2026-11-26 11:00", "2026-11-26 13:00"),
        ("tomorrow from 9 to 5", "2026-11-26 09:00", "2026-11-26 17:00"),
        ("tomorrow from 10pm until 1am", "2026-11-26 22:00", "2026-11-27 01:00"),
        ("tomorrow at 6 pm for 2 hours", "2026-11-26 18:00", "2026-11-26 20:00"),
        ("tomorrow morning", "2026-11-26 06:00", "2026-11-26 12:00"),
        ("tonight", "2026-11-25 18:00", "2026-11-26 00:00"),
        ("in 2 hours", "2026-11-25 12:00", "2026-11-25 12:00"),
        ("in half an hour", "2026-11-25 10:30", "2026-11-25 10:30"),
        ("20 minutes ago", "2026-11-25 09:40", "2026-11-25 09:40"),
        ("2026-12-01T15:00", "2026-12-01 15:00", "2026-12-01 15:00"),
        ("2026-12-01 15:00:30", "2026-12-01 15:00", "2026-12-01 15:00"),
        ("2026-12-01T15:00:00Z", "2026-12-01 23:00", "2026-12-01 23:00"),
        ("2026-12-01T15:00:00+09:00", "2026-12-01 14:00", "2026-12-01 14:00"),
        ("2026-12-01T15:00/2026-12-01T16:30", "2026-12-01 15:00", "2026-12-01 16:30"),
    ],
)
def test_english_times_are_local(text, start, end):
    found = read(text)
    assert (stamp(found.start), stamp(found.end), found.all_day) == (start, end, False)


@pytest.mark.parametrize(
    ("text", "rrule", "start"),
    [
        ("every day at 8", "FREQ=DAILY", "2026-11-26 08:00"),
        ("every weekday at 9:30", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-11-26 09:30"),
        ("every Monday and Wednesday at 6 pm", "FREQ=WEEKLY;BYDAY=MO,WE", "2026-11-25 18:00"),
        ("weekly on Tuesday at 2pm", "FREQ=WEEKLY;BYDAY=TU", "2026-12-01 14:00"),
        ("every other Tuesday at 14:00", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", "2026-12-01 14:00"),
        ("monthly on the 1st at 10am", "FREQ=MONTHLY;BYMONTHDAY=1", "2026-12-01 10:00"),
        ("every month at noon", "FREQ=MONTHLY", "2026-11-25 12:00"),
        ("every two weeks at noon", "FREQ=WEEKLY;INTERVAL=2", "2026-11-25 12:00"),
        ("annually at noon", "FREQ=YEARLY", "2026-11-25 12:00"),
    ],
)
def test_english_repetitions_are_rules(text, rrule, start):
    found = read(text)
    assert (found.rrule, stamp(found.start)) == (rrule, start)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("meeting with Bob tomorrow at 3pm", "meeting with Bob"),
        ("Lunch on Friday at noon in Cafe May", "Lunch in Cafe May"),
        ("weather in Paris tomorrow", "weather in Paris"),
        ("review from 3 to 5pm on December 3rd", "review"),
        ("offsite from Dec 1 to Dec 3", "offsite"),
        ("buy 3 apples", "buy 3 apples"),
    ],
)
def test_locating_agrees_with_reading_on_what_is_left_over(text, rest):
    assert english_dates.locate(text).rest(text) == rest
    found = english_dates.parse(text, WEDNESDAY)
    assert (found.rest(text) if found else text) == rest


@pytest.mark.parametrize(
    "text", ["", "hello", "2-3 people at the office", "sun is shining", "buy 3 apples", "3/2/99999"]
)
def test_what_only_looks_like_time_is_left_alone(text):
    assert parse_when(text, WEDNESDAY, SHANGHAI, "en") is None


def test_han_characters_choose_the_chinese_grammar_whatever_the_language():
    assert stamp(read("明天下午3点", "en").start) == "2026-11-26 15:00"
    assert stamp(read("tomorrow at 3pm", "zh").start) == "2026-11-26 15:00"
    assert parse_when("你好", WEDNESDAY, SHANGHAI, "zh") is None


def test_the_language_decides_the_order_of_a_date_in_numbers():
    assert str(read("3/12/2026", "en").start.date()) == "2026-03-12"
    assert str(read("2026.3.12", "zh").start.date()) == "2026-03-12"


def test_the_present_may_be_given_in_another_time_zone():
    late = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)  # the 26th in Shanghai
    assert str(read("today", now=late).start.date()) == "2026-11-26"


@pytest.mark.parametrize("text", ["2026-13-01", "2026-12-01T99:00", "0001-01-01"])
def test_impossible_iso_dates_are_not_read(text):
    found = parse_when(text, WEDNESDAY, SHANGHAI, "en")
    assert found is None or found.start.year >= 1900


PIECES = st.sampled_from(
    [
        *("every", "the next", "next", "on", "at", "from", "to", "until", "in", "for", "of", "and"),
        *("tomorrow", "friday", "monday", "december", "week", "month", "days", "hours", "morning"),
        *("3", "5pm", "9:30", "1st", "99", "31", "two", "half an", "a", "noon", "2026-12-01"),
        *("ago", "daily", "-", ",", "/"),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map(" ".join)))
def test_any_text_is_read_by_the_english_grammar_without_error(text):
    for found in (english_dates.parse(text, WEDNESDAY), english_dates.locate(text)):
        if found is None:
            continue
        assert found.start <= found.end
        ends = [0]
        for begin, end in found.spans:
            assert ends[-1] <= begin < end <= len(text)
            ends.append(end)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)))  # noqa: DTZ001
def test_what_a_clock_shows_is_read_back(moment):
    moment = moment.replace(second=0, microsecond=0, tzinfo=SHANGHAI)
    for text in (moment.isoformat(), moment.strftime("%Y-%m-%d %H:%M")):
        assert read(text).start == moment
    spoken = moment.strftime("%B %d, %Y at %I:%M %p")
    assert read(spoken).start - moment == timedelta(0)
