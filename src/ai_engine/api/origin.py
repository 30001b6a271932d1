"""Where a browser's request comes from: our own page, or somebody else's."""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def from_our_page(headers: Mapping[str, str], allowed: Collection[str] = ()) -> bool | None:
    """Whether `Origin` is this server (by `Host`) or one of `allowed`; None without `Origin`.

    Browsers send `Origin` with every WebSocket and every POST and no page can forge it
    (RFC 6454, section 7). The scheme is not compared with ours: a proxy may have ended the TLS.
    """
    origin = headers.get("origin")
    if origin is None:
        return None
    if origin in allowed:
        return True
    parts = urlsplit(origin)
    host = headers.get("host", "").lower()
    return bool(host) and parts.scheme in ("http", "https") and parts.netloc.lower() == host
