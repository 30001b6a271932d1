"""A simulator's chat page in a real browser."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

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


@asynccontextmanager
async def opened(
    url: str, locale: str = "en-US", width: int = 1280, *, refusals: bool = False
) -> AsyncGenerator[Page]:
    """The page at `url`, drawn; at its end nothing may have been said on the console, but (with
    `refusals`) what Chromium says of an answer of 400 and above."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        viewport = {"width": width, "height": 800}
        page = await browser.new_page(locale=locale, viewport=viewport)  # pyright: ignore[reportArgumentType]
        problems: list[str] = []
        page.on(
            "console",
            lambda said: (
                None
                if refusals and said.text.startswith("Failed to load resource")
                else problems.append(said.text)
            ),
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(url)
        await page.wait_for_selector(".message, .empty")
        yield page
        await browser.close()
    assert problems == []
