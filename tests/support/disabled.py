"""A pytest plugin that disables one function of the product, to see which tests notice.

`AI_ENGINE_DISABLED=module:function=how`, where `how` is what the function does instead: `none`,
`false`, `true`, or `unique` (another text at each call). Its code is exchanged, so that every
module that imported it by name has the disabled one. The outcome of each test goes to the file
`AI_ENGINE_OUTCOMES` as JSON: node id → passed | failed.
"""

import importlib
import inspect
import json
import os
from pathlib import Path

OUTCOMES: dict[str, str] = {}


def _none(*_, **__):
    return None


async def _async_none(*_, **__):
    return None


def _false(*_, **__):
    return False


def _true(*_, **__):
    return True


def _unique(*_, **__):
    import uuid

    return uuid.uuid4().hex


HOW = {"none": _none, "false": _false, "true": _true, "unique": _unique}


def disable(subject, how):
    """Exchange the code of `module:function` or `module:Class.method`."""
    module, _, path = subject.partition(":")
    found = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    found = inspect.unwrap(found)
    stub = _async_none if inspect.iscoroutinefunction(found) else HOW[how]
    found.__code__ = stub.__code__
    found.__defaults__ = found.__kwdefaults__ = None


def pytest_configure(config):
    subject, _, how = os.environ["AI_ENGINE_DISABLED"].partition("=")
    disable(subject, how)


def pytest_runtest_logreport(report):
    name = report.nodeid.partition("[")[0]
    if report.failed:
        OUTCOMES[name] = "failed"
    elif report.when == "call":
        OUTCOMES.setdefault(name, "passed")


def pytest_sessionfinish(session):
    Path(os.environ["AI_ENGINE_OUTCOMES"]).write_text(json.dumps(OUTCOMES), encoding="utf-8")
