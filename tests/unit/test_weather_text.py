"""From a person's words to city and day, and from numbers to words."""

from datetime import date

import msgspec
import pytest

from ai_engine.skills.builtin import weather_answers as answers
from ai_engine.skills.builtin.open_meteo import Current, Daily, Forecast, Place, Trouble
from ai_engine.skills.builtin.weather_text import weather_arguments

from support.tool_context import tool_context


@pytest.mark.parametrize(
    ("text", "city", "day"),
    [
        ("北京天气", "北京", ""),
        ("北京的天气", "北京", ""),
        ("天气 北京", "北京", ""),
        ("查天气：北京", "北京", ""),
        ("北京", "北京", ""),
        ("上海明天天气怎么样", "上海", "明天"),
        ("明天上海天气怎么样？", "上海", "明天"),
        ("帮我查一下广州这周末的天气", "广州", "这周末"),
        ("武汉未来三天天气预报", "武汉", "未来三天"),
        ("北京3天后天气", "北京", "3天后"),
        ("周日杭州会下雨吗", "杭州", "周日"),
        ("深圳会不会下雨", "深圳", ""),
        ("明天杭州冷吗", "杭州", "明天"),
        ("成都现在多少度", "成都", ""),
        ("今天北京天气", "北京", ""),
        ("新会天气", "新会", ""),
        ("会理天气", "会理", ""),
        ("那曲天气", "那曲", ""),
        ("那上海呢", "上海", ""),
        ("天气", "", ""),
        ("明天天气怎么样", "", "明天"),
        ("外面冷吗", "", ""),
        ("weather in Paris tomorrow", "Paris", "tomorrow"),
        ("what's the weather like in New York?", "New York", ""),
        ("How is the weather in San Francisco right now", "San Francisco", ""),
        ("What's the weather in Paris, Texas?", "Paris, Texas", ""),
        ("Paris weather", "Paris", ""),
        ("Berlin", "Berlin", ""),
        ("weather Berlin next 3 days", "Berlin", "next 3 days"),
        ("will it rain in London on Friday?", "London", "Friday"),
        ("Is it going to rain tomorrow in Tokyo?", "Tokyo", "tomorrow"),
        ("weather in Rome today", "Rome", ""),
        ("weather", "", ""),
        ("is it cold outside?", "", ""),
        ("", "", ""),
    ],
)
def test_words_become_city_and_day(text, city, day):
    expected = {"city": city} | ({"day": day} if day else {})
    assert weather_arguments(text, tool_context(text)) == expected


@pytest.mark.parametrize("text", ["那明天呢", "明天天气怎么样", "and tomorrow?"])
def test_a_city_that_was_asked_before_is_remembered(text):
    context = tool_context(text, params={"city": "北京", "day": "周五"})
    arguments = weather_arguments(text, context)
    assert arguments == {"city": "北京", "day": "tomorrow" if "and" in text else "明天"}


def test_what_is_remembered_gives_way_to_a_new_city_and_must_be_text():
    assert weather_arguments("上海天气", tool_context(params={"city": "北京"})) == {"city": "上海"}
    assert weather_arguments("天气", tool_context(params={"city": 7})) == {"city": ""}


def test_every_weather_code_of_the_service_has_a_name_in_both_languages():
    documented = [0, 1, 2, 3, 45, 48, 51, 53, 55, 56, 57, 61, 63, 65, 66, 67, 71, 73, 75, 77]
    documented += [80, 81, 82, 85, 86, 95, 96, 99]
    assert sorted(answers.WMO) == documented
    assert len({zh for zh, _ in answers.WMO.values()}) == len(documented)
    assert answers.weather_name(63, "zh") == "中雨"
    assert answers.weather_name(4, "en") == answers.weather_name(None, "en") == "weather unknown"


def test_every_trouble_has_a_sentence_in_both_languages():
    sentences = {answers.trouble(kind, language) for kind in Trouble for language in ("zh", "en")}
    assert len(sentences) == 2 * len(Trouble)


def daily(**more):
    values = {
        "time": [date(2026, 11, 25), date(2026, 11, 26)],
        "weather_code": [3, 61],
        "temperature_2m_max": [11.6, 8.0],
        "temperature_2m_min": [1.2, -0.4],
        "precipitation_probability_max": [5, 80],
        "precipitation_sum": [0.0, 4.2],
        "wind_speed_10m_max": [12.3, 20.0],
    }
    return Daily(**(values | more))


BEIJING = Place(name="北京", latitude=39.9, longitude=116.4, country="中国", admin1="北京市")
NOW = Current(
    temperature_2m=6.4,
    apparent_temperature=3.0,
    relative_humidity_2m=40,
    weather_code=3,
    wind_speed_10m=9.0,
)


def test_the_answer_tells_now_and_the_days_that_were_asked():
    today = date(2026, 11, 25)
    result = answers.answer(
        BEIJING, Forecast(daily=daily(), current=NOW), today, date(2026, 11, 26), today, "zh"
    )
    assert result.text == (
        "**北京（北京市，中国）天气**\n\n"
        "- 现在：6°C，阴，体感 3°C，湿度 40%，风速 9 km/h\n"
        "- 今天（11月25日 周三）：阴，1 ~ 12°C，降水概率 5%，最大风速 12 km/h\n"
        "- 明天（11月26日 周四）：小雨，0 ~ 8°C，降水概率 80%，降水量 4.2 mm，最大风速 20 km/h"
    )
    assert result.card is not None
    assert result.card.title == "北京（北京市，中国）天气"


def test_another_day_is_told_without_the_present_weather():
    day, today = date(2026, 11, 26), date(2026, 11, 25)
    result = answers.answer(BEIJING, Forecast(daily=daily(), current=NOW), day, day, today, "en")
    assert result.text == (
        "**Weather in 北京 (北京市, 中国)**\n\n"
        "- Tomorrow (Thu 26 Nov): light rain, 0 to 8°C, 80% chance of rain, 4.2 mm, "
        "wind up to 20 km/h"
    )


def test_what_the_service_does_not_know_is_left_out():
    today = date(2026, 11, 25)
    unknown = {name: [None, None] for name in Daily.__struct_fields__ if name != "time"}
    result = answers.answer(BEIJING, Forecast(daily=daily(**unknown)), today, today, today, "en")
    assert result.text.endswith("\n\n- Today (Wed 25 Nov): weather unknown")


def test_a_forecast_without_the_day_says_so():
    today, far = date(2026, 11, 25), date(2026, 12, 5)
    result = answers.answer(BEIJING, Forecast(daily=daily()), far, far, today, "en")
    assert result.error
    assert result.text == "There is no forecast for these days."


def test_made_up_weather_is_labelled():
    today = date(2026, 11, 25)
    forecast = Forecast(daily=daily(), simulated=True)
    assert "模拟数据" in answers.answer(BEIJING, forecast, today, today, today, "zh").text
    assert "simulated" in answers.answer(BEIJING, forecast, today, today, today, "en").text


def test_lists_of_different_lengths_are_no_forecast():
    with pytest.raises(ValueError, match="different lengths"):
        daily(weather_code=[1])
    body = b'{"daily":' + msgspec.json.encode({**msgspec.to_builtins(daily()), "time": []}) + b"}"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Forecast)
