"""The simulators' chat page in a real browser."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from ai_engine.simulators.dingtalk import DingTalkSimulator

from support.callback_engine import CallbackEngine
from support.sim_page import CHROMIUM, opened

BOTH = pytest.mark.parametrize("page", ["en-US", "zh-CN"], indirect=True)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]


class Assistant:
    """An engine that answers every message with `text`."""

    def __init__(self, engine: CallbackEngine) -> None:
        self.engine = engine
        self.text = "**hello** <img src=x onerror=alert(1)>"
        self.sim: DingTalkSimulator | None = None
        engine.answer = self._answer

    async def _answer(self, body: Any) -> None:
        assert self.sim is not None
        markdown = {"title": "t", "text": self.text}
        async with self.sim.http.post(
            body["sessionWebhook"],
            json={"msgtype": "markdown", "markdown": markdown},
            headers={"X-AI-Engine-Produced-By": "rule:weather_query"},
        ) as answer:
            assert (await answer.json())["errcode"] == 0


@pytest.fixture
async def assistant() -> AsyncGenerator[Assistant]:
    async with CallbackEngine() as engine:
        made = Assistant(engine)
        async with DingTalkSimulator(app_id="a", app_secret="s", engine=engine.url) as sim:
            made.sim = sim
            yield made


@pytest.fixture
async def page(request: pytest.FixtureRequest, assistant: Assistant) -> AsyncGenerator[Page]:
    assert assistant.sim is not None
    async with opened(assistant.sim.url, getattr(request, "param", "en-US")) as shown:
        yield shown


@BOTH
async def test_a_person_asks_and_reads_the_answer_with_who_gave_it(
    page: Page, assistant: Assistant
):
    await page.locator("#text").fill("你好")
    await page.keyboard.press("Enter")
    answer = page.locator(".from-robot .bubble")
    await expect(answer.locator("strong")).to_have_text("hello")
    await expect(answer).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(page.locator(".from-robot .part")).to_contain_text("weather_query")
    await expect(page.locator(".mine .foot.delivered")).to_be_visible()
    await expect(page.locator("#text")).to_have_value("")


async def test_dots_are_shown_until_the_answer_is_there(page: Page, assistant: Assistant):
    assistant.engine.gate.clear()
    await page.locator(".chip").nth(1).click()
    await expect(page.locator(".typing")).to_be_visible()
    assistant.engine.gate.set()
    await expect(page.locator(".from-robot:not(.typing)")).to_be_visible()
    await expect(page.locator(".typing")).to_have_count(0)


@BOTH
async def test_in_the_group_a_mention_is_needed_and_the_page_says_so(
    page: Page, assistant: Assistant
):
    await page.locator(".conversation").nth(1).click()
    await page.locator("#text").fill("lunch?")
    await expect(page.locator("#hint")).to_contain_text("@AI助手")
    await page.keyboard.press("Enter")
    await expect(page.locator(".foot.unseen")).to_be_visible()
    await page.locator("#mention").click()
    await page.keyboard.type("北京天气")
    await expect(page.locator("#hint")).to_be_hidden()
    await page.keyboard.press("Enter")
    await expect(page.locator(".from-robot")).to_be_visible()
    assert assistant.engine.texts == [" 北京天气"]


async def test_the_three_suggestions_are_sent_as_they_are_written(page: Page, assistant: Assistant):
    for at in range(3):
        await page.locator(".chip").nth(at).click()
        await expect(page.locator(".from-robot")).to_have_count(at + 1)
    assert assistant.engine.texts[:2] == ["@bot 明天有什么安排", "北京天气"]
    assert assistant.engine.texts[2].isascii()


async def test_an_undelivered_message_can_be_sent_again(page: Page, assistant: Assistant):
    answer, assistant.engine.answer = assistant.engine.answer, None
    assistant.engine.status = 503
    await page.locator("#text").fill("hello")
    await page.keyboard.press("Enter")
    again = page.locator(".foot.undelivered button")
    await expect(again).to_be_visible()
    assistant.engine.status, assistant.engine.answer = 200, answer
    await again.click()
    await expect(page.locator(".from-robot")).to_be_visible()
    await expect(page.locator(".foot.delivered")).to_be_visible()


async def test_the_drawer_shows_the_wire_live_and_sets_fault_knobs(
    page: Page, assistant: Assistant
):
    assert assistant.sim is not None
    await page.locator("#open-drawer").click()
    await page.locator(".chip").nth(1).click()
    rows = page.locator("#wire .row")
    await expect(rows).to_have_count(2)
    callback = page.locator("#wire .row", has_text="/api/message/dingtalk")
    await callback.locator("summary").click()
    await expect(callback.locator(".full")).to_contain_text("sessionWebhook")
    await page.locator("#tab-faults").click()
    knob = page.locator(".knob", has_text="wrong secret").locator("input")
    async with page.expect_response("**/sim/faults"):
        await knob.check()
    assert assistant.sim.faults.wrong_secret


@BOTH
async def test_language_and_theme_are_switched_and_remembered(page: Page):
    first = await page.title()
    await page.locator("#language").click()
    await expect(page).not_to_have_title(first)
    await page.locator("#theme").click()
    await page.locator("#theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    second = await page.title()
    await page.reload()
    await page.wait_for_selector(".chip")
    assert await page.title() == second
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_the_page_shows_that_the_engine_has_gone(page: Page, assistant: Assistant):
    await expect(page.locator("#state .line").first).to_have_class("line good")
    assert assistant.sim is not None
    assistant.sim.engine = "http://127.0.0.1:9"
    async with asyncio.timeout(10):
        await expect(page.locator("#state .line.bad")).to_be_visible(timeout=9000)
