"""What Prometheus reads."""

import asyncio
import math
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ai_engine.channels.base import Status
from ai_engine.journal.base import Stats
from ai_engine.observe.health import Health
from ai_engine.observe.labels import OTHER, VALUES_MAX
from ai_engine.observe.looplag import LoopLag
from ai_engine.observe.metrics import Metrics

from support.clock import ManualClock

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

STATS = Stats(
    owner=True,
    backlog=3,
    oldest_seconds=1.5,
    running=2,
    outbox=4,
    dead_letters=1,
    sessions=7,
    round_trips=100,
    syncs=20,
)


async def journal_stats() -> Stats:
    return STATS


def busy_metrics(clock: ManualClock | None = None) -> Metrics:
    """One of everything."""
    metrics = Metrics(clock)
    health = Health()
    health.start()
    health.watch_channels(
        lambda: {
            "dingtalk": Status(state="connected", last_event_age_seconds=2.0),
            "qq": Status(state="failing"),
        }
    )
    metrics.watch_health(health)
    metrics.watch_journal(journal_stats)
    metrics.watch_log(lambda: 5)
    metrics.inbound("dingtalk", "accepted")
    metrics.accepted_in(0.002)
    metrics.latency(0.01)
    metrics.turn(1.2)
    metrics.turn_failed("dingtalk", "retry")
    metrics.reply("dingtalk", "delivered")
    metrics.model_call("main", "ok", 1.0, prompt_tokens=10, completion_tokens=5)
    metrics.tool_call("calendar_query", "ok", 0.01)
    metrics.loop_lag(0.0004)
    return metrics


