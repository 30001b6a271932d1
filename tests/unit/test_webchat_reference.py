"""docs/reference/websocket.md says what the code does."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from ai_engine.api import chat_errors
from ai_engine.api.chat_connection import ChatLimits
from ai_engine.channels.webchat import frames
from ai_engine.security.access import COOKIE, AccessLimits

TEXT = (Path(__file__).parents[2] / "docs/reference/websocket.md").read_text(encoding="utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", TEXT, re.S)]
CLIENT = (frames.Hello, frames.Send, frames.Stop)
SERVER = (
    frames.Welcome,
    frames.Reset,
    frames.Event,
    frames.PartialFrame,
    frames.Ack,
    frames.Error,
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
def test_every_example_is_a_frame(example):
    kinds = {msgspec.inspect.type_info(kind).tag: kind for kind in (*CLIENT, *SERVER)}
    kind = kinds[example["type"]]
    read = msgspec.json.decode(json.dumps(example), type=kind)
    assert set(example) - {"type"} <= set(kind.__struct_fields__)
    assert set(msgspec.to_builtins(read)) == set(example)


def test_every_frame_has_an_example():
    shown = {example["type"] for example in EXAMPLES}
    assert shown == {msgspec.inspect.type_info(kind).tag for kind in (*CLIENT, *SERVER)}


@pytest.mark.parametrize("code", chat_errors.CODES)
def test_every_error_code_is_listed_and_said_in_both_languages(code):
    assert f"`{code}`" in TEXT
    frame = chat_errors.error_frame(code, limit=1, seconds=1, detail="x")
    assert re.search("[\u4e00-\u9fff]", frame.message_zh)
    assert frame.message_en.isascii()


@pytest.mark.parametrize("code", chat_errors.CloseCode)
def test_every_close_code_is_listed(code):
    assert f"| {code.value} |" in TEXT


@pytest.mark.parametrize("kind", ["message", "reply", "cleared", "stopped"])
def test_every_kind_of_event_is_listed_with_its_fields(kind):
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{kind}` |"))
    for field in frames.PUBLIC_FIELDS[kind]:
        assert f"`{field}`" in row


def test_the_limits_are_those_of_the_code():
    chat, access = ChatLimits(), AccessLimits()
    rows = dict(re.findall(r"^\| ([^|`]+?) \| ([^|]+?) \|$", TEXT.split("## Limits")[1], re.M))
    assert rows["a frame from the client"] == f"{chat.frame_bytes_max:,} bytes"
    assert rows["a message's text"] == f"{chat.text_chars_max:,} characters"
    assert rows["a client that does not read"] == f"{chat.send_seconds:g} s"
    assert rows["a client that sends nothing"] == f"{chat.idle_seconds / 3600:g} h"
    assert rows["delay of an event when the news of it is lost"] == f"{chat.look_seconds:g} s"
    assert rows["between two looks at the browser session"] == f"{chat.recheck_seconds:g} s"
    assert (
        rows["connections"]
        == f"{chat.connections_max:,}, of one person {chat.connections_per_user_max}"
    )
    assert rows["one-time links"] == (
        f"{access.codes_max} unused, {access.code_seconds / 60:g} minutes each"
    )
    assert rows["browser sessions"] == (
        f"{access.sessions_max:,}, {access.session_seconds / 3600:g} hours each"
    )
    assert rows["wrong tokens or codes of one address"] == f"{access.failures_max} a minute"
    assert COOKIE in TEXT
