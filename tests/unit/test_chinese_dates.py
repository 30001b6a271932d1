"""The Chinese grammar of time: examples that people write, and properties that always hold."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ai_engine.skills.chinese_dates import parse
from ai_engine.skills.chinese_times import number

from support.tool_context import SHANGHAI, WEDNESDAY

ONES = "零一二三四五六七八九"
WEEKDAYS = "一二三四五六日"
BERLIN = ZoneInfo("Europe/Berlin")


def read(text, now=WEDNESDAY):
    found = parse(text, now)
    assert found is not None, text
    return found


def stamp(moment):
    return moment.strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("今天", "2026-11-25"),
        ("今日", "2026-11-25"),
        ("明天", "2026-11-26"),
        ("后天", "2026-11-27"),
        ("大后天", "2026-11-28"),
        ("昨天", "2026-11-24"),
        ("前天", "2026-11-23"),
        ("大前天", "2026-11-22"),
        ("周三", "2026-11-25"),
        ("周一", "2026-11-30"),
        ("星期天", "2026-11-29"),
        ("礼拜五", "2026-11-27"),
        ("本周五", "2026-11-27"),
        ("这周一", "2026-11-23"),
        ("上周五", "2026-11-20"),
        ("下周五", "2026-12-04"),
        ("下个星期日", "2026-12-06"),
        ("下下周一", "2026-12-07"),
        ("3天后", "2026-11-28"),
        ("三天之后", "2026-11-28"),
        ("两天前", "2026-11-23"),
        ("两周后", "2026-12-09"),
        ("一个星期以后", "2026-12-02"),
        ("3个月后", "2027-02-25"),
        ("一年后", "2027-11-25"),
        ("12月3日", "2026-12-03"),
        ("十二月二十五号", "2026-12-25"),
        ("3月1日", "2027-03-01"),
        ("2027年1月2日", "2027-01-02"),
        ("二〇二七年一月二日", "2027-01-02"),
        ("明年3月8号", "2027-03-08"),
        ("去年10月1日", "2025-10-01"),
        ("2月29日", "2028-02-29"),
        ("28号", "2026-11-28"),
        ("3号", "2026-12-03"),
        ("31号", "2026-12-31"),
        ("下个月5号", "2026-12-05"),
        ("上月5日", "2026-10-05"),
        ("2026-12-01", "2026-12-01"),
        ("2026/12/1", "2026-12-01"),
    ],
)
def test_a_day_is_read_as_that_whole_day(text, day):
    found = read(text)
    assert (stamp(found.start), found.all_day) == (f"{day} 00:00", True)
    assert found.end - found.start == timedelta(days=1)
    assert found.rest(text) == ""


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("这周", "2026-11-23", "2026-11-30"),
        ("下周", "2026-11-30", "2026-12-07"),
        ("上个星期", "2026-11-16", "2026-11-23"),
        ("周末", "2026-11-28", "2026-11-30"),
        ("下周末", "2026-12-05", "2026-12-07"),
        ("本月", "2026-11-01", "2026-12-01"),
        ("下个月", "2026-12-01", "2027-01-01"),
        ("12月", "2026-12-01", "2027-01-01"),
        ("3月份", "2027-03-01", "2027-04-01"),
        ("明年", "2027-01-01", "2028-01-01"),
        ("未来三天", "2026-11-25", "2026-11-28"),
        ("12月3日到5日", "2026-12-03", "2026-12-06"),
        ("12月30日至1月2日", "2026-12-30", "2027-01-03"),
        ("周一到周五", "2026-11-30", "2026-12-05"),
        ("今天到周五", "2026-11-25", "2026-11-28"),
        ("下周一至周三", "2026-11-30", "2026-12-03"),
    ],
)
def test_several_days_are_read_as_a_range(text, start, end):
    found = read(text)
    assert (str(found.start.date()), str(found.end.date()), found.all_day) == (start, end, True)
    assert found.rest(text) == ""


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("明天下午3点", "2026-11-26 15:00"),
        ("明天下午三点半", "2026-11-26 15:30"),
        ("后天上午十点一刻", "2026-11-27 10:15"),
        ("后天晚上七点三刻", "2026-11-27 19:45"),
        ("明天晚上12点", "2026-11-27 00:00"),
        ("明天凌晨2点", "2026-11-26 02:00"),
        ("明天凌晨12点", "2026-11-26 00:00"),
        ("明天中午12点", "2026-11-26 12:00"),
        ("明天中午1点", "2026-11-26 13:00"),
        ("明早7点", "2026-11-26 07:00"),
        ("今晚8点", "2026-11-25 20:00"),
        ("周五晚8点", "2026-11-27 20:00"),
        ("明天15点", "2026-11-26 15:00"),
        ("明天15:45", "2026-11-26 15:45"),
        ("明天15：45", "2026-11-26 15:45"),
        ("明天9点05分", "2026-11-26 09:05"),
        ("明天九点零五分", "2026-11-26 09:05"),
        ("明天15时30分", "2026-11-26 15:30"),
        ("明天八点整", "2026-11-26 08:00"),
        ("明天八点钟", "2026-11-26 08:00"),
        ("明天24点", "2026-11-27 00:00"),
        ("明天3点", "2026-11-26 15:00"),
        ("明天03:00", "2026-11-26 03:00"),
        ("明天8点", "2026-11-26 08:00"),
        ("今天8点", "2026-11-25 20:00"),
        ("8点", "2026-11-25 20:00"),
        ("上午9点", "2026-11-26 09:00"),
        ("周三上午9点", "2026-12-02 09:00"),
        ("25号上午9点", "2026-12-25 09:00"),
        ("今天上午9点", "2026-11-25 09:00"),
        ("2026-12-01 15:30", "2026-12-01 15:30"),
    ],
)
def test_a_time_of_day_is_an_instant(text, start):
    found = read(text)
    assert stamp(found.start) == start
    assert (found.end, found.all_day, found.rest(text)) == (found.start, False, "")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("明天下午三点到五点", "2026-11-26 15:00", "2026-11-26 17:00"),
        ("明天9点到11点半", "2026-11-26 09:00", "2026-11-26 11:30"),
        ("明天上午10点到1点", "2026-11-26 10:00", "2026-11-26 13:00"),
        ("明天晚上10点到1点", "2026-11-26 22:00", "2026-11-27 01:00"),
        ("明天14:00-16:00", "2026-11-26 14:00", "2026-11-26 16:00"),
        ("明天3点至5点", "2026-11-26 15:00", "2026-11-26 17:00"),
        ("明天上午9点到下午3点", "2026-11-26 09:00", "2026-11-26 15:00"),
        ("明天下午3点一个半小时", "2026-11-26 15:00", "2026-11-26 16:30"),
        ("明天下午3点30分钟", "2026-11-26 15:00", "2026-11-26 15:30"),
        ("明天下午", "2026-11-26 12:00", "2026-11-26 18:00"),
        ("今晚", "2026-11-25 18:00", "2026-11-26 00:00"),
    ],
)
def test_two_times_a_length_or_a_part_of_the_day_are_a_range(text, start, end):
    found = read(text)
    assert (stamp(found.start), stamp(found.end), found.all_day) == (start, end, False)
    assert found.rest(text) == ""


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("半小时后", 30),
        ("半个小时后", 30),
        ("两小时后", 120),
        ("一个半小时之后", 90),
        ("15分钟后", 15),
        ("十五分钟以后", 15),
        ("一刻钟后", 15),
        ("3个钟头后", 180),
        ("20分钟前", -20),
    ],
)
def test_so_much_later_is_counted_from_now(text, minutes):
    found = read(text)
    assert found.start == found.end == WEDNESDAY + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("text", "rrule", "start"),
    [
        ("每天早上8点", "FREQ=DAILY", "2026-11-26 08:00"),
        ("天天晚上9点", "FREQ=DAILY", "2026-11-25 21:00"),
        ("每周一早上9点", "FREQ=WEEKLY;BYDAY=MO", "2026-11-30 09:00"),
        ("每星期天下午2点", "FREQ=WEEKLY;BYDAY=SU", "2026-11-29 14:00"),
        ("每周一三五下午2点", "FREQ=WEEKLY;BYDAY=MO,WE,FR", "2026-11-25 14:00"),
        ("每周一、周三9点", "FREQ=WEEKLY;BYDAY=MO,WE", "2026-11-30 09:00"),
        ("每周一到周五9点", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-11-26 09:00"),
        ("每周末10点半", "FREQ=WEEKLY;BYDAY=SA,SU", "2026-11-28 10:30"),
        ("每个工作日9:30", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-11-26 09:30"),
        ("每两周周三下午4点", "FREQ=WEEKLY;INTERVAL=2;BYDAY=WE", "2026-11-25 16:00"),
        ("每月15号上午10点", "FREQ=MONTHLY;BYMONTHDAY=15", "2026-12-15 10:00"),
        ("每3个月1号8点", "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1", "2026-12-01 08:00"),
        ("每年10月1日9点", "FREQ=YEARLY;BYMONTH=10;BYMONTHDAY=1", "2027-10-01 09:00"),
        ("每周一三点", "FREQ=WEEKLY;BYDAY=MO", "2026-11-30 15:00"),
    ],
)
def test_a_repetition_is_a_rule_and_its_first_time(text, rrule, start):
    found = read(text)
    assert (found.rrule, stamp(found.start), found.all_day) == (rrule, start, False)
    assert found.rest(text) == ""


def test_a_repetition_without_a_time_is_for_whole_days():
    found = read("每月15号交房租")
    assert (found.all_day, stamp(found.start), found.end - found.start) == (
        True,
        "2026-12-15 00:00",
        timedelta(days=1),
    )


def test_a_repetition_may_begin_on_a_day_that_is_said():
    found = read("从12月1日起每周一早上9点")
    assert stamp(found.start) == "2026-12-07 09:00"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("明天下午3点和王总开会", "和王总开会"),
        ("明天和王总下午3点开会", "和王总 开会"),
        ("明天3点5个人开会", "5个人开会"),
        ("上海明天天气怎么样", "上海 天气怎么样"),
        ("3天后天气", "天气"),
        ("周日天气", "天气"),
        ("周天天气", "天气"),
        ("下周天气", "天气"),
        ("每天天气", "天气"),
        ("下周三上午在3号会议室评审", "在3号会议室评审"),
        ("会议：2026-12-01 15:30 体检", "会议： 体检"),
    ],
)
def test_what_is_not_about_time_is_left_over(text, rest):
    assert read(text).rest(text) == rest


@pytest.mark.parametrize(
    "text",
    [
        "", "你好", "快一点", "有一点问题", "早一点来", "一点也不难", "一点儿都不", "早上好",
        "下午好", "下午茶", "3号楼", "5号线", "第一点", "一百二十号文件", "比分3:2", "25点", "99号",
        "13月40日", "2月30日", "一周三次", "每月45号", "房间1203",
    ],
)  # fmt: skip
def test_what_only_looks_like_time_is_left_alone(text):
    assert parse(text, WEDNESDAY) is None


def test_times_keep_their_wall_clock_when_the_clocks_change():
    saturday = datetime(2026, 10, 24, 10, 0, tzinfo=BERLIN)  # summer time ends that night
    tomorrow = read("明天下午3点", saturday)
    assert (stamp(tomorrow.start), tomorrow.start.utcoffset()) == (
        "2026-10-25 15:00",
        timedelta(hours=1),
    )
    later = read("24小时后", saturday)
    assert stamp(later.start) == "2026-10-25 09:00"


def test_long_texts_are_read_quickly_and_only_in_part():
    assert parse("好" * 3000 + "明天", WEDNESDAY) is None
    assert parse("1" * 10_000, WEDNESDAY) is None


# --- properties

hours = st.integers(0, 23)
minutes = st.integers(0, 59)
dates = st.dates(date(2000, 1, 1), date(2099, 12, 31))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 30)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=SHANGHAI)
)


def numeral(value):
    if value < 10:
        return ONES[value]
    tens, ones = divmod(value, 10)
    return ("" if tens == 1 else ONES[tens]) + "十" + (ONES[ones] if ones else "")


@given(st.integers(0, 99))
def test_every_numeral_below_a_hundred_has_its_value(value):
    assert number(numeral(value)) == number(str(value)) == value


@given(dates, hours, minutes, st.booleans(), moments)
def test_a_full_date_and_time_is_read_exactly_in_digits_and_numerals(
    day, hour, minute, digits, now
):
    spell = str if digits else numeral
    year = str(day.year) if digits else "".join(ONES[int(digit)] for digit in str(day.year))
    period, said = (
        ("下午", hour - 12) if hour > 12 else ("中午", 12) if hour == 12 else ("凌晨", hour)
    )
    text = f"{year}年{spell(day.month)}月{spell(day.day)}日{period}{spell(said)}点{spell(minute)}分"
    found = read(text, now)
    assert found.start == datetime(day.year, day.month, day.day, hour, minute, tzinfo=SHANGHAI)
    assert found.rest(text) == ""


@given(st.integers(0, 6), st.integers(-2, 2), moments)
def test_a_weekday_of_a_week_is_in_that_week(weekday, week, now):
    words = {-2: "上上周", -1: "上周", 0: "这周", 1: "下周", 2: "下下周"}[week]
    found = read(words + WEEKDAYS[weekday], now)
    monday = now.date() - timedelta(days=now.weekday()) + timedelta(weeks=week)
    assert found.start.date() == monday + timedelta(days=weekday)


@given(st.integers(0, 6), hours, minutes, moments)
def test_a_weekday_without_a_week_is_ahead_and_within_a_week(weekday, hour, minute, now):
    found = read(f"周{WEEKDAYS[weekday]}{hour:02}:{minute:02}", now)
    assert found.start.weekday() == weekday
    assert now - timedelta(minutes=1) < found.start <= now + timedelta(days=7)


@given(st.integers(1, 99), st.sampled_from(["天", "周", "小时", "分钟"]), st.booleans(), moments)
def test_an_offset_and_its_opposite_are_symmetric(count, unit, digits, now):
    said = str(count) if digits else numeral(count)
    later, earlier = read(f"{said}{unit}后", now), read(f"{said}{unit}前", now)
    base = datetime(now.year, now.month, now.day, tzinfo=SHANGHAI) if later.all_day else now
    assert later.start - base == base - earlier.start
    seconds = {"天": 86_400, "周": 604_800, "小时": 3600, "分钟": 60}[unit]
    assert later.start - base == timedelta(seconds=count * seconds)


@given(st.sets(st.integers(0, 6), min_size=1), hours, moments)
def test_a_weekly_rule_names_its_days_and_begins_on_one_of_them_from_now_on(days, hour, now):
    chosen = sorted(days)
    found = read(f"每周{''.join(WEEKDAYS[day] for day in chosen)} {hour:02}:00", now)
    codes = ",".join(("MO", "TU", "WE", "TH", "FR", "SA", "SU")[day] for day in chosen)
    assert found.rrule == f"FREQ=WEEKLY;BYDAY={codes}"
    assert found.start.weekday() in days
    assert now <= found.start <= now + timedelta(days=7)


PIECES = st.sampled_from(
    [
        *(
            "今天",
            "明天",
            "后天",
            "周一",
            "下周",
            "下周三",
            "去年",
            "周末",
            "3点半",
            "三点",
            "一点",
        ),
        *("每周", "每天", "每月", "上午", "下午", "晚上", "分钟", "小时", "2026", "2026年", "会议"),
        *"到至-后前个月日号年:：的半每两天点分和,。\0a0",
        *("十五", "99", "31", "一点"),
    ]
)


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)), moments)
@example("每年2月30日", WEDNESDAY)
@example("9999-12-31", WEDNESDAY)
@example("99点到99点", WEDNESDAY)
@example("２０２６年１２月１日", WEDNESDAY)
def test_any_text_is_read_without_error_and_what_was_read_is_marked(text, now):
    found = parse(text, now)
    if found is None:
        return
    assert found.start <= found.end
    assert found.start.tzinfo is SHANGHAI
    assert not found.all_day or (found.start.hour, found.end.hour) == (0, 0)
    assert found.spans
    ends = [0]
    for begin, end in found.spans:
        assert ends[-1] <= begin < end <= len(text)
        ends.append(end)
    kept = sum(end - begin for begin, end in found.spans)
    assert len(found.rest(text).replace(" ", "")) <= len(text) - kept