def sample(exposition: bytes, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(exposition.decode()):
        for found in family.samples:
            if found.name == name and found.labels == labels:
                return found.value
    return None


def families(exposition: bytes) -> dict[str, str]:
    return {f.name: f.type for f in text_string_to_metric_families(exposition.decode())}


def test_latency_quantiles_have_the_name_and_labels_that_the_alert_rule_reads():
    metrics = Metrics()
    for at in range(1, 1001):
        metrics.latency(at / 1000)
    page = metrics.render()
    for quantile, exact in (("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)):
        value = sample(page, "ai_engine_latency_seconds", quantile=quantile)
        assert value == pytest.approx(exact, rel=0.02)
    assert sample(page, "ai_engine_latency_seconds_count") == 1000
    assert sample(page, "ai_engine_latency_seconds_sum") == pytest.approx(500.5)
    assert sample(page, "ai_engine_own_latency_seconds_bucket", le="0.5") == 500


async def test_old_latencies_leave_the_quantiles_and_stay_in_the_count():
    clock = ManualClock()
    metrics = Metrics(clock)
    metrics.latency(3.0)
    await clock.advance(301)
    page = metrics.render()
    value = sample(page, "ai_engine_latency_seconds", quantile="0.99")
    assert value is not None
    assert math.isnan(value)
    assert sample(page, "ai_engine_latency_seconds_count") == 1


async def test_each_call_is_counted_under_its_labels():
    page = await busy_metrics().scrape()
    counted = [
        sample(page, "ai_engine_inbound_total", channel="dingtalk", result="accepted"),
        sample(page, "ai_engine_turn_failures_total", channel="dingtalk", result="retry"),
        sample(page, "ai_engine_replies_total", channel="dingtalk", result="delivered"),
        sample(page, "ai_engine_model_call_seconds_count", model="main", result="ok"),
        sample(page, "ai_engine_tool_call_seconds_count", tool="calendar_query", result="ok"),
        sample(page, "ai_engine_accept_seconds_count"),
        sample(page, "ai_engine_turn_seconds_count"),
        sample(page, "ai_engine_event_loop_lag_seconds_count"),
    ]
    assert counted == [1] * len(counted)
    assert sample(page, "ai_engine_model_tokens_total", model="main", kind="prompt") == 10
    assert sample(page, "ai_engine_model_tokens_total", model="main", kind="completion") == 5
    assert sample(page, "ai_engine_log_records_dropped_total") == 5


async def test_the_journals_figures_are_asked_at_each_scrape():
    page = await busy_metrics().scrape()
    expected = {
        "ai_engine_journal_up": 1,
        "ai_engine_journal_owner": 1,
        "ai_engine_journal_backlog": 3,
        "ai_engine_journal_oldest_seconds": 1.5,
        "ai_engine_journal_running": 2,
        "ai_engine_journal_outbox": 4,
        "ai_engine_journal_dead_letters": 1,
        "ai_engine_sessions": 7,
        "ai_engine_journal_round_trips_total": 100,
        "ai_engine_journal_syncs_total": 20,
    }
    assert {name: sample(page, name) for name in expected} == expected


async def test_a_broken_journal_does_not_take_the_metrics_away():
    async def broken() -> Stats:
        raise OSError("disk gone")

    metrics = busy_metrics()
    metrics.watch_journal(broken)
    page = await metrics.scrape()
    assert sample(page, "ai_engine_journal_up") == 0
    assert sample(page, "ai_engine_journal_backlog") is None
    assert sample(page, "ai_engine_turn_seconds_count") == 1


async def test_channel_states_and_readiness_are_shown():
    page = await busy_metrics().scrape()
    assert sample(page, "ai_engine_ready") == 1
    assert sample(page, "ai_engine_channel_ready", channel="dingtalk") == 1
    assert sample(page, "ai_engine_channel_ready", channel="qq") == 0
    age = "ai_engine_channel_last_event_age_seconds"
    assert sample(page, age, channel="dingtalk") == 2
    assert sample(page, age, channel="qq") is None


def test_endless_label_values_become_one_series():
    metrics = Metrics()
    for at in range(10 * VALUES_MAX):
        metrics.tool_call(f"tool-{at}", "ok", 0.1)
    page = metrics.render()
    name = "ai_engine_tool_call_seconds_count"
    assert sample(page, name, tool="tool-0", result="ok") == 1
    assert sample(page, name, tool=OTHER, result="ok") == 9 * VALUES_MAX
    assert sample(page, name, tool=f"tool-{VALUES_MAX}", result="ok") is None
    metrics.tool_call("tool-0", "ok", 0.1)
    metrics.tool_call("tool-0", "ok" + "!" * 200, 0.1)
    page = metrics.render()
    assert sample(page, name, tool="tool-0", result="ok") == 2
    assert sample(page, name, tool="tool-0", result="ok" + "!" * 78) == 1


def test_a_label_value_can_not_break_the_page():
    metrics = Metrics()
    metrics.inbound('a"} 1\nevil{x="', "refused:\ud800")
    page = metrics.render()
    name = "ai_engine_inbound_total"
    assert sample(page, name, channel='a"} 1\nevil{x="', result="refused:?") == 1


def test_two_engines_in_one_process_do_not_mix():
    one, two = Metrics(), Metrics()
    one.turn(1)
    assert sample(two.render(), "ai_engine_turn_seconds_count") == 0


async def test_the_page_has_build_and_process_figures_and_no_created_series():
    page = await busy_metrics().scrape()
    names = families(page)
    assert {"ai_engine_build_info", "process_cpu_seconds", "process_resident_memory_bytes"} <= set(
        names
    )
    assert b"_created" not in page


async def test_every_metric_is_in_the_reference_and_the_reference_names_no_other():
    page = await busy_metrics().scrape()
    ours = {
        name + "_total" if kind == "counter" else name
        for name, kind in families(page).items()
        if name.startswith("ai_engine_")
    }
    rows = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    documented = {line.split("`")[1].partition("{")[0] for line in rows}
    assert ours == documented


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (prometheus) is missing")
async def test_promtool_finds_nothing_wrong_with_the_page():
    page = await busy_metrics().scrape()
    ours = b"".join(
        line
        for line in page.splitlines(keepends=True)
        if b"ai_engine_" in line or b"process_" in line
    )
    checked = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True)
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")


async def test_a_blocked_loop_shows_as_lag():
    seen: asyncio.Queue[float] = asyncio.Queue()
    task = asyncio.create_task(LoopLag(seen.put_nowait, interval_seconds=0.001).run())
    try:
        async with asyncio.timeout(5):
            await seen.get()
            time.sleep(0.05)  # what a blocking call does to the loop
            assert max(await seen.get(), await seen.get()) >= 0.04
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
