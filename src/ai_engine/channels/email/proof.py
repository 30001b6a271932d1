"""Who really wrote: the receiving server's verdict on SPF, DKIM and DMARC, and the allow-list.

A From field proves nothing by itself. The server that took the mail in has checked it and has
written `Authentication-Results` (RFC 8601) above all that the sender wrote; it must take out what
others wrote in its name (section 5). So only the topmost such field counts, and only when it names
the receiving organisation. Without the field a mail is taken only when its author had logged in to
the same server (RFC 3848: `with ESMTPSA`), since servers do not check their own people's mail.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ai_engine.channels.email.addresses import Mailbox, aligned, allowed, same_organisation
from ai_engine.domain.errors import Forbidden

_FIELD_MAX: Final = 16_384
_RESULTS_MAX: Final = 50
_HOPS_MAX: Final = 4
_PART: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^;"])+')
_WORD: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_AROUND_EQUALS: Final = re.compile(r"\s+=\s*|=\s+")
_BY: Final = re.compile(r"(?:^|\s)by\s+([A-Za-z0-9.-]+)", re.IGNORECASE)
_WITH: Final = re.compile(r"(?:^|\s)with\s+(?:UTF8)?([A-Z]+)", re.IGNORECASE)
_LOCAL: Final = ("LMTP", "LMTPA", "LMTPS", "LMTPSA", "LOCAL")
_LOGGED_IN: Final = ("ESMTPA", "ESMTPSA")


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the verdict."""

    method: str
    value: str
    properties: dict[str, str] = field(default_factory=dict[str, str])


def trusted(
    headers: Sequence[tuple[str, str]], sender: Mailbox, allow: Sequence[str], ours: Sequence[str]
) -> None:
    """The seam: returns when the mail's author is proved and on the list.

    Args:
        headers: names in lower case, as they stand, topmost first.
        ours: host names of the receiving organisation: the IMAP server, the mailbox's domain.

    Raises:
        Forbidden: not on the list, not proved, or proved to be forged.
    """
    if not allowed(sender.address, allow):
        raise Forbidden("the sender is not in allow_senders")
    found = next((value for name, value in headers if name == "authentication-results"), None)
    if found is None:
        if not _logged_in(headers, sender, ours):
            raise Forbidden("the mail server wrote no Authentication-Results: who wrote is unknown")
        return
    server, results = parse(found)
    if not any(same_organisation(server, host) for host in (*ours, *_receiver(headers))):
        raise Forbidden("the topmost Authentication-Results is not the receiving server's")
    _judge(results, sender.domain)


def _judge(results: Sequence[Result], domain: str) -> None:
    """DMARC decides where it was checked; else an aligned DKIM signature or SPF sender.

    Raises:
        Forbidden: none of them speaks for the domain in From.
    """
    dmarc = [each for each in results if each.method == "dmarc"]
    for each in dmarc:
        named = each.properties.get("header.from", domain)
        if each.value in ("pass", "bestguesspass") and named.lower() == domain:
            return
    if any(each.value == "fail" for each in dmarc):
        raise Forbidden("DMARC failed: the mail is not from the domain that From names")
    for each in results:
        if each.value == "pass" and any(aligned(name, domain) for name in _speaks_for(each)):
            return
    raise Forbidden("neither SPF nor DKIM speaks for the domain that From names")


def _speaks_for(result: Result) -> list[str]:
    """The domains that a passed check proves."""
    names = {"dkim": ("header.d", "header.i"), "spf": ("smtp.mailfrom",)}.get(result.method, ())
    values = [result.properties.get(name, "") for name in names]
    return [value.rpartition("@")[2] for value in values if value]


def parse(value: str) -> tuple[str, list[Result]]:
    """(authserv-id, results) of one field (RFC 8601, 2.2); what cannot be read is left out."""
    plain = _AROUND_EQUALS.sub("=", _without_comments(value[:_FIELD_MAX]))
    parts = [_WORD.findall(part) for part in _PART.findall(plain)]
    server = parts[0][0].lower() if parts and parts[0] and "=" not in parts[0][0] else ""
    found = (_result(part) for part in parts[1 : _RESULTS_MAX + 1])
    return server, [each for each in found if each is not None]


def _result(words: Sequence[str]) -> Result | None:
    """`dkim=pass header.d=example.org` as its words. A value may hold `=` and quotes of its own,
    as the local part of an address does: only the first `=` of a word ends its name."""
    pairs = [(name.lower(), value) for name, equals, value in _pairs(words) if equals]
    if not pairs:
        return None
    properties: dict[str, str] = {}
    for name, value in pairs[1:]:
        whole = _QUOTED.fullmatch(value)
        properties.setdefault(name, whole[1] if whole else value)
    return Result(pairs[0][0].partition("/")[0], pairs[0][1].lower(), properties)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    return (word.partition("=") for word in words)


def _without_comments(value: str) -> str:
    """Comments nest and may hold anything; those within quotes are none."""
    found: list[str] = []
    depth, quoted, skip = 0, False, False
    for char in value:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char == '"' and not depth:
            quoted = not quoted
        elif char == "(" and not quoted:
            depth += 1
        elif char == ")" and not quoted and depth:
            depth -= 1
            continue
        if not depth:
            found.append(char)
    return "".join(found)


def _received(headers: Sequence[tuple[str, str]]) -> list[str]:
    found = [value for name, value in headers if name == "received"]
    return [_without_comments(value[:_FIELD_MAX]) for value in found[:_HOPS_MAX]]


def _receiver(headers: Sequence[tuple[str, str]]) -> list[str]:
    """The host that wrote the topmost Received field which names one: our own server's, since
    each hop writes above the last (RFC 5321, 4.4)."""
    for value in _received(headers):
        by = _BY.search(value)
        if by is not None and not by[1].rpartition(".")[2].isdigit():
            return [by[1]]
    return []


def _logged_in(headers: Sequence[tuple[str, str]], sender: Mailbox, ours: Sequence[str]) -> bool:
    """Whether the newest hop that is no mere delivery took the mail from somebody logged in, on
    the server of the sender's own domain. What a stranger writes stands below the server's own
    hop, which then says that nobody had logged in."""
    if not any(same_organisation(sender.domain, host) for host in ours):
        return False
    for value in _received(headers):
        by, how = _BY.search(value), _WITH.search(value)
        if by is None or how is None:
            return False
        if not any(same_organisation(by[1], host) for host in ours):
            return False
        if how[1].upper() not in _LOCAL:
            return how[1].upper() in _LOGGED_IN
    return False
