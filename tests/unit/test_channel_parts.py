"""What connectors share: files that go out, addresses that platforms give, frames in hand."""

import asyncio
import inspect

import pytest

from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.dingtalk.media import download_url
from ai_engine.channels.link import SocketLink, socket_address
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Attachment

from support.clock import ManualClock
from support.hosts import make_host


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("报告 1.pdf", "报告 1.pdf"),
        ('a"\r\nX-Evil: 1\r\n\r\nb.txt', 'a"X-Evil: 1b.txt'),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("\ud800.png", ".png"),
        ("\x00\n", "file"),
        ("folder/", "file"),
        ("x" * 300 + ".docx", "x" * 115 + ".docx"),
        ("y" * 300, "y" * 120),
    ],
)
async def test_a_file_goes_out_under_a_name_that_any_header_can_hold(given: str, shown: str):
    attachment = Attachment(kind="file", url="data:text/plain,x", name=given)
    assert (await outgoing_media(make_host(), attachment, 10)).name == shown


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("image/png", "image/png"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/plain\r\nX-Evil: 1", "application/octet-stream"),
        ("text/plain; x=1\r\nX-Evil: 1", "application/octet-stream"),
        ("picture", "application/octet-stream"),
    ],
)
async def test_a_file_goes_out_with_a_mime_type_that_is_one(given: str, sent: str):
    attachment = Attachment(kind="file", url="data:,x", name="x", mime=given)
    assert (await outgoing_media(make_host(), attachment, 10)).mime == sent


def checked(url: object) -> str:
    return socket_address(
        url,
        platform="Chat",
        domains=("chat.example",),
        configured=("http://127.0.0.1:8", "https://chat.internal/api"),
        hint="set endpoints.api",
    )


@pytest.mark.parametrize(
    "url",
    [
        "wss://chat.example/ws?ticket=1",
        "wss://eu.chat.example/ws",
        "ws://127.0.0.1:9/ws",
        "wss://chat.internal/ws",
    ],
)
def test_a_connection_is_opened_to_the_platform_or_a_configured_host(url: str):
    assert checked(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "wss://[x/ws",
        "wss:///ws",
        "ws://chat.example/ws",
        "wss://evilchat.example/ws",
        "wss://chat.example.evil.com/ws",
        "wss://a@chat.example/ws",
        "https://chat.example/ws",
        "ws://chat.internal/ws",
    ],
)
def test_a_connection_is_opened_to_nobody_else(url: object):
    with pytest.raises(SendRefused):
        checked(url)


@pytest.mark.parametrize(
    "url", ["https://[x/f", "https://down.dingtalk.com:99999/f", "https://down.dingtalk.com:x/f"]
)
def test_a_download_address_that_is_none_is_refused_and_no_fault(url: str):
    with pytest.raises(SendRefused):
        download_url(url, ())


class QuietLink(SocketLink):
    async def frame(self, data: str | bytes) -> None: ...

    async def probe(self) -> None: ...


async def test_a_frame_that_waits_for_a_place_when_the_channel_stops_is_let_go_in_order():
    link = QuietLink("chat", None, ManualClock(), in_flight_max=1)  # type: ignore[arg-type]
    done = asyncio.Event()

    async def first() -> None:
        await done.wait()

    async def second() -> None:
        raise AssertionError("it had no place")

    work = second()
    await link.handle(first())
    waiting = asyncio.create_task(link.handle(work))
    await asyncio.sleep(0)
    waiting.cancel()
    done.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
