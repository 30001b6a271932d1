"""The tool loop on a scripted model: rounds, checkpoints, resuming, asking, honest endings."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.assistant.base import Answered, MustAsk
from ai_engine.assistant.fakes import FakeModel, Line, ScriptedModel, call, failing
from ai_engine.assistant.loop import AssistantLoop, LoopLimits
from ai_engine.assistant.state import dump_state, load_state
from ai_engine.domain.errors import LostLease, ModelFailed
from ai_engine.domain.reply import Card
from ai_engine.domain.skill import ToolCall, ToolResult

from support.assistant import RecordingHooks, make_tool, user
from support.clock import ManualClock


def loop_of(model, **limits):
    return AssistantLoop(model, limits=LoopLimits(**limits), clock=ManualClock())


def calls(*named):
    return Line(calls=[ToolCall(id=i, name=n) for i, n in named])


def tool_texts(model, at=-1):
    """What the model was told of its tools, by call id."""
    told = model.asked[at].messages
    return {m["tool_call_id"]: m["content"] for m in told if m["role"] == "tool"}


async def test_the_answer_is_streamed_whole_each_time():
    hooks = RecordingHooks()
    done = await loop_of(ScriptedModel(Line(pieces=["Hel", "lo"]))).run(user("hi"), [], hooks)
    assert hooks.texts == ["Hel", "Hello"]
    assert isinstance(done, Answered)
    assert (done.text, done.model, done.cut) == ("Hello", "scripted", False)
    assert (done.usage.prompt, done.usage.completion) == (10, 5)
    assert hooks.checkpoints == []


async def test_a_tool_result_goes_back_to_the_model_and_usage_is_summed():
    model = ScriptedModel(Line(pieces=["One moment."], calls=call("look", x=1).calls), "It rains.")
    hooks = RecordingHooks()
    done = await loop_of(model).run(user("weather?"), [make_tool(read_only=True)], hooks)
    assert done.text == "One moment.\n\nIt rains."
    assert done.usage.prompt == 20
    assert hooks.calls[0].arguments == {"x": 1}
    assert list(tool_texts(model).values()) == ["look done"]
    assistant = model.asked[-1].messages[1]
    assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"x":1}'}


async def test_a_round_that_only_reads_makes_no_checkpoint():
    hooks = RecordingHooks()
    await loop_of(ScriptedModel(call("look"), "ok")).run(
        user("x"), [make_tool(read_only=True)], hooks
    )
    assert hooks.order == ["call look"]


async def test_a_writing_round_is_saved_before_its_first_call_and_after_each_result():
    model = ScriptedModel(calls(("a", "write"), ("b", "write")), "ok")
    hooks = RecordingHooks()
    await loop_of(model, parallel_tools_max=1).run(user("x"), [make_tool("write")], hooks)
    assert hooks.order == ["checkpoint", "call write", "checkpoint"] * 2
    first, second, *_ = hooks.checkpoints
    assert first["begun"] == ["a"]
    assert first["results"] == {}
    assert list(second["results"]) == ["a"]


async def test_parallel_results_are_all_saved_by_the_last_checkpoint():
    model = ScriptedModel(calls(*((f"c{i}", "write") for i in range(5))), "ok")
    hooks = RecordingHooks()
    await loop_of(model).run(user("x"), [make_tool("write")], hooks)
    assert len(hooks.checkpoints[-1]["results"]) == 5


async def test_only_so_many_tools_run_at_once():
    model = ScriptedModel(calls(*((f"c{i}", "look") for i in range(10))), "ok")
    hooks = RecordingHooks()
    await loop_of(model, parallel_tools_max=3).run(
        user("x"), [make_tool("look", read_only=True)], hooks
    )
    assert hooks.running_max == 3
    assert len(hooks.calls) == 10


async def test_a_finished_call_never_runs_again_and_the_turn_goes_on():
    model = ScriptedModel(calls(("a", "write"), ("b", "write")))
    hooks = RecordingHooks()
    with pytest.raises(AssertionError):  # the script ends where the process dies
        await loop_of(model, parallel_tools_max=1).run(user("x"), [make_tool("write")], hooks)
    after_first = hooks.checkpoints[1]
    again = RecordingHooks()
    resumed = ScriptedModel("ok")
    done = await loop_of(resumed).run(load_state(after_first), [make_tool("write")], again)
    assert [c.id for c in again.calls] == ["b"]
    assert done.text == "ok"
    assert tool_texts(resumed) == {"a": "write done", "b": "write done"}


@pytest.mark.parametrize(
    ("rules", "runs"), [({}, False), ({"idempotent": True}, True), ({"read_only": True}, True)]
)
async def test_a_call_begun_without_a_result_is_repeated_only_when_that_is_safe(rules, runs):
    state = user("x", calls=[ToolCall(id="a", name="write")], begun=["a"], rounds=1)
    model, hooks = ScriptedModel("I do not know"), RecordingHooks()
    await loop_of(model).run(load_state(dump_state(state)), [make_tool("write", **rules)], hooks)
    assert [c.id for c in hooks.calls] == (["a"] if runs else [])
    assert ("Outcome unknown" in tool_texts(model)["a"]) is not runs


@given(kill_at=st.integers(0, 12), parallel=st.integers(1, 4), safe=st.booleans())
async def test_a_write_has_its_effect_at_most_once_wherever_the_process_dies(
    kill_at, parallel, safe
):
    """Dies at the n-th checkpoint or call, resumes from the last checkpoint."""
    effects: dict[str, int] = {}
    steps = 0

    class Killed(Exception):
        pass

    def step():
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed

    class Hooks(RecordingHooks):
        async def checkpoint(self, state):
            step()
            await super().checkpoint(state)

    async def run(tool, asked):
        step()
        effects[asked.id] = effects.get(asked.id, 0) + 1
        step()
        return ToolResult(text="done")

    script = [calls(("a", "write"), ("b", "write"), ("c", "look")), calls(("d", "write")), "end"]
    tools = [make_tool("write", idempotent=safe), make_tool("look", read_only=True)]
    first = Hooks(run)
    try:
        await loop_of(ScriptedModel(*script), parallel_tools_max=parallel).run(
            user("x"), tools, first
        )
    except Killed:
        state = load_state(first.checkpoints[-1]) if first.checkpoints else user("x")
        rest = script[state.rounds :]
        done = await loop_of(ScriptedModel(*rest), parallel_tools_max=parallel).run(
            state, tools, Hooks(run)
        )
        assert done.text == "end"
    if not safe:
        assert all(effects.get(name, 0) <= 1 for name in "abd")


async def test_a_tool_that_must_ask_ends_the_run_and_goes_on_once_approved():
    model = ScriptedModel(calls(("a", "look"), ("b", "delete")), "deleted")
    tools = [make_tool("look", read_only=True), make_tool("delete", ask_first=True)]
    hooks = RecordingHooks()
    asked = await loop_of(model).run(user("x"), tools, hooks)
    assert isinstance(asked, MustAsk)
    assert (asked.call.id, asked.tool.name) == ("b", "delete")
    assert [c.id for c in hooks.calls] == ["a"]
    state = load_state(dump_state(asked.state))
    state.approved.append("b")
    done = await loop_of(model).run(state, tools, hooks)
    assert [c.id for c in hooks.calls] == ["a", "b"]
    assert done.text == "deleted"


async def test_a_denied_call_is_not_made_and_the_model_is_told():
    model = ScriptedModel(calls(("b", "delete")), "fine")
    asked = await loop_of(model).run(
        user("x"), [make_tool("delete", ask_first=True)], RecordingHooks()
    )
    asked.state.denied.append("b")
    hooks = RecordingHooks()
    await loop_of(model).run(asked.state, [make_tool("delete", ask_first=True)], hooks)
    assert hooks.calls == []
    assert "did not allow" in tool_texts(model)["b"]


async def test_two_calls_that_must_ask_are_asked_one_after_the_other():
    model = ScriptedModel(calls(("a", "delete"), ("b", "delete")), "done")
    tools, hooks = [make_tool("delete", ask_first=True)], RecordingHooks()
    asked = await loop_of(model).run(user("x"), tools, hooks)
    assert asked.call.id == "a"
    asked.state.approved.append("a")
    asked = await loop_of(model).run(asked.state, tools, hooks)
    assert asked.call.id == "b"
    asked.state.approved.append("b")
    await loop_of(model).run(asked.state, tools, hooks)
    assert [c.id for c in hooks.calls] == ["a", "b"]


async def test_an_unknown_tool_is_an_error_for_the_model():
    model = ScriptedModel(call("nonsense"), "sorry")
    await loop_of(model).run(user("x"), [make_tool("look")], RecordingHooks())
    assert "no tool 'nonsense'" in next(iter(tool_texts(model).values()))
    assert "look" in next(iter(tool_texts(model).values()))


async def test_unreadable_arguments_are_an_error_for_the_model_and_nothing_runs():
    line = Line(calls=[ToolCall(id="a", name="look")], faults=["the arguments are not valid JSON"])
    model, hooks = ScriptedModel(line, "sorry"), RecordingHooks()
    await loop_of(model).run(user("x"), [make_tool("look")], hooks)
    assert hooks.calls == []
    assert "not valid JSON" in tool_texts(model)["a"]


async def test_a_long_result_is_cut_and_says_so():
    async def run(tool, asked):
        return ToolResult(text="x" * 100)

    model = ScriptedModel(call("look"), "ok")
    await loop_of(model, result_chars_max=10).run(
        user("x"), [make_tool(read_only=True)], RecordingHooks(run)
    )
    text = next(iter(tool_texts(model).values()))
    assert text == "x" * 10 + "\n[cut here: the result has 100 characters, limit 10]"


async def test_calls_beyond_the_rounds_limit_are_answered_with_an_error():
    model = ScriptedModel(calls(*((f"c{i}", "look") for i in range(4))), "ok")
    hooks = RecordingHooks()
    await loop_of(model, calls_max=2).run(user("x"), [make_tool(read_only=True)], hooks)
    assert [c.id for c in hooks.calls] == ["c0", "c1"]
    assert "at most 2 calls" in tool_texts(model)["c3"]


async def test_after_the_last_round_the_model_is_asked_once_without_tools():
    model = ScriptedModel(call("look"), call("look"), "enough")
    done = await loop_of(model, rounds_max=2).run(
        user("x"), [make_tool(read_only=True)], RecordingHooks()
    )
    assert [len(a.tools) for a in model.asked] == [1, 1, 0]
    assert done.text == "enough"


async def test_a_model_that_insists_on_tools_after_the_last_round_ends_honestly():
    model = ScriptedModel(call("look"), call("look"))
    hooks = RecordingHooks()
    done = await loop_of(model, rounds_max=1).run(user("x"), [make_tool(read_only=True)], hooks)
    assert len(hooks.calls) == 1
    assert "no answer" in done.text


async def test_a_model_without_tools_is_sent_no_definitions():
    model = ScriptedModel("ok", tools=False)
    await loop_of(model).run(user("x"), [make_tool()], RecordingHooks())
    assert model.asked[0].tools == []


async def test_call_ids_that_a_server_uses_twice_are_told_apart():
    model = ScriptedModel(calls(("call_0", "look")), calls(("call_0", "look")), "ok")
    hooks = RecordingHooks()
    await loop_of(model).run(user("x"), [make_tool(read_only=True)], hooks)
    assert len({c.id for c in hooks.calls}) == 2


async def test_a_result_card_stays_in_the_state_for_the_turn_to_show():
    async def run(tool, asked):
        return ToolResult(text="long text", card=Card(title="Weather"))

    state = user("x")
    await loop_of(ScriptedModel(calls(("a", "look")), "ok")).run(
        state, [make_tool(read_only=True)], RecordingHooks(run)
    )
    assert state.results == {"a": ToolResult(text="", card=Card(title="Weather"))}


@pytest.mark.parametrize(("text", "says"), [("你好", "长度上限"), ("hello", "length limit")])
async def test_an_answer_cut_by_length_says_so_in_the_readers_language(text, says):
    done = await loop_of(ScriptedModel(Line(pieces=["half"], finish="length"))).run(
        user(text), [], RecordingHooks()
    )
    assert done.cut
    assert done.text.startswith("half\n\n")
    assert says in done.text


@pytest.mark.parametrize(
    ("finish", "text", "says"),
    [
        ("stop", "你好", "没有给出内容"),
        ("stop", "hello", "gave no answer"),
        ("length", "hello", "before it began"),
        ("content_filter", "hello", "content policy"),
    ],
)
async def test_an_empty_answer_is_told_honestly(finish, text, says):
    done = await loop_of(ScriptedModel(Line(pieces=["  "], finish=finish))).run(
        user(text), [], RecordingHooks()
    )
    assert says in done.text


async def test_the_state_says_which_language_its_own_sentences_are_in():
    done = await loop_of(ScriptedModel(Line())).run(user("ok", language="zh"), [], RecordingHooks())
    assert "没有给出内容" in done.text


async def test_a_cancelled_turn_has_the_text_shown_so_far_in_its_state():
    gate = asyncio.Event()
    state, hooks = user("x"), RecordingHooks()
    model = ScriptedModel(Line(pieces=["so far", "never"], gate=gate))
    task = asyncio.create_task(loop_of(model).run(state, [], hooks))
    async with asyncio.timeout(5):
        while not hooks.texts:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state.text == "so far"


async def test_time_in_the_model_is_reported_as_outside():
    clock, gate = ManualClock(), asyncio.Event()
    hooks = RecordingHooks()
    model = ScriptedModel(Line(pieces=["a", "b"], gate=gate))
    loop = AssistantLoop(model, limits=LoopLimits(), clock=clock)
    task = asyncio.create_task(loop.run(user("x"), [], hooks))
    async with asyncio.timeout(5):
        while not hooks.texts:
            await asyncio.sleep(0)
    await clock.advance(3)
    gate.set()
    await task
    assert hooks.outsides == [(3.0, "model:scripted")]


async def test_a_failing_model_is_an_error_with_its_reason():
    with pytest.raises(ModelFailed) as caught:
        await loop_of(ScriptedModel(failing("refused", "half"))).run(
            user("x"), [], RecordingHooks()
        )
    assert caught.value.reason == "refused"


async def test_a_lost_lease_within_parallel_calls_is_raised_as_itself():
    async def run(tool, asked):
        raise LostLease("another owner took over")

    with pytest.raises(LostLease):
        await loop_of(ScriptedModel(calls(("a", "look"), ("b", "look")))).run(
            user("x"), [make_tool(read_only=True)], RecordingHooks(run)
        )


def test_a_state_of_a_newer_version_is_refused():
    state = dump_state(user("x"))
    with pytest.raises(ValueError, match="version 2"):
        load_state(state | {"version": 2})


async def test_the_fake_model_answers_by_its_function():
    done = await loop_of(FakeModel()).run(user("good day"), [], RecordingHooks())
    assert done.text == "You wrote: good day"
