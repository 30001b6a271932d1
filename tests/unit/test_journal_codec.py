"""The journal's records as bytes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.domain.errors import EngineError
from ai_engine.domain.message import Attachment, Chat, ChatKind, InboundMessage, MessageKind, Sender
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.domain.session import Context
from ai_engine.journal import codec

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, PLAIN, max_size=3)
MESSAGES = st.builds(
    InboundMessage,
    channel=TEXT,
    message_id=TEXT,
    sender=st.builds(Sender, platform=TEXT, user_id=TEXT, tenant=TEXT, name=TEXT),
    chat=st.builds(Chat, kind=st.sampled_from(ChatKind), id=TEXT, thread=TEXT, title=TEXT),
    kind=st.sampled_from(MessageKind),
    text=TEXT,
    attachments=st.lists(st.builds(Attachment, kind=TEXT, url=TEXT), max_size=2).map(tuple),
    payload=OBJECTS,
    target=OBJECTS,
    received_at=st.floats(0, 1e10),
    trace_id=TEXT,
    version=st.just(1),
)


@given(MESSAGES)
def test_a_message_comes_back_as_it_was(message: InboundMessage):
    assert codec.decode_message(codec.encode(message)) == message


def test_a_reply_with_a_card_comes_back_as_it_was():
    card = Card(
        title="T",
        fields=(("a", "b"),),
        buttons=(Button(label="yes", value={"call": 1}, style="primary"),),
    )
    body = codec.OutboxBody(
        inbound_message_id="p1",
        target={"to": "anna"},
        reply=Reply(id="r1", text="你好", card=card, stream={"id": "s"}, final=False),
        trace_id="t",
        user_id="anna",
    )
    assert codec.decode_outbox(codec.encode(body)) == body


def _message_with(**more: object) -> bytes:
    plain = {
        "channel": "c",
        "message_id": "p1",
        "sender": {"platform": "p", "user_id": "u"},
        "chat": {"kind": "private", "id": "c"},
        **more,
    }
    return msgspec.json.encode(plain)


def test_unknown_fields_are_ignored_and_missing_ones_have_their_default():
    message = codec.decode_message(_message_with(added_later={"x": 1}))
    assert (message.message_id, message.kind, message.version) == ("p1", MessageKind.TEXT, 1)


def test_the_previous_format_is_read_and_a_newer_one_refused():
    assert codec.decode_message(_message_with(version=0)).version == 0
    with pytest.raises(EngineError, match="format 2") as refused:
        codec.decode_message(_message_with(version=2))
    assert refused.value.hint


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"channel": 1}', b"\xff"])
def test_damaged_bytes_are_an_error_that_says_so(data: bytes):
    for decode in (codec.decode_message, codec.decode_outbox):
        with pytest.raises(EngineError, match="cannot be read"):
            decode(data)


def test_damaged_plain_data_is_an_error_too():
    with pytest.raises(EngineError, match="cannot be read"):
        codec.decode_json(b"[1]")
    with pytest.raises(EngineError, match="cannot be read"):
        codec.decode_steps(b"{}")


def test_plain_objects_may_have_any_field_even_one_called_version():
    assert codec.decode_json(codec.encode({"version": 7})) == {"version": 7}
    context = Context(last_skill="x", params={"version": 9})
    assert codec.decode_context(codec.encode(context)) == context
