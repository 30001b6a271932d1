"""The process that serves one local model: llama.cpp's own OpenAI-compatible HTTP server.

    python -m ai_engine.assistant.local_server --models DIR --name smollm2 --port 0

Prints `ready <base url>` once requests can come. Ends on SIGTERM or SIGINT, and, with `--leash`,
as soon as its standard input closes: then it never outlives the process that started it.
"""

import argparse
import contextlib
import importlib
import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ai_engine.assistant.local import LocalModelFailed, is_pulled, known_model, packages_dir

KEY_VARIABLE = "AI_ENGINE_LOCAL_MODEL_KEY"
"""Environment variable with the key that clients must send; needed beyond this machine."""
_SLOTS = 2
_CACHE_MIB = 64
_NICE = 5
_REPEAT_PENALTY = 1.06
"""Small models run in circles without it."""


def check_host(host: str) -> None:
    """Only this machine may ask without a key. Raises LocalModelFailed."""
    loopback = host == "localhost"
    with contextlib.suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(host).is_loopback
    if not loopback and not os.environ.get(KEY_VARIABLE):
        raise LocalModelFailed(
            f"--host {host} would let other machines use the model without a key",
            hint=f"set {KEY_VARIABLE}, or listen on 127.0.0.1",
        )


def start(models: Path, name: str, host: str, port: int) -> Any:
    """Load the model and serve it; the returned server has `listening_address`.

    Raises:
        LocalModelFailed: not pulled, or the runtime cannot load it or listen there.
    """
    model = known_model(name)
    if not is_pulled(models, name):
        raise LocalModelFailed(
            f"{name} is not in {models}", hint=f"run: ai-engine model pull {name}"
        )
    check_host(host)
    packages = packages_dir(models, name)
    sys.path.append(str(packages))  # last, so that nothing in there can stand in for ours
    runtime: Any = importlib.import_module("xllamacpp")
    params = runtime.CommonParams()
    params.model.path = str(packages / model.weights)
    params.model_alias = {name}
    params.hostnames = [host]
    params.port = port
    params.n_ctx = model.context_tokens * _SLOTS
    params.n_parallel = _SLOTS
    params.n_predict = model.max_tokens
    params.cache_ram_mib = _CACHE_MIB
    params.cors_origins = f"http://{host}"
    params.sampling.penalty_repeat = _REPEAT_PENALTY
    params.sampling.penalty_last_n = 128
    params.ui = False
    params.offline = True
    params.verbosity = -1
    if key := os.environ.get(KEY_VARIABLE):
        params.api_keys = [key]
    try:
        return runtime.Server(params)
    except RuntimeError as error:
        raise LocalModelFailed(f"{name} could not be served on {host}:{port}: {error}") from error


def say_ready(base_url: str) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(f"ready {base_url}\n")
    sys.stdout.flush()


def run(
    models: Path,
    name: str,
    *,
    host: str,
    port: int,
    leash: bool = False,
    announce: Callable[[str], None] = say_ready,
) -> None:
    """Serve until told to stop; `announce` gets the base URL. Raises LocalModelFailed."""
    stopped = threading.Event()

    def stop(signum: int, frame: object) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if leash:
        threading.Thread(target=_hold_leash, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(_NICE)  # the engine answers first
    server = start(models, name, host, port)
    announce(f"{server.listening_address}/v1")
    stopped.wait()
    del server


def _hold_leash() -> None:
    """End the process when standard input closes, whatever it is doing."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """The process's entry; 1 and one sentence on standard error when it cannot serve."""
    parser = argparse.ArgumentParser(prog="ai_engine.assistant.local_server")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--leash", action="store_true")
    asked = parser.parse_args(argv)
    try:
        run(asked.models, asked.name, host=asked.host, port=asked.port, leash=asked.leash)
    except LocalModelFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
