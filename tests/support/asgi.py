"""Speaks ASGI to an application as a server does, without a socket."""

import asyncio
import json
from typing import Any


async def ask(
    app: Any, method: str, path: str, *, token: str = "", body: Any = None, remote: str = "9.9.9.9"
) -> tuple[int, dict[str, str], Any]:
    """(status, headers, JSON) of one request."""
    path, _, query = path.partition("?")
    headers = [(b"content-type", b"application/json")]
    if token:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    arriving = [
        {"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        if arriving:
            return arriving.pop()
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "client": (remote, 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }
    async with asyncio.timeout(5):
        await app(scope, receive, send)
    found = b"".join(m.get("body", b"") for m in sent[1:])
    answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], answered, json.loads(found) if found else None
