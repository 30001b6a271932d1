"""The chat page in a real browser: streaming, reconnecting, both languages, keyboard only."""

import asyncio
import os
import re
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Overloaded
from ai_engine.domain.reply import Button, Card

from support.chat import ChatBench, Script

CHROMIUM = shutil.which("chromium")
SHOTS = os.environ.get("SCREENSHOTS")
"""A folder for pictures of the page, for people who look at it."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
RULE = "规则触发的技能：calendar_query"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)"),
]

ANSWER = """Here is a **short** plan with `code` and a [link](https://example.com/a_(b)):

1. First
   - nested *item*
2. Second

| Day | Weather |
| --- | ---: |
| Mon | 21° |
| Tue | 18° |

> A quote, and <b>no markup</b>.

```python
print("hello")
```
"""
CARD = Card(
    title="明天的日程",
    markdown="共 **2** 项安排",
    fields=(("10:00", "项目评审"), ("14:30", "与客户通话")),
    buttons=(
        Button(label="打开日历", url="https://calendar.example/", style="primary"),
        Button(label="后天呢?", value={"text": "@bot 后天有什么安排?"}),
        Button(label="evil", url="javascript:alert(1)"),
    ),
)


def answer(text: str) -> Script | None:
    if text == "nothing":
        return None
    if text == "/new":
        return Script(["Done. This is a new session."], produced_by="command")
    if text.startswith("@bot"):
        return Script(["明天有 2 项安排。"], produced_by="rule:calendar_query", card=CARD)
    if text == "plan":
        return Script([ANSWER], produced_by="model:smollm2")
    if text == "slow":
        parts = ["The sea", "The sea is **wide", "The sea is **wide and deep**."]
        return Script(parts, produced_by="model:smollm2", gated=True)
    return Script([f"You said: {text}"], produced_by="model:smollm2")


@pytest.fixture
def bench(tmp_path) -> ChatBench:
    return ChatBench(tmp_path, clock=SystemClock(), answer=answer)


@asynccontextmanager
async def browser():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            await chromium.close()


@asynccontextmanager
async def chat(bench: ChatBench, chromium: Browser, **options):
    """A signed-in page. Fails when the page breaks its own security policy or throws."""
    options = {"locale": "en-US", "viewport": {"width": 1100, "height": 760}, **options}
    context = await chromium.new_context(**options)
    context.set_default_timeout(5000)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: message.type == "error" and faults.append(message.text),
    )
    await page.goto(f"{bench.url}/chat?code={bench.access.issue_code()}")
    await expect(page.locator("#link")).to_have_attribute("data-state", "online")
    yield page
    expected = re.compile("WebSocket connection|ERR_CONNECTION|ERR_INTERNET")
    assert [fault for fault in faults if not expected.search(fault)] == []
    await context.close()


async def say(page: Page, text: str) -> None:
    await page.get_by_role("textbox").fill(text)
    await page.keyboard.press("Enter")


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png")


def step(bench: ChatBench) -> None:
    """The scripted answer grows by one part."""
    bench.steps.put_nowait(None)


async def test_a_message_is_answered_in_a_stream_and_a_reload_shows_it_again(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        assert page.url == f"{bench.url}/chat"
        await expect(page.locator("#welcome")).to_be_visible()
        await shot(page, "empty-en-light")
        await say(page, "slow")
        await expect(page.locator("#log .mine")).to_have_text(re.compile("slow"))
        await expect(page.locator(".thinking")).to_be_visible()
        await expect(page.get_by_role("button", name="Stop answering")).to_be_visible()
        await shot(page, "thinking-en-light")
        step(bench)
        await expect(page.locator(".growing .text")).to_have_text("The sea")
        step(bench)
        await expect(page.locator(".growing .text")).to_have_text("The sea is wide")
        await shot(page, "streaming-en-light")
        await page.reload()
        await expect(page.locator(".growing .text")).to_have_text("The sea is wide")
        step(bench)
        await expect(page.locator("#log .theirs .text")).to_have_text("The sea is wide and deep.")
        await expect(page.locator("#log .theirs strong")).to_have_text("wide and deep")
        await expect(page.locator(".growing")).to_have_count(0)
        await expect(page.locator(".source")).to_have_text("Model: smollm2")
        await page.reload()
        await expect(page.locator("#log article")).to_have_count(2)
        await expect(page.locator("#stop")).to_be_hidden()


async def test_markdown_becomes_elements_and_markup_stays_text(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        await say(page, "plan")
        text = page.locator("#log .theirs .text")
        await expect(text.locator("pre code")).to_have_text('print("hello")')
        await expect(text.locator("a")).to_have_attribute("href", "https://example.com/a_(b)")
        await expect(text.locator("ol > li > ul > li em")).to_have_text("item")
        await expect(text.locator("ol > li")).to_have_count(2)
        await expect(text.locator("td.end")).to_have_text(["21°", "18°"])
        await expect(text.locator("blockquote")).to_contain_text("<b>no markup</b>")
        await expect(text.locator("b")).to_have_count(0)
        await shot(page, "markdown-en-light")


MARKDOWN = [
    ("a\nb\n\nc", "<p>a<br>b</p><p>c</p>"),
    (
        "**b** *i* _i_ __b__ ~~s~~",
        "<p><strong>b</strong> <em>i</em> <em>i</em> <strong>b</strong> <s>s</s></p>",
    ),
    ("***both***", "<p><strong><em>both</em></strong></p>"),
    ("snake_case_name 2 * 3 * 4", "<p>snake_case_name 2 * 3 * 4</p>"),
    ("`a*b*` ``c`d``", "<p><code>a*b*</code> <code>c`d</code></p>"),
    (r"\*not\* \`code\`", "<p>*not* `code`</p>"),
    ("# Big\n### Small", "<h3>Big</h3><h5>Small</h5>"),
    ("- a\n- b\n  - c\n\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
    ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("- a\n\n  more\n- b", "<ul><li>a<p>more</p></li><li>b</li></ul>"),
    (
        "1. a\n   ```\n   x\n   ```\n2. b",
        '<ol><li>a<pre tabindex="0"><code>x</code></pre></li><li>b</li></ol>',
    ),
    ("---\n> q\n> r", "<hr><blockquote><p>q<br>r</p></blockquote>"),
    (
        "~~~js\n<i>\n\n**x**",
        '<pre tabindex="0"><code data-language="js">&lt;i&gt;\n\n**x**</code></pre>',
    ),
    ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
    ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
    ("[x](data:text/html,1) [y](//e.example)", "<p>[x](data:text/html,1) [y](//e.example)</p>"),
    ("[x](https://a:b@e.example/)", "<p>[x](https://a:b@e.example/)</p>"),
]
LINKS = [
    ("见 https://e.example/a?b=1。好", "https://e.example/a?b=1", "https://e.example/a?b=1"),
    ("(http://e.example/x).", "http://e.example/x", "http://e.example/x"),
    ("[**x** y](https://e.example)", "https://e.example/", "x y"),
    ("![picture](https://e.example/p.png)", "https://e.example/p.png", "picture"),
]
UNFINISHED = [
    ("a **b", "a **b**"),
    ("a **", "a "),
    ("a **b*", "a **b**"),
    ("a **b** c", "a **b** c"),
    ("a `b", "a `b`"),
    ("```\na `b", "```\na `b"),
]


async def test_the_markdown_reader_keeps_to_its_rules(bench):
    read = """async source => {
        const { render } = await import("/chat/static/markdown.js");
        const box = document.createElement("div");
        box.append(render(source));
        const a = box.querySelector("a");
        return { html: box.innerHTML, href: a?.href, text: a?.textContent, rel: a?.rel };
    }"""
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        for source, html in MARKDOWN:
            assert (await page.evaluate(read, source))["html"] == html
        for source, href, text in LINKS:
            found = await page.evaluate(read, source)
            assert (found["href"], found["text"]) == (href, text)
            assert found["rel"] == "noopener noreferrer nofollow"
        closed = 'async s => (await import("/chat/static/markdown.js")).closed(s)'
        for source, whole in UNFINISHED:
            assert await page.evaluate(closed, source) == whole
        hard = ["*a " * 30_000, "[" * 30_000, "`" * 30_000, "> " * 5_000, "- " * 5_000, "|" * 9_000]
        for source in hard:
            async with asyncio.timeout(5):
                await page.evaluate(read, source)


async def test_a_card_is_shown_with_its_source_and_only_safe_buttons(bench):
    dark = {"locale": "zh-CN", "color_scheme": "dark"}
    async with bench.serve(), browser() as chromium, chat(bench, chromium, **dark) as page:
        await shot(page, "empty-zh-dark")
        await page.get_by_role("button", name="@bot 明天有什么安排").click()
        card = page.locator(".card").first
        await expect(card.locator("h4")).to_have_text("明天的日程")
        await expect(card.locator("dd")).to_have_text(["项目评审", "与客户通话"])
        await expect(card.locator(".button")).to_have_text(["打开日历", "后天呢?"])
        await expect(page.locator(".source").first).to_have_text("规则触发的技能：calendar_query")
        await shot(page, "card-zh-dark")
        await card.get_by_role("button", name="后天呢?").click()
        await expect(page.locator("#log .mine").last).to_contain_text("后天有什么安排")


async def test_the_language_can_be_changed_and_is_remembered(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        await say(page, "hello")
        await expect(page.locator(".source")).to_have_text("Model: smollm2")
        await page.get_by_role("button", name="中文").click()
        await expect(page.locator(".source")).to_have_text("模型：smollm2")
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await expect(page.locator("#log article")).to_have_count(2)
        await shot(page, "talk-zh-light")
        await page.reload()
        await expect(page.get_by_role("button", name="新会话")).to_be_visible()


async def test_stop_ends_the_answer_and_keeps_what_was_said(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        await say(page, "slow")
        step(bench)
        await expect(page.locator(".growing .text")).to_have_text("The sea")
        await page.keyboard.press("Escape")
        await expect(page.locator("#log .theirs .text")).to_contain_text("(stopped)")
        await expect(page.locator("#stop")).to_be_hidden()
        await expect(page.locator("#log .mine")).to_have_count(1)  # the command itself is not shown


async def test_a_lost_connection_is_resumed_and_what_was_written_meanwhile_is_sent_once(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        await say(page, "one")
        await expect(page.locator("#log .theirs")).to_have_count(1)
        await page.context.set_offline(True)
        bench.break_connections()
        await expect(page.locator("#link")).to_have_attribute("data-state", "offline")
        await say(page, "two")
        await expect(page.locator(".unsent")).to_contain_text("two")
        await shot(page, "offline-en-light")
        await page.context.set_offline(False)
        await expect(page.locator("#log .theirs")).to_have_count(2)
        await expect(page.locator("#tail article")).to_have_count(0)
        await expect(page.locator("#log .mine")).to_have_count(2)
    assert [message.text for message in bench.messages] == ["one", "two"]


async def test_an_unsent_message_survives_a_reload(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        bench.refuse = Overloaded("full", retry_after_seconds=60)
        await say(page, "patience")
        await expect(page.locator(".unsent")).to_contain_text("Waiting to be sent")
        bench.refuse = None
        await page.reload()
        await expect(page.locator("#log .theirs")).to_have_text(re.compile("You said: patience"))
        await expect(page.locator("#tail article")).to_have_count(0)
    assert [message.text for message in bench.messages] == ["patience"]


async def test_everything_can_be_done_by_keyboard_and_enter_belongs_to_the_input_method(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        box = page.get_by_role("textbox")
        await expect(box).to_be_focused()
        await page.keyboard.type("line one")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("line two")
        await box.evaluate(
            "box => box.dispatchEvent(new KeyboardEvent('keydown',"
            " {key: 'Enter', isComposing: true, bubbles: true}))"
        )
        await expect(box).to_have_value("line one\nline two")
        await page.keyboard.press("Enter")
        await expect(page.locator("#log .mine .text")).to_have_text("line one\nline two")
        await expect(box).to_be_focused()
        await expect(page.locator("#log")).to_have_attribute("aria-live", "polite")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Shift+Tab")
        await expect(box).to_be_focused()


async def test_a_new_chat_draws_a_line(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        await say(page, "hello")
        await expect(page.locator("#log .theirs")).to_have_count(1)
        await page.get_by_role("button", name="New chat").click()
        await expect(page.locator(".divider.cleared")).to_have_text("New chat")
        await expect(page.locator(".source").last).to_have_text("Command")


async def test_without_a_session_the_token_can_be_given_by_hand(bench):
    async with bench.serve(), browser() as chromium:
        page = await chromium.new_page(locale="zh-CN")
        await page.goto(f"{bench.url}/chat?code=used")
        await expect(page.get_by_role("alert")).to_contain_text("无效")
        assert page.url == f"{bench.url}/chat"
        await shot(page, "sign-in-zh-light")
        await page.get_by_label(re.compile("admin.token")).fill(bench.token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#link")).to_have_attribute("data-state", "online")
        await page.get_by_role("button", name="退出").click()
        await expect(page.get_by_label(re.compile("admin.token"))).to_be_visible()


async def test_a_link_from_another_site_still_arrives_in_the_chat(bench):
    """The strict cookie is held back on a navigation from elsewhere; the page asks once more."""
    async with bench.serve(), browser() as chromium:
        page = await chromium.new_page(locale="en-US")
        elsewhere = f'<a href="{bench.url}/chat?code={bench.access.issue_code()}">go</a>'
        await page.route(
            "http://mail.example/*",
            lambda route: route.fulfill(body=elsewhere, content_type="text/html"),
        )
        await page.goto("http://mail.example/inbox")
        await page.get_by_text("go").click()
        await expect(page.locator("#link")).to_have_attribute("data-state", "online")


async def test_an_ended_session_says_so(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        await page.context.clear_cookies()
        bench.break_connections()
        await expect(page.get_by_role("alert")).to_contain_text("not signed in")
        await shot(page, "signed-out-en-light")


async def test_a_narrow_screen_scrolls_in_one_direction_only(bench):
    phone = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark"}
    async with bench.serve(), browser() as chromium, chat(bench, chromium, **phone) as page:
        await say(page, "plan")
        await expect(page.locator("#log .theirs")).to_have_count(1)
        await shot(page, "phone-en-dark")
        assert await page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )


async def test_the_newest_message_stays_in_view_unless_the_reader_has_gone_up(bench):
    async with bench.serve(), browser() as chromium, chat(bench, chromium) as page:
        for n in range(3):
            await say(page, "plan")
            await expect(page.locator("#log .theirs")).to_have_count(n + 1)
        await expect(page.locator("#log .foot").last).to_be_in_viewport()
        await page.locator("#scroll").evaluate("element => (element.scrollTop = 0)")
        await bench.accept(replace(bench.messages[0], message_id="admin:another-device"))
        await expect(page.locator("#log .theirs")).to_have_count(4)
        await expect(page.locator("#log .foot").last).not_to_be_in_viewport()
        await page.get_by_role("button", name="Newest").click()
        await expect(page.locator("#log .foot").last).to_be_in_viewport()
