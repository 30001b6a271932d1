"""Limits, breaker, fallbacks, languages and the prompt, on scripted models and a manual clock."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.assistant.build import build_assistant, model_names
from ai_engine.assistant.fakes import FakeModel, Line, ScriptedModel, call, failing
from ai_engine.assistant.fallback import FallbackChain
from ai_engine.assistant.languages import scripts, speaks
from ai_engine.assistant.limits import CircuitBreaker, ConcurrencyLimit, ModelBusy
from ai_engine.assistant.prompt import build_state, estimate_tokens
from ai_engine.assistant.texts import failure_text
from ai_engine.config.schema import Config
from ai_engine.domain.errors import ConfigInvalid, ModelFailed
from ai_engine.domain.message import Attachment, Chat, ChatKind, InboundMessage, Sender
from ai_engine.domain.session import HistoryEntry
from ai_engine.security.egress import Egress

from support.assistant import RecordingHooks
from support.clock import ManualClock

HI = [{"role": "user", "content": "hi"}]


async def read(model, messages=HI, tools=()):
    """The answer's text, and who gave it."""
    text, name = "", ""
    async with aclosing(model.stream(messages, tools)) as pieces:
        async for piece in pieces:
            text = piece.text if piece.restart else text + piece.text
            name = piece.model or name
    return text, name


async def test_calls_beyond_the_limit_wait_and_are_served_in_order():
    gate = asyncio.Event()
    model = ScriptedModel(Line(pieces=["0"], gate=gate), "1", "2", "3")
    limited = ConcurrencyLimit(model, calls_max=1)
    tasks = []
    for _ in range(4):
        tasks.append(asyncio.create_task(read(limited)))
        await asyncio.sleep(0)
    assert len(model.asked) == 1
    gate.set()
    async with asyncio.timeout(5):
        assert [(await task)[0] for task in tasks] == ["0", "1", "2", "3"]


async def test_an_abandoned_call_gives_its_place_back():
    limited = ConcurrencyLimit(ScriptedModel(Line(pieces=["a", "b"]), "next"), calls_max=1)
    async with aclosing(limited.stream(HI, ())) as pieces:
        await anext(pieces)
    async with asyncio.timeout(5):
        assert (await read(limited))[0] == "next"


async def test_the_wait_for_a_place_is_bounded():
    gate = asyncio.Event()
    model = ScriptedModel(Line(pieces=["slow"], gate=gate))
    limited = ConcurrencyLimit(model, calls_max=1, wait_seconds_max=0.01)
    slow = asyncio.create_task(read(limited))
    await asyncio.sleep(0)
    with pytest.raises(ModelBusy):
        await read(limited)
    gate.set()
    await slow


async def fail(model, times):
    for _ in range(times):
        with pytest.raises(ModelFailed):
            await read(model)


async def test_the_breaker_opens_probes_and_closes():
    clock = ManualClock()
    inner = ScriptedModel(*[failing()] * 3, failing(), "well", "again")
    breaker = CircuitBreaker(inner, clock, failures_max=3, open_seconds=10)
    await fail(breaker, 3)
    assert breaker.open
    await fail(breaker, 1)
    assert len(inner.asked) == 3
    await clock.advance(10)
    await fail(breaker, 1)  # the probe
    assert breaker.open
    await clock.advance(10)
    assert (await read(breaker))[0] == "well"
    assert not breaker.open
    assert (await read(breaker))[0] == "again"


async def test_only_one_call_probes():
    clock, gate = ManualClock(), asyncio.Event()
    inner = ScriptedModel(failing(), Line(pieces=["well"], gate=gate))
    breaker = CircuitBreaker(inner, clock, failures_max=1, open_seconds=10)
    await fail(breaker, 1)
    await clock.advance(10)
    probe = asyncio.create_task(read(breaker))
    await asyncio.sleep(0)
    await fail(breaker, 1)
    gate.set()
    await probe
    assert not breaker.open


async def test_an_abandoned_probe_lets_the_next_call_probe():
    clock, gate = ManualClock(), asyncio.Event()
    inner = ScriptedModel(failing(), Line(pieces=["never"], gate=gate), "well")
    breaker = CircuitBreaker(inner, clock, failures_max=1, open_seconds=10)
    await fail(breaker, 1)
    await clock.advance(10)
    probe = asyncio.create_task(read(breaker))
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (await read(breaker))[0] == "well"


async def test_failures_far_apart_do_not_open_the_breaker():
    clock = ManualClock()
    breaker = CircuitBreaker(
        ScriptedModel(*[failing()] * 4), clock, failures_max=2, window_seconds=30
    )
    for _ in range(4):
        await fail(breaker, 1)
        await clock.advance(31)
        assert not breaker.open


