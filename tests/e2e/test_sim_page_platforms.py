"""The chat page on several platforms: cards, buttons, streams, edits, ratings, first visits."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from playwright.async_api import expect

from ai_engine.simulators.base import Simulator
from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.names import names_of
from ai_engine.simulators.telegram.server import TelegramSimulator
from ai_engine.simulators.types import SIMULATED, build

from support.sim_page import CHROMIUM, opened

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
TOKEN = "123456789:simulated-bot-token"
KINDS = ["message", "edited_message", "callback_query", "message_reaction"]
"""Telegram leaves reactions out where they are not asked for."""


@pytest.fixture
async def telegram() -> AsyncGenerator[TelegramSimulator]:
    sim = build("telegram", {"token": TOKEN})
    assert isinstance(sim, TelegramSimulator)
    async with sim:
        yield sim


async def call(sim: Simulator, method: str, **body: Any) -> Any:
    """What the bot asks of Telegram."""
    async with sim.http.post(f"{sim.url}/bot{TOKEN}/{method}", json=body) as answer:
        found = await answer.json()
    assert found["ok"], found
    return found["result"]


async def heard(sim: Simulator, kind: str) -> Any:
    """The newest update of this kind that the bot gets."""
    async with asyncio.timeout(5):
        offset = 0
        while True:
            updates = await call(sim, "getUpdates", timeout=1, offset=offset, allowed_updates=KINDS)
            for update in updates:
                if kind in update:
                    return update[kind]
                offset = update["update_id"] + 1


def bot_says(sim: Simulator, id_: str, text: str, **more: Any) -> None:
    """A bubble of the bot's in Zhang San's private chat."""
    fields = {
        "conversation": sim.directory.private("zhangsan").id,
        "chat": "private",
        "sender": "bot",
        "name": "AI助手",
        "kind": "markdown",
        "at": sim.clock.time(),
    } | more
    sim.transcript.add(id=id_, text=text, **fields)


async def test_a_button_is_pressed_and_the_bot_hears_of_it(telegram: TelegramSimulator):
    async with opened(telegram.url) as page:
        await page.locator("#text").fill("hello")
        await page.keyboard.press("Enter")
        await expect(page.locator(".mine")).to_be_visible()
        keyboard = [
            [{"text": "Approve", "callback_data": "yes"}],
            [{"text": "Details", "url": "https://example.com/d"}],
        ]
        await call(
            telegram,
            "sendMessage",
            chat_id=telegram.numbers.user("zhangsan"),
            text="Deploy?",
            reply_markup={"inline_keyboard": keyboard},
        )
        link = page.locator("a.card-button")
        await expect(link).to_have_attribute("href", "https://example.com/d")
        await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
        await page.get_by_role("button", name="Approve").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("button.card-button.pressed")).to_have_text("Approve")
        assert (await heard(telegram, "callback_query"))["data"] == "yes"


async def test_a_message_is_edited_and_an_answer_rated(telegram: TelegramSimulator):
    async with opened(telegram.url, "zh-CN") as page:
        await page.locator("#text").fill("北京天汽")
        await page.keyboard.press("Enter")
        await page.locator(".mine .tool.edit").click()
        await expect(page.locator("#text")).to_have_value("北京天汽")
        await page.locator("#text").fill("北京天气")
        await page.keyboard.press("Enter")
        await expect(page.locator(".mine .bubble")).to_have_text("北京天气")
        await expect(page.locator(".mine .edited")).to_have_text("已编辑")
        await expect(page.locator("#editing")).to_be_hidden()
        assert (await heard(telegram, "edited_message"))["text"] == "北京天气"
        zhangsan = telegram.numbers.user("zhangsan")
        await call(telegram, "sendMessage", chat_id=zhangsan, text="晴")
        await page.locator(".tool.good").click()
        await expect(page.locator(".tool.good")).to_have_attribute("aria-pressed", "true")
        assert (await heard(telegram, "message_reaction"))["new_reaction"][0]["emoji"] == "👍"


async def test_escape_leaves_an_edit_and_gives_the_draft_back(telegram: TelegramSimulator):
    async with opened(telegram.url) as page:
        await page.locator("#text").fill("one")
        await page.keyboard.press("Enter")
        await expect(page.locator(".mine")).to_be_visible()
        await page.locator("#text").fill("two")
        await page.locator(".mine .tool.edit").click()
        await page.keyboard.press("Escape")
        await expect(page.locator("#text")).to_have_value("two")
        await expect(page.locator("#editing")).to_be_hidden()


async def test_a_stream_grows_in_its_bubble_and_ends_finished_or_failed():
    async with DingTalkSimulator(app_id="a", app_secret="s") as sim, opened(sim.url) as page:
        bot_says(sim, "s1", "", state="streaming", kind="card")
        row = page.locator(".from-robot")
        await expect(row).to_have_attribute("aria-busy", "true")
        await expect(row.locator(".growing")).to_be_visible()
        for n, text in enumerate(("One", "One **two**"), 1):
            sim.transcript.mark("s1", text=text, edits=n)
            await expect(row.locator(".bubble")).to_have_text(text.replace("*", ""))
        sim.transcript.mark("s1", state="finished")
        await expect(row.locator(".growing")).to_have_count(0)
        await expect(row.locator(".edited")).to_have_count(0)
        sim.transcript.mark("s1", state="failed", detail="the stream is closed")
        await expect(row.locator(".foot")).to_contain_text("Broke off")
        await expect(row.locator(".foot")).to_contain_text("the stream is closed")


async def test_a_card_is_shown_as_a_card_and_says_nothing_twice():
    async with DingTalkSimulator(app_id="a", app_secret="s") as sim, opened(sim.url) as page:
        card = {"title": "Leave", "markdown": "Three **days**", "fields": [["From", "Monday"]]}
        buttons = ({"label": "Approve", "style": "primary", "id": "ok", "url": ""},)
        bot_says(sim, "c1", "# Leave\n\nThree days\n\nFrom: Monday", card=card, buttons=buttons)
        shown = page.locator(".bubble.card")
        await expect(shown.locator(".card-title")).to_have_text("Leave")
        await expect(shown.locator("dt")).to_have_text("From")
        await expect(shown.get_by_text("Three days")).to_have_count(1)
        await expect(shown.get_by_text("Monday")).to_have_count(1)
        sim.transcript.mark("c1", text="Please look at this:")
        await expect(shown.locator(".above")).to_have_text("Please look at this:")


async def test_a_refusal_is_a_sentence_and_the_page_goes_on():
    async with build("slack", {}) as sim, opened(sim.url, refusals=True) as page:
        bot_says(sim, "b1", "no feedback was asked for")
        await page.locator(".tool.good").click()
        await expect(page.locator("#notice")).to_contain_text("has no feedback buttons.")
        await expect(page.locator(".tool.good")).to_have_attribute("aria-pressed", "false")
        await page.locator("#enter").click()
        await expect(page.locator("#notice")).to_contain_text("opened the chat")
        known = sim.directory.private("zhangsan").id
        bot_says(sim, "b2", "Welcome!", conversation=known)
        await expect(page.locator(".from-robot .bubble").last).to_have_text("Welcome!")


@pytest.mark.parametrize("platform", SIMULATED)
async def test_each_platform_has_its_own_name_and_what_it_lacks_is_hidden(platform: str):
    chinese, english = names_of(platform)
    async with build(platform, {}) as sim, opened(sim.url, width=390) as page:
        await expect(page).to_have_title(f"{english}, simulated")
        text = await page.locator("body").inner_text()
        assert platform == "dingtalk" or "DingTalk" not in text
        groups = page.locator(".conversation")
        await expect(groups).to_have_count(2 if "group" in sim.can() else 1)
        await expect(page.locator("#enter")).to_be_visible(visible="enter" in sim.can())
        await page.locator("#open-drawer").click()
        await page.locator("#tab-wire").press("ArrowLeft")
        connect = page.locator("#connect")
        for name, url in sim.info()["endpoints"].items():
            await expect(connect).to_contain_text(f'"{name}": "{url}"')
        for name in sim.auth_defaults:
            await expect(connect).to_contain_text(f"auth.{name}")
        for name in sim.info().get("sdk", {}):
            await expect(connect).to_contain_text(name)
        await page.keyboard.press("Escape")
        await expect(page.locator("#drawer")).to_be_hidden()
        await page.locator("#language").click()
        assert chinese in await page.title()
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
