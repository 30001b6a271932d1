"""The model client against a real HTTP server that answers well, badly, slowly or not at all."""

import asyncio
import socket
from contextlib import aclosing, asynccontextmanager

import pytest

from ai_engine.assistant import openai_http
from ai_engine.assistant.build import build_assistant
from ai_engine.assistant.openai_http import OpenAIModel
from ai_engine.config.schema import Config, ModelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import ModelFailed
from ai_engine.security.egress import Egress

from support.assistant import RecordingHooks, make_tool, user
from support.clock import ManualClock
from support.stub_model import StubModel

HI = [{"role": "user", "content": "hi"}]
KEY = "sk-very-secret-key"


@asynccontextmanager
async def model_of(stub, clock=None, **config):
    base_url = config.pop("base_url", None) or stub.base_url
    settings = ModelConfig.model_validate(
        {"base_url": base_url, "model": "stub", "api_key": KEY} | config
    )
    egress = Egress()
    await egress.start()
    try:
        async with asyncio.timeout(5):
            yield OpenAIModel("main", settings, egress, clock or SystemClock())
    finally:
        await egress.close()


async def read(model, messages=HI, tools=()):
    """The text and the last piece."""
    text, last = "", None
    async with aclosing(model.stream(messages, tools)) as pieces:
        async for last in pieces:
            text = last.text if last.restart else text + last.text
    return text, last


async def failure(model):
    with pytest.raises(ModelFailed) as caught:
        await read(model)
    assert KEY not in str(caught.value)
    return caught.value


async def test_an_answer_is_streamed_and_the_request_is_the_protocols():
    async with StubModel() as stub, model_of(stub, temperature=0.5, max_tokens=9) as model:
        stub.reply(["Hel", "lo"])
        text, last = await read(model, HI, [{"type": "function"}])
    assert text == "Hello"
    assert (last.finish, last.model) == ("stop", "main")
    assert (last.usage.prompt, last.usage.completion) == (7, 2)
    assert stub.requests == [
        {
            "model": "stub",
            "messages": HI,
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": [{"type": "function"}],
            "temperature": 0.5,
            "max_tokens": 9,
        }
    ]
    assert stub.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_without_a_key_no_authorization_is_sent():
    async with StubModel() as stub, model_of(stub, api_key="") as model:
        await read(model)
    assert "Authorization" not in stub.headers[0]


async def test_reasoning_is_no_part_of_the_answer():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply(["<th", "ink>secret</thi", "nk>\n\nHello"], reasoning=["more", "secrets"])
        assert (await read(model))[0] == "Hello"


async def test_reasoning_without_its_opening_tag_is_taken_back():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply(["secret", "</think>", "Hello"])
        assert (await read(model))[0] == "Hello"


async def test_tool_calls_are_assembled_from_their_pieces():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_tool_calls([("one", {"x": "你好"}), ("two", {})], call_ids=False)
        _, last = await read(model)
    assert [(c.name, c.arguments) for c in last.calls] == [("one", {"x": "你好"}), ("two", {})]
    assert last.finish == "tool_calls"


async def test_a_whole_conversation_with_a_tool_over_http():
    async with StubModel() as stub:
        stub.reply_tool_call("look", {"x": 1})
        stub.reply("It rains.")
        egress = Egress()
        await egress.start()
        config = Config.model_validate({"models": {"m": {"base_url": stub.base_url, "model": "s"}}})
        assistant = build_assistant(config, egress, SystemClock())
        hooks = RecordingHooks()
        done = await assistant.run(user("weather?"), [make_tool(read_only=True)], hooks)
        await assistant.close()
        await egress.close()
    assert done.text == "It rains."
    assert done.usage.prompt == 14
    assert stub.requests[1]["messages"][-1]["content"] == "look done"


async def test_a_server_that_does_not_stream_is_read_too():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply("<think>x</think>Hello", whole=True, calls=[("one", "{}")])
        text, last = await read(model)
    assert text == "Hello"
    assert [c.name for c in last.calls] == ["one"]
    assert last.usage.prompt == 7


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_stream_options_is_asked_without_them_from_then_on(status):
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_error(status, "stream_options: extra inputs are not permitted")
        assert (await read(model))[0] == "stub answer"
        await read(model)
    assert ["stream_options" in r for r in stub.requests] == [True, False, False]


async def test_a_refused_request_is_not_repeated_and_says_what_the_server_said():
    async with StubModel() as stub, model_of(stub, retries=3) as model:
        stub.reply_error(400, "context length exceeded")
        stub.reply_error(400, "second")
        error = await failure(model)
    assert error.reason == "refused"
    assert "context length exceeded" in str(error)
    assert len(stub.requests) == 2


@pytest.mark.parametrize(("status", "hint"), [(401, "api_key"), (404, "base_url")])
async def test_a_wrong_setting_is_named_and_the_key_is_not(status, hint):
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_error(status, f"Incorrect API key provided: {KEY}")
        error = await failure(model)
    assert error.reason == "refused"
    assert f"models.main.{hint}" in error.hint


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_server_is_asked_again_after_the_time_that_it_names(status):
    clock = ManualClock()
    async with StubModel() as stub, model_of(stub, clock) as model:
        stub.reply_error(status, "busy", Retry_After="3")
        answer = asyncio.create_task(read(model))
        await stub.wait_for_requests(1)
        while not clock._sleepers:
            await asyncio.sleep(0)
        await clock.advance(2.9)
        assert not answer.done()
        await clock.advance(0.2)
        assert (await answer)[0] == "stub answer"