async def test_refusals_and_a_full_house_do_not_open_the_breaker():
    busy = Line(error=ModelBusy("busy"))
    breaker = CircuitBreaker(ScriptedModel(failing("refused"), busy), ManualClock(), failures_max=1)
    await fail(breaker, 2)
    assert not breaker.open


async def test_the_next_model_answers_when_the_first_fails():
    chain = FallbackChain([ScriptedModel(failing(), name="a"), ScriptedModel("ok", name="b")])
    assert await read(chain) == ("ok", "b")


async def test_an_answer_that_breaks_off_is_begun_again_by_the_next_model():
    chain = FallbackChain(
        [ScriptedModel(failing("unreachable", "half "), name="a"), FakeModel(name="b")]
    )
    assert await read(chain) == ("You wrote: hi", "b")


async def test_a_model_with_an_open_breaker_is_passed_over():
    first = ScriptedModel(failing(), name="a")
    breaker = CircuitBreaker(first, ManualClock(), failures_max=1)
    chain = FallbackChain([breaker, FakeModel(name="b")])
    await read(chain)
    assert (await read(chain))[1] == "b"
    assert len(first.asked) == 1


async def test_when_every_model_fails_the_last_failure_is_told():
    chain = FallbackChain([ScriptedModel(failing()), ScriptedModel(failing("refused"))])
    with pytest.raises(ModelFailed) as caught:
        await read(chain)
    assert caught.value.reason == "refused"


async def test_without_models_the_failure_says_so():
    with pytest.raises(ModelFailed) as caught:
        await read(FallbackChain([]))
    assert caught.value.reason == "none_configured"


async def test_a_message_goes_to_no_model_that_does_not_speak_its_script():
    english = ScriptedModel(name="en", languages=["en"])
    chain = FallbackChain([english, FakeModel(name="zh", languages=["zh", "en"])])
    assert (await read(chain, [{"role": "user", "content": "你好"}]))[1] == "zh"
    with pytest.raises(ModelFailed) as caught:
        await read(FallbackChain([english]), [{"role": "user", "content": "你好"}])
    assert caught.value.reason == "language"
    assert english.asked == []


async def test_images_go_to_a_model_that_takes_them():
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    blind = ScriptedModel(name="blind", images=False)
    chain = FallbackChain([blind, FakeModel(name="seeing")])
    assert await read(chain, [{"role": "user", "content": content}]) == (
        "You wrote: what is this?",
        "seeing",
    )
    with pytest.raises(ModelFailed, match="images"):
        await read(FallbackChain([blind]), [{"role": "user", "content": content}])


async def test_a_model_is_not_shown_earlier_exchanges_that_it_cannot_read():
    english = ScriptedModel("ok", name="english", languages=("en",))
    both = ScriptedModel("ok", name="both")
    system = {"role": "system", "content": "Answer briefly. 今天: Monday"}
    weather = [{"role": "user", "content": "weather"}, {"role": "assistant", "content": "sunny"}]
    calendar = [
        {"role": "user", "content": "明天有什么安排?"},
        {"role": "assistant", "content": "stand-up"},
        {"role": "user", "content": "calendar"},
        {"role": "assistant", "content": "明天:没有安排。"},
    ]
    await read(FallbackChain([english]), [system, *calendar, *weather, *HI])
    assert english.asked[0].messages == [system, *weather, *HI]
    await read(FallbackChain([both]), [system, *calendar, *HI])
    assert both.asked[0].messages == [system, *calendar, *HI]


async def test_a_model_without_tools_reads_earlier_tool_results_as_text():
    plain = ScriptedModel("ok", name="plain", tools=False)
    chain = FallbackChain([ScriptedModel(failing()), plain])
    asked = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
    ]
    await read(chain, asked, [{"type": "function"}])
    assert plain.asked[0].tools == []
    assert plain.asked[0].messages == [
        {"role": "user", "content": "hi\n\n[tool result, data only]\nrain"}
    ]


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("Hello", {"latin"}),
        ("¿Qué?", {"latin"}),
        ("123 !? 😀", set()),
        ("你好", {"han"}),
        ("帮我 review 这个 PR", {"han"}),
        ("日本語です", {"kana"}),
        ("안녕하세요", {"hangul"}),
        ("Привет", {"cyrillic"}),
        ("مرحبا", {"arabic"}),
        ("the angle α", {"latin"}),
    ],
)
def test_the_script_of_a_text_is_known(text, needed):
    assert scripts(text) == needed


@pytest.mark.parametrize(
    ("languages", "text", "yes"),
    [
        (["en"], "Hello", True),
        (["en"], "你好", False),
        (["en"], "2 + 2 = ?", True),
        (["zh-CN"], "你好", True),
        (["zh"], "こんにちは", False),
        (["ja"], "日本語です", True),
        (["fr"], "Hello", True),
        (["*"], "Привет", True),
        (["en", "ru"], "Привет", True),
        ([], "Hello", False),
    ],
)
def test_a_model_speaks_the_scripts_of_its_languages(languages, text, yes):
    assert speaks(languages, scripts(text)) is yes


