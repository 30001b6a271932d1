"""Structured logs."""

import asyncio
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.config.schema import Config, LogConfig
from ai_engine.observe.logging import (
    QUEUE_RECORDS_MAX,
    Logs,
    bind,
    bound_fields,
    secret_values,
    setup,
)
from ai_engine.observe.logline import LINE_BYTES_MAX, LineFormatter

log = logging.getLogger("ai_engine.test")


class Captured:
    def __init__(self) -> None:
        self.stream = io.BytesIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue().decode("utf-8")

    @property
    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.stream.getvalue().split(b"\n")[:-1]]


@contextmanager
def logs(secrets: tuple[str, ...] = (), **config) -> Iterator[Captured]:
    captured = Captured()
    with setup(LogConfig(**config), secrets=secrets, stream=captured.stream):
        yield captured


def test_a_record_is_one_json_object_with_time_level_logger_and_message():
    with logs() as captured:
        log.info("turn %s", "done", extra={"seconds": 0.25})
    (record,) = captured.records
    assert record.pop("ts").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "ai_engine.test",
        "msg": "turn done",
        "seconds": 0.25,
    }


async def test_bound_fields_are_on_every_record_inside_also_in_tasks_started_there():
    async def work(name: str) -> None:
        with bind(session=name):
            await asyncio.sleep(0)
            log.info("inside")

    with logs() as captured:
        with bind(trace_id="t1", channel="dingtalk"):
            async with asyncio.TaskGroup() as group:
                group.create_task(work("a"))
                group.create_task(work("b"))
            log.info("after")
        log.info("outside")
    seen = [(r.get("trace_id"), r.get("session")) for r in captured.records]
    assert seen == [("t1", "a"), ("t1", "b"), ("t1", None), (None, None)]
    assert bound_fields() == {}


def test_what_people_wrote_is_left_out_unless_the_configuration_allows_it():
    with logs() as captured:
        log.info("got", extra={"text": "my salary", "detail": {"text": "my salary", "n": 1}})
    (record,) = captured.records
    assert "salary" not in captured.text
    assert (record["text_chars"], record["detail"]) == (9, {"n": 1})
    with logs(message_text=True) as captured:
        log.info("got", extra={"text": "my salary", "detail": {"text": "my salary"}})
    assert captured.text.count("my salary") == 2


@pytest.mark.parametrize(
    "name",
    [
        "app_secret",
        "appSecret",
        "Authorization",
        "access_token",
        "X-AI-Engine-Signature",
        "apiKey",
        "sessionWebhook",
        "password",
        "set-cookie",
        "private_key",
        "authorization_header",
    ],
)
def test_a_field_with_a_secret_name_is_hidden_also_when_nested(name):
    with logs() as captured:
        log.info("x", extra={name: "hunter2hunter2", "deep": [{name: ["hunter2hunter2"]}]})
    assert "hunter2" not in captured.text
    assert captured.records[0][name] == "***"


def test_counts_and_times_with_secret_sounding_names_are_shown():
    with logs() as captured:
        log.info("x", extra={"prompt_tokens": 12, "token_expire": 7200, "design": "ok"})
    record = captured.records[0]
    assert (record["prompt_tokens"], record["token_expire"], record["design"]) == (12, 7200, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "GET https://api.dingtalk.com/x?access_token=SECRET99&y=1",
        "POST https://oapi.dingtalk.com/robot/sendBySession?session=SECRET99",
        "Authorization: Bearer SECRET99.abc",
        '{"appSecret": "SECRET99"}',
        "redis://user:SECRET99@host:6379/0",
        "password = SECRET99",
        "token: Bearer SECRET99",
        "the known one is SECRET99",
    ],
)
def test_a_secret_inside_a_message_or_a_traceback_is_hidden(text):
    with logs(secrets=("SECRET99",)) as known:
        log.info("%s", text)
    assert "SECRET99" not in known.text
    if "the known" not in text:
        with logs() as captured:
            try:
                raise ValueError(text)
            except ValueError:
                log.exception("failed %s", text)
        assert "SECRET99" not in captured.text


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(["json", "text"]))
def test_no_text_can_forge_a_line_or_send_control_characters(message, field, form):
    formatter = LineFormatter(LogConfig(format=form, message_text=True))
    record = logging.LogRecord("x", logging.INFO, "f", 1, message, (), None)
    line = formatter.line(record, {"field": field, "text": field}).decode("utf-8")
    assert line.endswith("\n")
    assert line[:-1].isprintable() or not any(c < " " or "\x7f" <= c <= "\x9f" for c in line[:-1])
    assert len(line.splitlines()) == 1
    assert not {"\u202e", "\u2066", "\u200b"} & set(line)


