"""From a person's words to the calendar's arguments, and from events to words."""

from datetime import date, datetime, timedelta

import pytest

from ai_engine.skills.builtin import calendar_answers as answers
from ai_engine.skills.builtin.calendar_text import add_arguments, query_arguments
from ai_engine.skills.builtin.ics_file import Event
from ai_engine.skills.day_names import day_name

from support.tool_context import SHANGHAI, tool_context

TODAY = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("明天有什么安排", {"when": "明天"}),
        ("下周有什么会？", {"when": "下周"}),
        ("今天下午有空吗", {"when": "今天下午"}),
        ("what's on tomorrow", {"when": "tomorrow"}),
        ("Am I free on December 2?", {"when": "December 2"}),
        ("meetings in 3 days", {"when": "in 3 days"}),
        ("有什么安排", {}),
        ("", {}),
    ],
)
def test_a_question_becomes_words_about_time(text, arguments):
    assert query_arguments(text, tool_context(text)) == arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("明天下午3点和王总开会", {"title": "和王总开会", "start": "明天下午3点"}),
        ("提醒我明天8点交报告", {"title": "交报告", "start": "明天8点"}),
        ("帮我添加一个日程：后天上午十点 面试", {"title": "面试", "start": "后天上午十点"}),
        ("请安排下周一上午9点项目例会。", {"title": "项目例会", "start": "下周一上午9点"}),
        ("下周三全天团建", {"title": "团建", "start": "下周三"}),
        (
            "明天下午三点在三楼会议室开评审会",
            {"title": "开评审会", "start": "明天下午三点", "location": "三楼会议室"},
        ),
        (
            "每周一三五早上9点半站会，地点：大厅",
            {"title": "站会", "start": "每周一三五早上9点半", "location": "大厅"},
        ),
        (
            "lunch with Ann tomorrow at noon",
            {"title": "lunch with Ann", "start": "tomorrow at noon"},
        ),
        ("Remind me to call Sam on the 3rd", {"title": "call Sam", "start": "on the 3rd"}),
        (
            "add offsite from Dec 1 to Dec 3 to my calendar",
            {"title": "offsite", "start": "from Dec 1 to Dec 3"},
        ),
        (
            "Please schedule a meeting with Bob tomorrow at 3pm, location: Room 5",
            {"title": "meeting with Bob", "start": "tomorrow at 3pm", "location": "Room 5"},
        ),
        ("开会", {"title": "开会", "start": ""}),
        ("明天", {"title": "", "start": "明天"}),
    ],
)
def test_a_request_becomes_title_time_and_place(text, arguments):
    assert add_arguments(text, tool_context(text)) == arguments


def event(day=25, hour=9, hours=1, **more):
    start = datetime(2026, 11, day, hour, tzinfo=SHANGHAI)
    values = {"uid": "u", "title": "站会", "start": start, "end": start + timedelta(hours=hours)}
    return Event(**(values | more))


@pytest.mark.parametrize(
    ("given", "zh", "en"),
    [
        (event(), "- 09:00–10:00 站会", "- 09:00–10:00 站会"),
        (event(hours=0), "- 09:00 站会", "- 09:00 站会"),
        (event(hour=22, hours=2), "- 22:00–24:00 站会", "- 22:00–24:00 站会"),
        (event(hour=22, hours=4), "- 22:00–02:00 (+1) 站会", "- 22:00–02:00 (+1) 站会"),
        (event(hour=0, hours=24, all_day=True), "- 全天 站会", "- all day 站会"),
        (event(hour=0, hours=72, all_day=True), "- 11月25日–11月27日 站会", "- 25 Nov–27 Nov 站会"),
        (event(title=""), "- 09:00–10:00 （无标题）", "- 09:00–10:00 (no title)"),
        (
            event(location="三楼", rrule="FREQ=DAILY"),
            "- 09:00–10:00 站会 · 三楼 · 重复",
            "- 09:00–10:00 站会 · 三楼 · repeats",
        ),
    ],
)
def test_an_event_is_a_line_in_both_languages(given, zh, en):
    assert (answers.event_line(given, "zh"), answers.event_line(given, "en")) == (zh, en)


@pytest.mark.parametrize(
    ("day", "zh", "en"),
    [
        (date(2026, 11, 25), "今天（11月25日 周三）", "Today (Wed 25 Nov)"),
        (date(2026, 11, 26), "明天（11月26日 周四）", "Tomorrow (Thu 26 Nov)"),
        (date(2026, 11, 27), "后天（11月27日 周五）", "Fri 27 Nov"),
        (date(2026, 11, 24), "昨天（11月24日 周二）", "Yesterday (Tue 24 Nov)"),
        (date(2027, 1, 3), "2027年1月3日 周日", "Sun 3 Jan 2027"),
    ],
)
def test_a_day_has_its_name_and_the_year_only_when_it_is_another(day, zh, en):
    assert (day_name(day, TODAY, "zh"), day_name(day, TODAY, "en")) == (zh, en)


@pytest.mark.parametrize(
    ("rrule", "zh", "en"),
    [
        ("FREQ=DAILY", "每天", "every day"),
        ("FREQ=WEEKLY", "每周", "every week"),
        ("FREQ=WEEKLY;BYDAY=MO,WE", "每周一、三", "every Mon, Wed"),
        ("FREQ=YEARLY", "每年", "every year"),
        ("FREQ=MONTHLY;BYMONTHDAY=1", "FREQ=MONTHLY;BYMONTHDAY=1", "FREQ=MONTHLY;BYMONTHDAY=1"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=MONTHLY;BYDAY=-1FR"),
    ],
)
def test_a_simple_rule_is_told_in_words_and_others_as_they_are(rrule, zh, en):
    assert answers.recurrence_name(rrule, "zh") == zh
    assert answers.recurrence_name(rrule, "en") == en


def test_a_long_list_is_cut_and_says_how_many_are_missing():
    events = [event(hour=9, title=f"e{n}") for n in range(53)]
    text = answers.event_list(events, TODAY, TODAY, "zh")
    assert "e49" in text
    assert "e50" not in text
    assert text.endswith("……还有 3 项")
    assert answers.event_list(events, TODAY, TODAY, "en").endswith("… and 3 more")