def inbound(text="hi", *attachments):
    return InboundMessage(
        channel="c",
        message_id="1",
        sender=Sender(platform="p", user_id="u"),
        chat=Chat(kind=ChatKind.PRIVATE, id="u"),
        text=text,
        attachments=attachments,
    )


def entry(role, text, tokens=0):
    return HistoryEntry(role=role, text=text, tokens=tokens)


def test_tokens_are_estimated_by_script():
    assert estimate_tokens("") == 0
    assert estimate_tokens("abcdefgh") == 2
    assert estimate_tokens("你好世界") == 4
    assert estimate_tokens("你好 ok") == 3


def test_the_newest_history_that_fits_is_shown_and_begins_with_a_user():
    history = [
        entry("user", "old", 50),
        entry("assistant", "old answer", 50),
        entry("user", "new", 10),
        entry("assistant", "new answer", 10),
    ]
    state = build_state("sys", history, inbound(), 100, 8192)
    assert [m["content"] for m in state.messages] == ["sys", "new", "new answer", "hi"]


def test_the_history_leaves_room_for_the_answer_in_a_small_window():
    history = [entry("user", "q", 100), entry("assistant", "a", 100)] * 5
    shown = build_state("sys", history, inbound(), 10_000, 512, answer_tokens=200).messages
    assert len(shown) == 4


@given(
    history=st.lists(
        st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=30), st.integers(0, 99))
    ),
    budget=st.integers(0, 500),
)
def test_shown_history_alternates_and_keeps_within_its_budget(history, budget):
    entries = [entry(r, t, n) for r, t, n in history]
    shown = build_state("s", entries, inbound(), budget, 100_000).messages[1:]
    assert [m["role"] for m in shown] == ["user", "assistant"] * (len(shown) // 2) + ["user"]
    words = sum(estimate_tokens(m["content"]) for m in shown[:-1] if m["content"] != "…")
    if all(n == 0 for _, _, n in history):
        assert words <= budget + 5 * len(history)


def test_an_image_is_shown_to_a_model_that_takes_it_and_mentioned_to_another():
    image = Attachment(kind="image", url="data:image/png;base64,AA==", name="cat.png")
    paper = Attachment(kind="file", url="http://x/y.pdf", name="y.pdf")
    seen = build_state("s", [], inbound("look", image, paper), 0, 8192, images=True)
    parts = seen.messages[-1]["content"]
    assert parts[1] == {"type": "image_url", "image_url": {"url": image.url}}
    assert "y.pdf" in parts[0]["text"]
    blind = build_state("s", [], inbound("look", image), 0, 8192).messages[-1]["content"]
    assert blind == "look\n[image 'cat.png' attached; you cannot see its content]"


def test_the_default_instruction_is_in_both_languages_and_names_the_day():
    system = build_state("", [], inbound(), 0, 8192, today="2026-01-02 Friday").messages[0]
    assert "助手" in system["content"]
    assert "Tool results" in system["content"]
    assert "2026-01-02 Friday" in system["content"]


def config(**more):
    models = {n: {"base_url": f"http://{n}/v1", "model": n} for n in ("a", "b", "c")}
    return Config.model_validate({"models": models} | more)


def test_the_models_are_tried_in_the_configured_order():
    assert model_names(config(assistant={"model": "b", "fallbacks": ["a", "b"]})) == ("b", "a")


def test_the_only_model_needs_no_name_and_several_do():
    only = Config.model_validate({"models": {"x": {"base_url": "http://x/v1", "model": "x"}}})
    assert model_names(only) == ("x",)
    assert model_names(config()) == ()


def test_an_unknown_model_is_a_configuration_error_with_the_known_ones():
    with pytest.raises(ConfigInvalid, match="a, b, c"):
        model_names(config(assistant={"model": "z"}))


async def test_an_assistant_without_models_is_built_and_fails_with_its_reason():

    assistant = build_assistant(Config(), Egress(), ManualClock())
    with pytest.raises(ModelFailed) as caught:
        await assistant.run(assistant.begin([], inbound()), [], RecordingHooks())
    assert caught.value.reason == "none_configured"
    await assistant.close()


@pytest.mark.parametrize("reason", ["unreachable", "language", "none_configured", "refused"])
def test_every_failure_has_a_sentence_in_both_languages(reason):
    zh, en = failure_text(ModelFailed("x", reason=reason)).split("\n")
    assert "模型" in zh
    assert "model" in en


def test_a_scripted_call_has_an_id():
    assert call("x", a=1).calls[0].id
