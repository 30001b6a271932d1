"""A small IMAP client (RFC 3501, 2177): one task, one command at a time, all bounded.

Of our own since STARTTLS, what the server tells between commands, and limits on what it sends are
the point here. No command is logged, so no password can be.
"""

import asyncio
import base64
import contextlib
import re
import socket
import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ai_engine.channels.email.servers import Server
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable, Unauthenticated

ANSWER_SECONDS: Final = 30.0
"""A server that says nothing for so long is taken for dead."""
_LINE_MAX: Final = 1_048_576
_UNTAGGED_MAX: Final = 10_000
_LITERAL: Final = re.compile(rb"\{(\d{1,12})\+?\}\r\n$")
_NEWS: Final = re.compile(rb"\d+ (?:EXISTS|RECENT)\b", re.IGNORECASE)
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))

T = TypeVar("T")


class ConnectionLost(SendRetryable):
    """The connection is gone, dead, or speaks no IMAP: a new one is needed."""


@dataclass(slots=True)
class Reply:
    """One response line with the literals that belong to it, taken out of it."""

    line: bytes
    literals: list[bytes] = field(default_factory=list[bytes])


async def within(seconds: float, work: Awaitable[T], clock: Clock) -> T:
    """The outcome of `work`. Raises TimeoutError after `seconds` of the clock."""
    task = asyncio.ensure_future(work)
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        for each in (task, timer):
            each.cancel()
        await asyncio.gather(task, timer, return_exceptions=True)