async def test_retry_after_as_a_date_is_understood():
    clock = ManualClock(start=1_700_000_000.0)  # Tue, 14 Nov 2023 22:13:20 GMT
    async with StubModel() as stub, model_of(stub, clock) as model:
        stub.reply_error(503, "busy", Retry_After="Tue, 14 Nov 2023 22:13:25 GMT")
        answer = asyncio.create_task(read(model))
        while not clock._sleepers:
            await asyncio.sleep(0)
        assert clock._sleepers[0][0] == clock.time() + 5
        await clock.advance(5)
        assert (await answer)[0] == "stub answer"


async def test_a_longer_wait_than_the_limit_is_left_to_a_fallback():
    async with StubModel() as stub, model_of(stub, retries=3) as model:
        stub.reply_error(429, "busy", Retry_After="3600")
        assert (await failure(model)).reason == "unreachable"
    assert len(stub.requests) == 1


async def test_retries_are_bounded(monkeypatch):
    monkeypatch.setattr(openai_http, "_BACKOFF_SECONDS", 0.0)
    async with StubModel() as stub, model_of(stub, retries=2) as model:
        for _ in range(4):
            stub.reply_error(500, "broken")
        assert "HTTP 500: broken" in str(await failure(model))
    assert len(stub.requests) == 3


async def test_a_connection_lost_before_the_first_piece_is_tried_again(monkeypatch):
    monkeypatch.setattr(openai_http, "_BACKOFF_SECONDS", 0.0)
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply("never", break_after=0)
        assert (await read(model))[0] == "stub answer"


@pytest.mark.parametrize("pieces", [2, 3])
async def test_an_answer_that_breaks_off_is_a_failure_and_not_repeated(pieces):
    async with StubModel() as stub, model_of(stub, retries=3) as model:
        stub.reply(["half", "answer"], break_after=pieces, chunk_delay_seconds=0.01)
        await failure(model)
    assert len(stub.requests) == 1


async def test_an_answer_that_ends_without_its_end_is_a_failure():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_raw(b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n')
        assert "broke off" in str(await failure(model))


async def test_an_end_marker_alone_or_a_finish_reason_alone_ends_an_answer():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_raw(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]')
        stub.reply_raw(
            b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"length"}]}\r\n\r\n'
        )
        assert (await read(model))[0] == "a"
        text, last = await read(model)
    assert (text, last.finish) == ("b", "length")


async def test_an_error_within_the_stream_is_a_failure():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_raw(b'data: {"error":{"message":"out of memory"}}\n\n')
        assert "out of memory" in str(await failure(model))


@pytest.mark.parametrize("raw", [b"data: nonsense\n\n", b'data: {"choices":5}\n\n', b"{", b""])
async def test_what_is_not_the_protocol_is_a_failure(raw):
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_raw(raw)
        assert (await failure(model)).reason == "unreachable"


async def test_a_redirect_is_not_followed():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_error(307, "go away", Location="http://127.0.0.1:1/")
        assert "HTTP 307" in str(await failure(model))


async def test_an_endless_answer_is_stopped(monkeypatch):
    monkeypatch.setattr(openai_http, "ANSWER_BYTES_MAX", 1000)
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply(["x" * 100] * 50)
        assert "longer than 1000 bytes" in str(await failure(model))


async def test_an_endless_event_is_stopped(monkeypatch):
    monkeypatch.setattr(openai_http, "EVENT_BYTES_MAX", 1000)
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply_raw(b"data: " + b"x" * 2000)
        assert "longer than 1000 bytes" in str(await failure(model))


async def test_silence_is_bounded():
    async with StubModel() as stub, model_of(stub, idle_timeout_seconds=0.05) as model:
        stub.reply(["a", "b"], stall_after=2)
        assert "silent for 0.05 s" in str(await failure(model))


async def test_the_whole_answer_is_bounded():
    async with StubModel() as stub, model_of(stub, total_timeout_seconds=0.05) as model:
        stub.reply(["a", "b"], stall_after=2)
        assert "no whole answer within 0.05 s" in str(await failure(model))


async def test_a_server_that_is_not_there_is_a_failure(monkeypatch):
    monkeypatch.setattr(openai_http, "_BACKOFF_SECONDS", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with StubModel() as stub, model_of(stub, base_url=url) as model:
            error = await failure(model)
    assert error.reason == "unreachable"
    assert "models.main" in error.hint


async def test_a_base_url_that_is_none_is_a_setting_to_mend():
    async with StubModel() as stub, model_of(stub, base_url="nowhere") as model:
        assert (await failure(model)).reason == "refused"


async def test_the_connection_is_used_again():
    async with StubModel() as stub, model_of(stub) as model:
        for _ in range(3):
            stub.reply("ok", linger_seconds=0.02)  # the body's end comes after the end marker
            await read(model)
        assert stub.connections == 1


async def test_an_abandoned_answer_closes_its_connection():
    async with StubModel() as stub, model_of(stub) as model:
        stub.reply(["a", "b"], stall_after=2)
        async with aclosing(model.stream(HI, ())) as pieces:
            assert (await anext(pieces)).text == "a"
        await stub.wait_until_idle()
