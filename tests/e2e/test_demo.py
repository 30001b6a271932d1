"""`ai-engine demo` as a person starts it: a simulated DingTalk, the engine, a local model."""

import asyncio
import os
import re
import shutil
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from support.demo import DemoProcess, alive, descendants
from support.stub_model import StubModel

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
SHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the pages, for people who look at them."""
CHINESE = re.compile(r"[\u4e00-\u9fff]")
KEY = "sk-demo-key-that-must-not-leak-0123456789"

pytestmark = pytest.mark.timeout(240)  # the first one may have to fetch the local model
with_browser = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
BOTH_LANGUAGES = pytest.mark.parametrize("locale", ["en-US", "zh-CN"])


@pytest.mark.requirement("plugins:skills")
async def test_rules_answer_in_chinese_and_the_local_model_in_english(tmp_path):
    async with DemoProcess(tmp_path / "demo") as demo:
        calendar = await demo.sim.ask("明天有什么安排?")
        assert "产品评审" in calendar["text"]
        assert calendar["produced_by"] == "rule:calendar_query"

        weather = await demo.sim.ask("北京天气")
        assert "北京" in weather["text"]
        assert "°" in weather["text"]
        assert weather["produced_by"] == "rule:weather_query"

        chat = await demo.sim.ask("Tell me a joke.")
        assert chat["produced_by"] == "model:smollm2"
        assert re.search(r"[a-z]{3}", chat["text"])
        assert not CHINESE.search(chat["text"])

        honest = await demo.sim.ask("给我讲一个关于猫的故事吧")
        assert "不会这种语言" in honest["text"]
        assert "does not speak this language" in honest["text"]
        assert not honest["produced_by"].startswith("model:")


async def test_sigterm_ends_everything_and_a_second_start_finds_the_same_data(tmp_path):
    data = tmp_path / "demo"
    async with DemoProcess(data) as demo:
        await demo.sim.ask("安排 后天下午3点 牙医")
        children = descendants(demo.process.pid)
        assert len(children) >= 1, "the local model is a process of its own"
        assert await demo.stop() == 0
        assert [pid for pid in children if alive(pid)] == []
        assert "Traceback" not in demo.log()
    kept = {name: (data / name).read_bytes() for name in ("admin.token", "app-secret")}
    async with DemoProcess(data) as demo:
        assert "牙医" in (await demo.sim.ask("后天有什么安排?"))["text"]
        assert await demo.stop() == 0
    assert {name: (data / name).read_bytes() for name in kept} == kept


async def test_killed_without_warning_it_leaves_no_model_process_behind(tmp_path):
    async with DemoProcess(tmp_path / "demo") as demo:
        children = descendants(demo.process.pid)
        assert children
        demo.process.kill()
        try:
            async with asyncio.timeout(10):
                while any(alive(pid) for pid in children):
                    await asyncio.sleep(0.05)  # nobody is told when a grandchild ends
        finally:
            for pid in filter(alive, children):
                os.kill(pid, signal.SIGKILL)
        await demo.gone()


async def test_a_real_model_from_the_environment_answers_and_its_key_is_kept_nowhere(tmp_path):
    async with StubModel(default="我是真正的模型") as model:
        environment = {
            "MODEL_BASE_URL": model.base_url,
            "MODEL_NAME": "qwen-stub",
            "MODEL_API_KEY": KEY,
        }
        async with DemoProcess(tmp_path / "demo", env=environment) as demo:
            answer = await demo.sim.ask("给我讲一个关于猫的故事吧")
            assert answer["text"] == "我是真正的模型"
            assert model.requests[0]["model"] == "qwen-stub"
            assert model.headers[0]["Authorization"] == f"Bearer {KEY}"
            assert descendants(demo.process.pid) == [], "no local model beside it"
            argv = Path(f"/proc/{demo.process.pid}/cmdline").read_bytes()
            assert KEY.encode() not in argv
            assert await demo.stop() == 0
            assert KEY not in demo.printed + demo.log()
        written = [path for path in (tmp_path / "demo").rglob("*") if path.is_file()]
        assert written
        assert [path for path in written if KEY.encode() in path.read_bytes()] == []


async def test_without_a_local_model_rules_and_commands_work_and_chat_says_why_not(tmp_path):
    async with DemoProcess(tmp_path / "demo", args=["--no-model"]) as demo:
        assert descendants(demo.process.pid) == []
        assert "产品评审" in (await demo.sim.ask("明天有什么安排?"))["text"]
        assert "/new" in (await demo.sim.ask("/help"))["text"]
        chat = await demo.sim.ask("Tell me a joke.")
        assert "No model is configured" in chat["text"]
        assert "还没有配置模型" in chat["text"]


@asynccontextmanager
async def page_at(url, locale, *, name, status=200):
    """The page in Chromium; a fault of the page's own fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            viewport = {"width": 1180, "height": 780}
            page = await browser.new_page(locale=locale, viewport=viewport)
            faults = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", lambda m: m.type == "error" and faults.append(m.text))
            page.set_default_timeout(30_000)
            answer = await page.goto(url)
            assert answer.status == status
            yield page
            if SHOTS:
                await page.screenshot(path=Path(SHOTS) / f"demo-{name}-{locale}.png")
            refused = f"status of {status}" if status >= 400 else None
            assert [fault for fault in faults if not (refused and refused in fault)] == []
        finally:
            await browser.close()


