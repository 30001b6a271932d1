"""The simulators' parts: transcript, fault knobs, wire log, news, people."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.types import about
from ai_engine.config.schema import Endpoints
from ai_engine.domain.errors import Malformed
from ai_engine.simulators import control
from ai_engine.simulators.dingtalk.faults import DingTalkFaults
from ai_engine.simulators.faults import Faults
from ai_engine.simulators.feed import BACKLOG_MAX, LISTENERS_MAX, Feed, FeedFull
from ai_engine.simulators.files import SHELF_BYTES_MAX, SharedFile, Shelf
from ai_engine.simulators.names import names_of
from ai_engine.simulators.people import Directory
from ai_engine.simulators.transcript import Transcript, entry_json
from ai_engine.simulators.types import SIMULATED, build
from ai_engine.simulators.wirelog import BODY_CHARS_MAX, ROWS_MAX, WireLog


def add(transcript: Transcript, message_id: str, conversation: str = "c1", **more):
    fields = {
        "sender": "u",
        "chat": "private",
        "text": message_id,
        "kind": "text",
        "at": 1.0,
    } | more
    return transcript.add(id=message_id, conversation=conversation, **(fields | more))


def test_transcript_lists_in_order_by_conversation_and_after_a_number():
    transcript = Transcript()
    for name, conversation in (("a", "c1"), ("b", "c2"), ("c", "c1"), ("d", "c1")):
        add(transcript, name, conversation)
    assert [e.id for e in transcript.list()] == ["a", "b", "c", "d"]
    assert [e.id for e in transcript.list(conversation="c1", after=1)] == ["c", "d"]
    assert [e.id for e in transcript.list(limit=2)] == ["a", "b"]


def test_transcript_forgets_the_oldest_and_everything_that_pointed_at_it():
    transcript = Transcript(entries_max=2)
    add(transcript, "a")
    add(transcript, "r1", reply_to="a")
    add(transcript, "r2", reply_to="a")
    assert transcript.get("a") is None
    assert [e.id for e in transcript.list()] == ["r1", "r2"]
    transcript.mark("a", status="undelivered")
    assert transcript.last == 3


@given(st.lists(st.sampled_from("abcdef"), max_size=60), st.integers(1, 8))
def test_transcript_never_holds_more_than_its_bound_nor_an_index_of_the_forgotten(ids, bound):
    transcript = Transcript(entries_max=bound)
    for at, name in enumerate(ids):
        add(transcript, f"{name}{at}", reply_to=name if at % 2 else None)
    kept = transcript.list()
    assert [e.n for e in kept] == list(range(max(1, len(ids) - bound + 1), len(ids) + 1))
    for name in "abcdef":
        expected = [e.n for e in kept if e.reply_to == name]
        assert [e.n for e in transcript.replies_to(name)] == expected


async def test_a_waiter_is_woken_by_its_own_conversation_and_times_out_otherwise():
    transcript = Transcript()
    waiting = asyncio.ensure_future(
        transcript.wait("c2", lambda: transcript.list(conversation="c2") or None, 5)
    )
    await asyncio.sleep(0)
    add(transcript, "a", "c1")
    await asyncio.sleep(0)
    assert not waiting.done()
    add(transcript, "b", "c2")
    assert [e.id for e in await waiting] == ["b"]
    with pytest.raises(TimeoutError):
        await transcript.wait("c3", lambda: None, 0.01)


def test_an_entry_in_json_has_the_names_of_the_control_api():
    entry = add(Transcript(), "a")
    assert {"from", "text", "kind", "at", "reply_to"} <= entry_json(entry).keys()
    assert entry_json(entry)["from"] == "u"
    assert "sender" not in entry_json(entry)


def test_an_unknown_knob_is_refused_with_the_nearest_name_and_nothing_changes():
    faults = DingTalkFaults()
    with pytest.raises(Malformed, match="wrong_secret"):
        faults.change({"duplicate": 3, "wrong_secrt": True})
    assert faults.as_json() == DingTalkFaults().as_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"duplicate": "3"},
        {"duplicate": -1},
        {"oversized_bytes": 10**12},
        {"wrong_secret": 1},
        {"missing_scope": 2},
    ],
)
def test_a_knob_of_the_wrong_type_is_refused(wrong):
    with pytest.raises(Malformed, match="wrong value"):
        DingTalkFaults().change(wrong)


def test_clearing_puts_every_knob_to_rest_in_place():
    faults = DingTalkFaults()
    faults.change({"duplicate": 3, "session_webhook_seconds": -1, "missing_scope": "x"})
    faults.clear()
    assert faults == DingTalkFaults()


@given(st.integers(0, 6), st.integers(0, 4), st.integers(0, 20))
def test_throttling_begins_after_n_sends_and_ends_after_its_times(after, times, sends):
    faults = Faults(throttle_after=after, throttle_times=times)
    seen = [faults.throttled() for _ in range(sends)]
    last = after + times if times else sends
    assert seen == [after <= n < last for n in range(sends)]


def test_a_counted_knob_is_used_up():
    faults = Faults(error_burst=2)
    assert [faults.take("error_burst") for _ in range(4)] == [True, True, False, False]


def test_the_wire_log_is_bounded_and_filters():
    log = WireLog()
    for n in range(ROWS_MAX + 5):
        log.add(direction="in" if n % 2 else "out", at=0, method="POST", path=f"/p{n % 3}")
    assert len(log.rows()) == ROWS_MAX
    assert {row["direction"] for row in log.rows(direction="in")} == {"in"}
    assert {row["path"] for row in log.rows(path="p1")} == {"/p1"}
    assert [row["n"] for row in log.rows(after=ROWS_MAX + 3)] == [ROWS_MAX + 4, ROWS_MAX + 5]
    log.add(direction="in", at=0, method="POST", path="/", body="x" * (BODY_CHARS_MAX + 9))
    assert len(log.rows()[-1]["body"]) == BODY_CHARS_MAX + 1
    log.clear()
    assert log.rows() == []


async def test_a_listener_that_is_too_slow_is_cut_off_and_the_others_go_on():
    feed = Feed()
    async with feed.listen() as slow:
        for n in range(BACKLOG_MAX + 3):
            feed.publish("entry", {"n": n})
        async with feed.listen() as quick:
            feed.publish("entry", {"n": -1})
            assert await quick.get() == ("entry", {"n": -1})
        for _ in range(BACKLOG_MAX):
            assert slow.get_nowait() is not None
        assert slow.get_nowait() is None
    assert not feed.watched


async def test_listeners_are_bounded_and_closing_ends_them():
    feed = Feed()
    async with asyncio.timeout(5):
        contexts = [feed.listen() for _ in range(LISTENERS_MAX)]
        queues = [await context.__aenter__() for context in contexts]
        with pytest.raises(FeedFull):
            await feed.listen().__aenter__()
        feed.close()
        assert [await queue.get() for queue in queues] == [None] * LISTENERS_MAX
        for context in contexts:
            await context.__aexit__(None, None, None)


def test_the_shelf_forgets_the_oldest_file_above_its_size():
    shelf = Shelf()
    content = bytes(SHELF_BYTES_MAX // 10)
    codes = [
        shelf.put(SharedFile(kind="file", name="f", mime="x/y", content=content), "f")
        for _ in range(12)
    ]
    assert [shelf.get(code) is None for code in codes] == [True] * 2 + [False] * 10


def test_a_private_chat_follows_the_conversation_that_was_named_last():
    people = Directory()
    assert people.private("zhangsan").id == "cid-private-zhangsan"
    assert people.private("zhangsan", "cid-x").id == "cid-x"
    assert people.private("zhangsan").id == "cid-x"
    assert not people.knows("newcomer")
    assert people.person("newcomer", "新人").name == "新人"
    assert people.knows("newcomer")


DOCS = Path(__file__).parents[2] / "docs" / "reference" / "simulators.md"


@pytest.mark.parametrize("platform", SIMULATED)
def test_every_knob_and_every_control_call_is_documented(platform):
    text = DOCS.read_text(encoding="utf-8")
    simulator = build(platform, {})
    english = names_of(platform)[1]
    own = text.split(f"\n### {english}")[1].split("\n### ")[0].split("\n## ")[0]
    common = text.split("## Fault knobs")[1].split(f"### {names_of(SIMULATED[0])[1]}")[0]
    shared = Faults().as_json()
    knobs = simulator.shared_faults.as_json()
    assert [name for name in shared if f"| `{name}` |" not in common] == []
    assert [name for name in knobs if name not in shared and f"| `{name}` |" not in own] == []
    rows = own.count("\n| `")
    assert rows == len(knobs) - len(shared), "a knob is documented that is not there"
    app = web.Application()
    control.mount(app, simulator)
    calls = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    calls |= {f"{method} {path}" for method, path, _ in simulator.routes()}
    undocumented = {call for call in calls if "/sim/" in call and f"`{call}`" not in text}
    assert undocumented == set()


@pytest.mark.parametrize("platform", SIMULATED)
def test_a_simulator_is_named_and_credentialed_as_its_connector_is(platform):
    known = about(platform)
    assert names_of(platform) == (known.zh, known.en)
    simulator = build(platform, {})
    assert set(simulator.credentials()) == set(simulator.auth_defaults)
    assert set(simulator.info()["endpoints"]) <= set(Endpoints().named())
    row = next(
        line
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {known.en}") and "ai-engine simulate" in line
    )
    for name in simulator.auth_defaults:
        assert f"`--{name.replace('_', '-')}`" in row
    for name in simulator.info()["endpoints"]:
        assert f"`{name}`" in row


def test_what_a_platform_has_is_what_its_class_overrides():
    assert build("dingtalk", {}).can() == ["press", "group"]
    assert "group" not in build("wecom", {}).can()
    assert build("telegram", {}).can() == ["press", "edit", "rate", "enter", "group"]


def test_credentials_that_were_given_are_not_told():
    given = build("slack", {"signing_secret": "mine"}).credentials()
    assert given["signing_secret"] == ""
    assert given["bot_token"] == "xoxb-simulated"


async def test_what_people_did_through_the_control_api_is_marked_in_the_transcript():
    async with build("slack", {}) as sim, aiohttp.ClientSession(sim.url) as client:
        said = await sim.say("zhangsan", "one")
        async with client.post("/sim/edit", json={"message_id": said, "text": "two"}) as answer:
            assert answer.status == 200
        entry = sim.transcript.get(said)
        assert entry is not None
        assert (entry.text, entry.edits, entry.recalled) == ("two", 1, False)
        async with client.post("/sim/recall", json={"message_id": said}) as answer:
            assert answer.status == 200
        entry = sim.transcript.get(said)
        assert entry is not None
        assert entry.recalled
        async with client.post("/sim/rate", json={"entry": "x", "rating": "good"}) as answer:
            assert answer.status in {404, 422}
            assert (await answer.json())["message"]
