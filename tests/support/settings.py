"""Writes configurations for tests, private as the engine wants them."""

import json
import os
from pathlib import Path
from typing import Any

from ai_engine.config.load import Attempt, attempt
from ai_engine.domain.errors import Problem

GUIDE = Path(__file__).parents[1] / "fixtures" / "guide"
TYPES = ("dingtalk", "webchat", "webhook")

DINGTALK = {"auth": {"app_id": "ding1", "app_secret": "hush"}}
MODEL = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}


def write(folder: Path, content: object = None, name: str = "ai-engine.json") -> Path:
    """A file of mode 0600 with this text, these bytes, or this value as JSON."""
    path = folder / name
    if isinstance(content, bytes):
        raw = content
    else:
        raw = (content if isinstance(content, str) else json.dumps(content or {})).encode()
    draft = folder / f".{name}.new"
    draft.write_bytes(raw)
    draft.chmod(0o600)
    os.replace(draft, path)
    return path


def read(path: Path, **options: Any) -> Attempt:
    """`attempt` with the built-in channel types and no environment variables."""
    return attempt(path, **{"channel_types": TYPES, "environ": {}, **options})


def tell(problem: Problem) -> str:
    """A problem in one line."""
    return f"{problem.where}: {problem.what} {problem.fix}"