class Imap:
    """One connection; made by `connect`, ended by `close`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: Clock
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._before: asyncio.StreamWriter | None = None
        """What the connection was before TLS: a writer that is forgotten closes it."""
        self._clock = clock
        self._tags = 0
        self.capabilities: frozenset[str] = frozenset()
        self.news = False
        """The server has told of new mails since this was last set to False."""
        self.last_sign = clock.monotonic()
        """When the server last said anything, on the monotonic clock."""

    # Connecting.

    @classmethod
    async def connect(cls, server: Server, context: ssl.SSLContext | None, clock: Clock) -> "Imap":
        """Connected, greeted and, where so configured, with TLS begun.

        Raises:
            ConnectionLost, SendRefused.
        """
        implicit = context if server.tls == "implicit" else None
        opening = asyncio.open_connection(server.host, server.port, ssl=implicit, limit=_LINE_MAX)
        try:
            reader, writer = await within(ANSWER_SECONDS, opening, clock)
        except (OSError, TimeoutError) as error:
            raise _not_reached(server, error) from error
        imap = cls(reader, writer, clock)
        imap._keep_alive()
        try:
            await imap._greeted(server, context)
        except BaseException:
            imap.close()
            raise
        return imap

    async def _greeted(self, server: Server, context: ssl.SSLContext | None) -> None:
        hello = await self._reply()
        if not hello.line.upper().startswith((b"* OK", b"* PREAUTH")):
            raise ConnectionLost(f"the IMAP server refuses connections: {_said(hello.line)}")
        if server.tls == "starttls":
            await self._start_tls(server, context)
        await self._ask_capabilities()

    async def _start_tls(self, server: Server, context: ssl.SSLContext | None) -> None:
        """What came unprotected is thrown away with its reader: it may be anybody's words."""
        await self.command("STARTTLS")
        reader = asyncio.StreamReader(limit=_LINE_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        upgrade = loop.start_tls(
            self._writer.transport, protocol, context or ssl.create_default_context(),
            server_hostname=server.host,
        )  # fmt: skip
        try:
            transport = await within(ANSWER_SECONDS, upgrade, self._clock)
        except (OSError, TimeoutError) as error:
            raise _not_reached(server, error) from error
        if transport is None:
            raise ConnectionLost("the IMAP server ended the connection instead of starting TLS")
        protocol.connection_made(transport)
        self._reader, self._before = reader, self._writer
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    def _keep_alive(self) -> None:
        """The kernel notices within minutes that the other end has vanished."""
        sock = self._writer.get_extra_info("socket")
        if not isinstance(sock, socket.socket) and not hasattr(sock, "setsockopt"):
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def _ask_capabilities(self) -> None:
        for reply in await self.command("CAPABILITY"):
            if reply.line.upper().startswith(b"CAPABILITY "):
                words = reply.line.decode("ascii", "replace").upper().split()
                self.capabilities = frozenset(words[1:])

    async def login(self, user: str, password: str) -> None:
        """By AUTHENTICATE PLAIN, which takes any characters, else by LOGIN.

        Raises:
            Unauthenticated: the server does not take them. ConnectionLost.
        """
        if "AUTH=PLAIN" in self.capabilities:
            word = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            result = await self._exchange("AUTHENTICATE PLAIN", [word.encode()])
        elif "LOGINDISABLED" in self.capabilities:
            raise Unauthenticated(
                "the IMAP server takes no password on this connection",
                hint="use imaps:// or imap+starttls://, and an app password where there are any",
            )
        else:
            result = await self._exchange(f"LOGIN {_quoted(user)} {_quoted(password)}")
        if result.status != "OK":
            said = _said(result.text)
            if "[UNAVAILABLE]" in said.upper() or "[INUSE]" in said.upper():
                raise ConnectionLost(f"the IMAP server cannot take logins now: {said}")
            raise Unauthenticated(
                "the IMAP server does not take this user and password",
                hint="check auth.user and auth.password; many providers want an app password",
            )
        await self._ask_capabilities()
        if "ID" in self.capabilities:  # RFC 2971; some providers let no nameless client read
            await self._exchange('ID ("name" "ai-engine")')

    # Commands.

    async def command(self, line: str, *, literal_max: int = 65_536) -> list[Reply]:
        """The untagged responses to one command.

        Raises:
            SendRefused: the server answers NO or BAD. ConnectionLost.
        """
        result = await self._exchange(line, literal_max=literal_max)
        if result.status != "OK":
            name = line.partition(" ")[0]
            raise SendRefused(f"the IMAP server refuses {name}: {_said(result.text)}")
        return result.untagged

    async def _exchange(
        self, line: str, answers: Sequence[bytes] = (), *, literal_max: int = 65_536
    ) -> "_Result":
        tag = await self._send(line)
        waiting = list(answers)
        untagged: list[Reply] = []
        while True:
            reply = await self._reply(literal_max)
            if reply.line.startswith(b"+"):
                await self._write((waiting.pop(0) if waiting else b"*") + b"\r\n")
            elif reply.line.startswith(b"* "):
                untagged.append(self._heard(reply))
                if len(untagged) > _UNTAGGED_MAX:
                    raise ConnectionLost("the IMAP server's answer has no end")
            elif reply.line.startswith(tag.encode() + b" "):
                status, _, text = reply.line[len(tag) + 1 :].partition(b" ")
                return _Result(status.decode("ascii", "replace").upper(), text, untagged)
            else:
                raise ConnectionLost("the server does not speak IMAP")

    async def idle(self, seconds: float) -> None:
        """Wait for news, at most so long; then see that the server still answers (RFC 2177).

        Raises:
            ConnectionLost: it does not.
        """
        tag = await self._send("IDLE")
        reply = await self._reply()
        while reply.line.startswith(b"* "):
            self._heard(reply)
            reply = await self._reply()
        if not reply.line.startswith(b"+"):
            raise SendRefused(f"the IMAP server refuses IDLE: {_said(reply.line)}")
        with contextlib.suppress(TimeoutError):  # nothing came: DONE shows whether it lives
            await within(seconds, self._until_news(), self._clock)
        await self._write(b"DONE\r\n")
        while not (reply := await self._reply()).line.startswith(tag.encode() + b" "):
            self._heard(reply)

    async def _until_news(self) -> None:
        while not self.news:
            self._heard(await self._read(65_536))

    def _heard(self, reply: Reply) -> Reply:
        """An untagged response without its star."""
        line = reply.line.removeprefix(b"* ")
        if _NEWS.match(line):
            self.news = True
        elif line.upper().startswith(b"BYE"):
            raise ConnectionLost(f"the IMAP server ends the connection: {_said(line)}")
        return Reply(line, reply.literals)

    # Bytes.

    async def _send(self, line: str) -> str:
        if not line.isprintable() or not line.isascii():
            raise SendRefused("an IMAP command cannot hold such characters")
        self._tags += 1
        tag = f"A{self._tags}"
        await self._write(f"{tag} {line}\r\n".encode())
        return tag

    async def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await within(ANSWER_SECONDS, self._writer.drain(), self._clock)
        except (OSError, TimeoutError) as error:
            raise ConnectionLost("the connection to the IMAP server was lost") from error

    async def _reply(self, literal_max: int = 65_536) -> Reply:
        """Within `ANSWER_SECONDS`."""
        try:
            return await within(ANSWER_SECONDS, self._read(literal_max), self._clock)
        except TimeoutError as error:
            raise ConnectionLost("the IMAP server does not answer") from error

    async def _read(self, literal_max: int) -> Reply:
        """One response. Raises ConnectionLost: the end, or more than it may send."""
        whole = Reply(b"")
        try:
            while True:
                part = await self._reader.readuntil(b"\r\n")
                self.last_sign = self._clock.monotonic()
                literal = _LITERAL.search(part)
                if literal is None:
                    whole.line += part.rstrip(b"\r\n")
                    return whole
                size = int(literal[1])
                if size > literal_max or len(whole.literals) >= 8:
                    raise ConnectionLost("the IMAP server sends more than was asked for")
                whole.line += part[: literal.start()] + b"{}"
                whole.literals.append(await self._reader.readexactly(size))
                if len(whole.line) > _LINE_MAX:
                    raise ConnectionLost("the IMAP server's line has no end")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionLost("the connection to the IMAP server was lost") from error

    async def logout(self) -> None:
        """Say goodbye, then close; a server that does not answer is left alone."""
        with contextlib.suppress(ConnectionLost):  # it is closed anyway
            await self._send("LOGOUT")
        self.close()

    def close(self) -> None:
        """Hard: nothing is waited for."""
        for writer in (self._writer, self._before):
            if writer is not None:
                writer.transport.abort()


@dataclass(slots=True)
class _Result:
    status: str
    text: bytes
    untagged: list[Reply]


def _not_reached(server: Server, error: BaseException) -> ConnectionLost:
    where = f"{server.host}:{server.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "for a private authority set the environment variable SSL_CERT_FILE"
        return ConnectionLost(f"the certificate of {where} is not trusted", hint=hint)
    return ConnectionLost(f"the IMAP server {where} cannot be reached")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _said(line: bytes) -> str:
    """A server's words, short and on one line."""
    text = line.decode("utf-8", "replace")[:200]
    return "".join(c if c.isprintable() else " " for c in text)
