"""The parts of the model client that need no network."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.assistant.openai_wire import Answer, decode_chunk, error_text
from ai_engine.assistant.reasoning import ReasoningFilter
from ai_engine.assistant.sse import SseParser


def cut(data, cuts):
    """`data` in pieces, cut at these places."""
    places = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(
    payloads=st.lists(
        st.binary(min_size=1, max_size=20).filter(
            lambda b: b.strip() == b and b"\n" not in b and b"\r" not in b
        ),
        max_size=6,
    ),
    newline=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(0, 300), max_size=20),
)
def test_events_are_the_same_however_the_network_cuts_them(payloads, newline, cuts):
    wire = b"".join(
        b": ping" + newline * 2 + b"event: x" + newline + b"data: " + p + newline * 2
        for p in payloads
    )
    parser = SseParser()
    found = [event for piece in cut(wire, cuts) for event in parser.feed(piece)]
    assert found + parser.finish() == payloads


def test_an_event_of_several_data_lines_is_one_payload():
    assert SseParser().feed(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']


def test_the_last_event_counts_without_an_empty_line_after_it():
    parser = SseParser()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.finish() == [b"[DONE]"]


@pytest.mark.parametrize("wire", [b"data: " + b"x" * 100, b"data: xxxxxx\n" * 20])
def test_an_endless_event_is_refused(wire):
    with pytest.raises(ValueError, match="longer than 64 bytes"):
        SseParser(event_bytes_max=64).feed(wire)


def read(pieces):
    """What a reader of the filter's output ends up with."""
    reader = ReasoningFilter()
    text = ""
    for piece in pieces:
        added = reader.feed(piece)
        if reader.restarted:
            reader.restarted, text = False, ""
        text += added
    return text + reader.finish()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("plain <b>text</b> 1 < 2", "plain <b>text</b> 1 < 2"),
        ("<think>secret</think>\n\nHello", "Hello"),
        ("\n<think>\nsecret < 3 <b>\n</think>Hello", "Hello"),
        ("One <think>secret</think>two <think>more</think>three", "One two three"),
        ("secret\n</think>\nHello", "Hello"),
        ("<think>never closed", ""),
        ("Write `<think>` and `</think>` tags", "Write `<think>` and `</think>` tags"),
        ("ends with <", "ends with <"),
        ("ends with <thin", "ends with <thin"),
        ("你好<think>密</think>世界", "你好世界"),
    ],
)
def test_reasoning_is_left_out_however_it_is_cut(answer, shown):
    assert read([answer]) == shown
    assert read(list(answer)) == shown
    for at in range(len(answer)):
        assert read([answer[:at], answer[at:]]) == shown


@given(
    parts=st.lists(st.tuples(st.text("ab <>/", max_size=8), st.text("xy <>/\n", max_size=8))),
    cuts=st.lists(st.integers(0, 200), max_size=20),
)
def test_no_reasoning_is_ever_shown(parts, cuts):
    answer = "".join(f"{said}<think>SECRET{thought}</think>" for said, thought in parts)
    assert "SECRET" not in read(cut(answer, cuts))


@given(text=st.text(), cuts=st.lists(st.integers(0, 200), max_size=20))
def test_an_answer_without_tags_is_given_whole(text, cuts):
    if "<think>" not in text and "</think>" not in text:
        assert read(cut(text, cuts)) == text.lstrip()


def assemble(*deltas):

    answer = Answer()
    for delta in deltas:
        answer.add(decode_chunk(msgspec.json.encode({"choices": [{"delta": delta}]})))
    return answer.last("m")


def call(index=None, call_id=None, name=None, arguments=None):
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": call_id, "function": function}]}


def test_parallel_calls_in_interleaved_pieces_are_told_apart_by_index():
    last = assemble(
        call(0, "a", "one", '{"x":'), call(1, "b", "two", "{}"), call(0, None, None, " 1}")
    )
    assert [(c.id, c.name, c.arguments) for c in last.calls] == [
        ("a", "one", {"x": 1}),
        ("b", "two", {}),
    ]
    assert last.finish == "tool_calls"
    assert last.faults == ()


def test_calls_without_index_are_told_apart_by_id():
    last = assemble(
        call(None, "a", "one", "{"), call(None, None, None, "}"), call(None, "b", "two")
    )
    assert [(c.id, c.name) for c in last.calls] == [("a", "one"), ("b", "two")]


def test_calls_that_a_server_all_numbers_zero_are_told_apart_by_id():
    last = assemble(call(0, "a", "one", '{"x":1}'), call(0, "b", "two", '{"y":2}'))
    assert [c.arguments for c in last.calls] == [{"x": 1}, {"y": 2}]


def test_a_call_without_id_gets_one_of_its_own():
    last = assemble(call(0, None, "one"), call(1, None, "two"))
    first, second = (c.id for c in last.calls)
    assert first != second
    assert len(first) == 9


def test_arguments_may_come_as_an_object():
    assert assemble(call(0, "a", "one", {"x": 1})).calls[0].arguments == {"x": 1}


@pytest.mark.parametrize(
    ("arguments", "says"), [('{"x": ', "not valid JSON"), ("[1]", "not an object")]
)
def test_unreadable_arguments_are_a_fault_of_that_call_only(arguments, says):
    last = assemble(call(0, "a", "one", arguments), call(1, "b", "two", "{}"))
    assert says in last.faults[0]
    assert last.faults[1] == ""
    assert last.calls[0].arguments == {}


def test_content_in_parts_is_read_and_its_thinking_is_not():
    answer = Answer()
    body = (
        b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[]},'
        b'{"type":"text","text":"Hi"}]}}]}'
    )
    assert answer.add(decode_chunk(body)) == "Hi"


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"too long"}}',
        b'{"error":"too long"}',
        b'{"message":"too\\n long"}',
        b'{"detail":"too long"}',
        b"too   long\n",
    ],
)
def test_an_error_body_is_read_in_any_of_the_usual_forms(body):
    assert error_text(body) == "too long"
    assert len(error_text(body * 1000)) <= 300
