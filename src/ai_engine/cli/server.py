"""Runs an engine behind uvicorn in this process, until a signal."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from ai_engine.api.app import http_app
from ai_engine.cli.reach import RUN_FILE
from ai_engine.config.schema import ServerConfig
from ai_engine.domain.errors import ConfigInvalid, EngineError, Problem
from ai_engine.engine import Engine, Options, open_engine
from ai_engine.security.egress import is_loopback

CONNECTIONS_WAITING_MAX = 2048
GC_ALLOCATIONS = 10_000
"""Container objects that may come to be before the garbage collector looks at the young ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where HTTP is served."""

    host: str
    port: int
    """0: a free one."""


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the engine drains first."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def check_exposure(listener: Listener, server: ServerConfig) -> None:
    """Plain HTTP leaves the machine only behind a declared proxy. Raises ConfigInvalid."""
    if is_loopback(listener.host) or server.tls_cert or server.trusted_proxies:
        return
    raise ConfigInvalid(
        [
            Problem(
                where=f"--host {listener.host}",
                what="would serve plain HTTP to other machines.",
                fix="Set server.tls_cert and server.tls_key, or name your reverse proxy in "
                "server.trusted_proxies, or listen on 127.0.0.1.",
            )
        ]
    )


def check_tls(server: ServerConfig) -> None:
    """The certificate and its key can be used. Raises ConfigInvalid."""
    if not server.tls_cert:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password: a key that has one fails here, instead of asking on a terminal.
        context.load_cert_chain(server.tls_cert, server.tls_key or None, password="")
    except OSError as error:
        raise ConfigInvalid(
            [
                Problem(
                    where="$.server.tls_cert",
                    what=f"{server.tls_cert} with {server.tls_key} cannot be used: "
                    f"{error.strerror or error}.",
                    fix="Name a certificate chain and its key without a password, both PEM files "
                    "that the engine's user may read.",
                )
            ]
        ) from error


def bind(listener: Listener) -> socket.socket:
    """A listening socket. Raises ConfigInvalid when the address cannot be had."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((listener.host, listener.port))
    except OSError as error:
        sock.close()
        raise ConfigInvalid(
            [
                Problem(
                    where=f"--host {listener.host} --port {listener.port}",
                    what=f"cannot be listened on: {error.strerror or error}.",
                    fix="Stop what uses it, or choose another --port.",
                )
            ]
        ) from error
    sock.set_inheritable(True)
    return sock


@asynccontextmanager
async def serving(options: Options, listener: Listener) -> AsyncGenerator[tuple[Engine, str]]:
    """(engine, base URL) while HTTP is served; on leaving, messages are refused, then it drains."""
    settings = options.live.current.config.server
    check_exposure(listener, settings)
    check_tls(settings)
    with contextlib.closing(bind(listener)) as sock:
        async with open_engine(options) as engine:
            config = _uvicorn_config(engine, listener, settings)
            server = _Server(config)
            port = sock.getsockname()[1]
            # Not in a task group: whatever ends the block, the server closes its connections.
            running = asyncio.create_task(server.serve(sockets=[sock]))
            try:
                await _started(server, running)
                _settle_memory()
                scheme = "https" if settings.tls_cert else "http"
                shown = f"[{listener.host}]" if ":" in listener.host else listener.host
                yield engine, f"{scheme}://{shown}:{port}"
            finally:
                await engine.drain()
                server.should_exit = True
                await running


def _settle_memory() -> None:
    """What was made so far lives to the end: the collector need not look at it again.

    With Python's own thresholds a loaded engine spends a tenth of its time in collections that
    find nothing; nearly everything on the road is freed by reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)


async def _started(server: _Server, running: asyncio.Task[None]) -> None:
    up = asyncio.create_task(server.up.wait())
    await asyncio.wait({up, running}, return_when=asyncio.FIRST_COMPLETED)
    if not up.done():
        up.cancel()
        await running
        raise EngineError("the HTTP server ended while it started")


def _uvicorn_config(engine: Engine, listener: Listener, settings: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        http_app(engine, host=listener.host),
        loop="none",
        http="httptools",
        lifespan="off",
        log_config=None,
        log_level="warning",  # that it started is told by the ready line
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies) or None,
        backlog=CONNECTIONS_WAITING_MAX,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        ws_max_size=262_144,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop until the end; an EngineError comes out as itself, not inside a group."""
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(main)
    except* EngineError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[EngineError]) -> EngineError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def until_signal() -> asyncio.Future[str]:
    """The name of the first SIGTERM or SIGINT from now on; a second one ends the process at once.

    Ask before telling anyone that the engine is ready: from then on a signal may come.
    """
    loop = asyncio.get_running_loop()
    got: asyncio.Future[str] = loop.create_future()

    def on_signal(number: signal.Signals) -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGINT)
        if not got.done():
            got.set_result(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return got


@contextlib.asynccontextmanager
async def announced(data: Path, url: str, config: Path) -> AsyncGenerator[None]:
    """While it runs, the data directory says where this engine is and what it reads.

    `config` is absolute.
    """
    note = data / RUN_FILE
    mine = json.dumps({"pid": os.getpid(), "url": url, "config": str(config)})
    new = note.with_suffix(".new")
    new.write_text(mine, encoding="utf-8")
    new.replace(note)
    try:
        yield
    finally:
        # An engine that takes over has written its own.
        with contextlib.suppress(OSError):
            if note.read_text(encoding="utf-8") == mine:
                note.unlink()
