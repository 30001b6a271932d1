"""The weather against a server that speaks Open-Meteo's format, healthy and not."""

import asyncio
import socket
from datetime import UTC, datetime

import aiohttp
import pytest

from ai_engine.config.schema import WeatherConfig
from ai_engine.security.egress import Egress
from ai_engine.simulators.open_meteo import serve
from ai_engine.skills.builtin import open_meteo
from ai_engine.skills.builtin.weather import WeatherSkill

from support.clock import ManualClock
from support.open_meteo import OpenMeteo
from support.tool_context import SHANGHAI, WEDNESDAY, tool_context

CLOCK = ManualClock(WEDNESDAY.timestamp())


@pytest.fixture
async def api():
    async with OpenMeteo(CLOCK) as running:
        yield running


@pytest.fixture
async def egress():
    egress = Egress()
    await egress.start()
    yield egress
    await egress.close()


@pytest.fixture
async def weather(api, egress):
    config = WeatherConfig(geocoding_url=api.base_url + "/", forecast_url=api.base_url)
    return WeatherSkill(config, egress, CLOCK, SHANGHAI).tools()[0]


async def ask(tool, text, **more):
    context = tool_context(text, **more)
    return await tool.invoke(tool.from_text(text, context), context)


async def test_a_city_is_found_and_its_weather_told_in_chinese(weather, api):
    result = await ask(weather, "北京天气")
    assert not result.error
    lines = result.text.splitlines()
    assert lines[0] == "**北京（北京市，中国）天气**"
    assert lines[2].startswith("- 现在：")
    assert [line.split("：")[0] for line in lines[3:6]] == [
        "- 今天（11月25日 周三）",
        "- 明天（11月26日 周四）",
        "- 后天（11月27日 周五）",
    ]
    assert lines[-1] == "（模拟数据，仅供演示）"
    assert result.card is not None
    assert result.card.markdown in result.text
    search, forecast = api.requests
    assert search == (
        "/v1/search",
        {"name": "北京", "count": "10", "language": "zh", "format": "json"},
    )
    assert forecast[0] == "/v1/forecast"
    assert (forecast[1]["latitude"], forecast[1]["longitude"]) == ("39.90750", "116.39723")
    assert (forecast[1]["forecast_days"], forecast[1]["timezone"]) == ("3", "auto")


async def test_the_same_in_english_for_one_day(weather):
    result = await ask(weather, "weather in Paris tomorrow")
    lines = result.text.splitlines()
    assert lines[0] == "**Weather in Paris (Île-de-France, France)**"
    assert lines[2].startswith("- Tomorrow (Thu 26 Nov): ")
    assert len([line for line in lines if line.startswith("- ")]) == 1


async def test_the_same_day_has_the_same_weather_however_it_is_asked(weather):
    tomorrow = await ask(weather, "上海明天天气怎么样")
    both = await weather.invoke({"city": "上海", "days": 2}, tool_context("上海"))
    line = next(line for line in tomorrow.text.splitlines() if line.startswith("- 明天"))
    assert line in both.text


async def test_a_range_of_days_is_told_and_cut_where_the_forecast_ends(weather):
    result = await ask(weather, "武汉下下周天气")
    days = [line for line in result.text.splitlines() if line.startswith("- ")]
    assert days[0].startswith("- 12月7日 周一")
    assert days[-1].startswith("- 12月10日 周四")
    result = await ask(weather, "武汉这周天气")
    days = [line for line in result.text.splitlines() if line.startswith("- ")]
    assert days[1].startswith("- 今天")
    assert days[-1].startswith("- 11月29日 周日")


async def test_today_is_the_citys_own_today(weather):
    late = datetime(2026, 11, 25, 18, 30, tzinfo=UTC)  # the 26th in Shanghai, the 25th in London
    london = await ask(weather, "weather in London today", now=late)
    assert "- Today (Wed 25 Nov): " in london.text
    shanghai = await ask(weather, "今天上海天气", now=late)
    assert "- 今天（11月26日 周四）：" in shanghai.text


async def test_a_model_may_count_the_days(weather, api):
    result = await weather.invoke({"city": "Tokyo", "day": "tomorrow", "days": 2}, tool_context())
    days = [line for line in result.text.splitlines() if line.startswith("- ")]
    assert [line[:13] for line in days] == ["- Tomorrow (T", "- Fri 27 Nov:"]
    assert api.requests[-1][1]["forecast_days"] == "3"


async def test_without_a_city_the_remembered_one_or_a_question(weather, api):
    remembered = await weather.invoke({}, tool_context("天气", params={"city": "广州"}))
    assert remembered.text.startswith("**广州")
    before = len(api.requests)
    asked = await ask(weather, "天气")
    assert asked.error
    assert "哪个城市" in asked.text
    assert "Which city" in (await ask(weather, "weather")).text
    assert len(api.requests) == before


async def test_an_unknown_city_is_named(weather):
    result = await ask(weather, "亚特兰蒂斯天气")
    assert result.error
    assert "“亚特兰蒂斯”" in result.text
    assert "“Atlantis”" in (await ask(weather, "weather in Atlantis")).text