@with_browser
@pytest.mark.browser
@BOTH_LANGUAGES
async def test_the_simulated_page_shows_a_conversation_and_which_part_answered(tmp_path, locale):
    async with (
        DemoProcess(tmp_path / "demo") as demo,
        page_at(demo.page, locale, name="simulator") as page,
    ):
        answers = page.locator(".from-robot:not(.typing)")
        for at, text in enumerate(("明天有什么安排?", "北京天气", "Tell me a joke.")):
            await page.locator("#text").fill(text)
            await page.keyboard.press("Enter")
            await expect(answers).to_have_count(at + 1, timeout=60_000)
        parts = page.locator(".from-robot .part")
        await expect(parts.nth(0)).to_contain_text("calendar_query")
        await expect(parts.nth(1)).to_contain_text("weather_query")
        await expect(parts.nth(2)).to_contain_text("smollm2")
        await expect(answers.nth(0)).to_contain_text("产品评审")
        await expect(answers.nth(2)).to_contain_text(re.compile("[a-z]{3}"))


@with_browser
@pytest.mark.browser
@BOTH_LANGUAGES
async def test_the_web_chat_shows_the_local_models_answer_as_it_is_written(tmp_path, locale):
    async with DemoProcess(tmp_path / "demo") as demo:
        async with page_at(demo.chat, locale, name="webchat") as page:
            assert page.url == f"{demo.url}/chat", "the one-time code leaves the address"
            await expect(page.locator("#link")).to_have_attribute("data-state", "online")
            lengths = await page.evaluate_handle(
                """() => {
                    const seen = [];
                    const look = () => {
                        const growing = document.querySelector(".growing .text");
                        if (growing) seen.push(growing.textContent.length);
                    };
                    new MutationObserver(look).observe(
                        document.body, {childList: true, subtree: true, characterData: true});
                    return seen;
                }"""
            )
            await page.get_by_role("textbox").fill("Write a few sentences about the sea.")
            await page.keyboard.press("Enter")
            answer = page.locator("#log .theirs").first
            await expect(answer).to_contain_text("smollm2", timeout=60_000)
            grown = sorted(set(await lengths.json_value()))
            assert len(grown) >= 5, f"the answer came in one piece: {grown}"
            await page.get_by_role("textbox").fill("明天有什么安排?")
            await page.keyboard.press("Enter")
            await expect(page.locator("#log .card h4")).to_contain_text("4")
            await expect(page.get_by_text("产品评审")).to_have_count(1)
        async with page_at(demo.chat, locale, name="used-link", status=401) as page:
            await expect(page.locator("#link")).not_to_be_visible()