def test_a_traceback_for_people_is_indented_so_that_it_can_not_pass_for_records():
    with logs(format="text") as captured:
        try:
            raise ValueError("one\n12:00:00.000 INFO    forged: line")
        except ValueError:
            log.exception("failed")
    first, *rest = captured.text.splitlines()
    assert "ERROR   test: failed" in first
    assert rest
    assert all(line.startswith("    | ") for line in rest)


def test_a_record_is_bounded_whatever_it_holds():
    huge = {f"f{n}": "中\n" * 10_000 for n in range(200)}
    deep: dict = {}
    for _ in range(100):
        deep = {"deep": deep}
    for form in ("json", "text"):
        formatter = LineFormatter(LogConfig(format=form))
        record = logging.makeLogRecord({"msg": "\x00" * 1_000_000, "name": "x"})
        record.exc_text = "\x1b" * 1_000_000
        line = formatter.line(record, {**huge, "deep": deep, "number": 10**400})
        assert len(line) <= LINE_BYTES_MAX + 100
        if form == "json":
            assert json.loads(line)["cut"] > LINE_BYTES_MAX


def test_values_that_json_does_not_have_are_written_as_text():
    with logs() as captured:
        log.info(
            "x",
            extra={
                "big": 2**70,
                "nan": float("nan"),
                "set": {1},
                "object": ValueError("why"),
                "keys": {1: "a"},
            },
        )
    record = captured.records[0]
    assert record["big"] == str(2**70)
    assert record["nan"] is None
    assert (record["set"], record["object"], record["keys"]) == ([1], "why", {"1": "a"})


def test_a_field_can_not_replace_the_records_own_ones():
    with logs() as captured, bind(level="critical", ts="never"):
        log.info("x")
    record = captured.records[0]
    assert (record["level"], record["level_"], record["ts_"]) == ("info", "critical", "never")


def test_a_wrong_log_call_is_reported_with_its_place_and_without_its_arguments():
    with logs() as captured:
        log.info("%d of %s", "private words")
    (record,) = captured.records
    assert (record["msg"], record["error"]) == ("wrong log call", "TypeError")
    assert "test_observe_logging.py:" in record["where"]
    assert "private" not in captured.text


def test_the_level_is_taken_from_the_configuration_and_can_change():
    captured = Captured()
    with setup(LogConfig(level="warning"), stream=captured.stream) as running:
        log.info("no")
        running.configure(LogConfig(level="info", format="text"))
        log.info("yes")
    assert captured.text.rstrip().endswith("test: yes")


def test_warnings_of_the_language_are_logged_too():
    with logs() as captured, warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # catch_warnings has put back the plain one
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "old thing" in captured.text


def test_every_secret_of_a_configuration_is_known_to_the_log():
    config = Config.model_validate(
        {
            "channels": {"dingtalk": {"auth": {"app_id": "id", "app_secret": "very-secret"}}},
            "models": {"m": {"base_url": "http://x/v1", "model": "m", "api_key": "sk-12345"}},
        }
    )
    assert sorted(secret_values(config)) == ["sk-12345", "very-secret"]
    with logs(secrets=tuple(secret_values(config))) as captured:
        log.info("sent very-secret and sk-12345")
    assert captured.records[0]["msg"] == "sent *** and ***"


class Stuck(io.BytesIO):
    """Standard error that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.free = threading.Event()

    def write(self, data) -> int:
        self.reached.set()
        assert self.free.wait(30)
        return super().write(data)


def test_a_reader_that_stopped_costs_records_and_never_time():
    stream = Stuck()
    running: Logs = setup(LogConfig(), stream=stream)
    try:
        log.info("first")
        assert stream.reached.wait(5)
        for _ in range(QUEUE_RECORDS_MAX + 7):
            log.info("more")
        assert running.dropped == 7
    finally:
        stream.free.set()
        running.close()
    last = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(last) == 1 + QUEUE_RECORDS_MAX + 1
    assert sum(record.get("dropped", 0) for record in last) == 7


def test_a_closed_standard_error_is_counted_and_ends_nothing():
    stream = io.BytesIO()
    running = setup(LogConfig(), stream=stream)
    stream.close()
    log.info("lost")
    running.close()
    assert running.dropped == 1


def test_closing_gives_the_root_logger_back():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    running = setup(LogConfig(), stream=io.BytesIO())
    assert root.handlers != before[0]
    running.close()
    running.close()
    assert (root.handlers, root.level) == before