async def test_the_word_for_city_may_follow_the_name(weather, api):
    assert (await ask(weather, "杭州市天气")).text.startswith("**杭州（浙江，中国）")
    assert [query["name"] for path, query in api.requests if "search" in path] == ["杭州市", "杭州"]


async def test_namesakes_of_like_size_are_put_to_the_person(weather):
    result = await ask(weather, "weather in Springfield")
    assert result.error
    for region in ("Missouri", "Massachusetts", "Illinois"):
        assert f"- Springfield ({region}, United States)" in result.text
    assert "Say for example “Springfield, Missouri”" in result.text
    chosen = await ask(weather, "weather in Springfield, Illinois")
    assert chosen.text.startswith("**Weather in Springfield (Illinois, United States)**")


async def test_a_much_larger_namesake_is_what_people_mean_unless_they_say_otherwise(weather):
    assert "France" in (await ask(weather, "weather in Paris")).text
    assert "Texas" in (await ask(weather, "weather in Paris, Texas")).text
    assert "得克萨斯州" in (await ask(weather, "巴黎，美国天气")).text
    assert (await ask(weather, "weather in Paris, Narnia")).error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("北京昨天天气", "从今天起 16 天内"),
        ("北京3个月后天气", "从今天起 16 天内"),
        ("weather in Paris last week", "next 16 days"),
    ],
)
async def test_the_past_and_the_far_future_are_declined(weather, text, words):
    result = await ask(weather, text)
    assert result.error
    assert words in result.text


async def test_a_day_that_nobody_can_read_is_named(weather):
    result = await weather.invoke({"city": "Paris", "day": "gibberish"}, tool_context())
    assert result.error
    assert "“gibberish”" in result.text


@pytest.mark.parametrize(
    ("status", "zh", "en"),
    [
        (500, "出了故障", "out of order"),
        (502, "出了故障", "out of order"),
        (429, "次数超限", "request limit"),
        (400, "拒绝了这次查询", "refused the request"),
        (302, "出了故障", "out of order"),
    ],
)
async def test_an_error_of_the_service_is_an_honest_sentence(weather, api, status, zh, en):
    api.fail(status)
    result = await ask(weather, "北京天气")
    assert (result.error, zh in result.text) == (True, True)
    api.fail(status)
    assert en in (await ask(weather, "weather in Paris")).text
    assert not (await ask(weather, "北京天气")).error


@pytest.mark.parametrize(
    "body",
    [
        b"<html>proxy</html>",
        b'{"results":[{"name":"x"}]}',
        b'{"results":"x"}',
        b'{"results":[',
        b"\xff\xfe",
        b"[]",
    ],
)
async def test_an_answer_that_is_not_the_format_is_an_honest_sentence(weather, api, body):
    api.fail(200, body)
    assert "出了故障" in (await ask(weather, "北京天气")).text


async def test_a_huge_answer_is_not_read_to_its_end(weather, api, monkeypatch):
    monkeypatch.setattr(open_meteo, "_BODY_BYTES_MAX", 1000)
    api.fail(200, b" " * 100_000)
    assert "出了故障" in (await ask(weather, "北京天气")).text


async def test_a_service_that_never_answers_is_given_up(weather, api, monkeypatch):
    monkeypatch.setattr(open_meteo, "_TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    api.hang()
    assert "没有及时回应" in (await ask(weather, "北京天气")).text


async def test_offline_is_said_so(egress):
    config = WeatherConfig(geocoding_url="http://127.0.0.1:9", forecast_url="http://127.0.0.1:9")
    tool = WeatherSkill(config, egress, CLOCK, SHANGHAI).tools()[0]
    assert "连不上天气服务" in (await ask(tool, "北京天气")).text
    assert "cannot be reached" in (await ask(tool, "weather in Paris")).text


async def test_the_simulator_refuses_as_the_real_service_does(api, egress):
    for query, reason in (
        ({"longitude": "1"}, "latitude"),
        ({"latitude": "99", "longitude": "1"}, "Latitude must be in range"),
        ({"latitude": "1", "longitude": "1", "daily": "nonsense"}, "nonsense"),
    ):
        url = f"{api.base_url}/v1/forecast"
        async with egress.session.get(url, params=query) as response:
            body = await response.json()
        assert (response.status, body["error"]) == (400, True)
        assert reason in body["reason"]
    async with egress.session.get(f"{api.base_url}/v1/search", params={"name": "x"}) as response:
        assert "results" not in await response.json()
        assert response.headers["X-Simulated"]


async def test_the_simulator_serves_on_a_port_until_it_is_cancelled(egress):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready = asyncio.Event()
    async with asyncio.timeout(5):
        server = asyncio.create_task(serve(port, ready=ready))
        await ready.wait()
        url = f"http://127.0.0.1:{port}/v1/search"
        async with egress.session.get(url, params={"name": "北京", "language": "zh"}) as response:
            assert (await response.json())["results"][0]["country"] == "中国"
        server.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server
    with pytest.raises(aiohttp.ClientConnectionError):
        await egress.session.get(url)
