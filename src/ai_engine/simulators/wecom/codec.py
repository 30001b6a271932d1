"""WeCom's XML as it sends it, and as much of it as an engine answers."""

import re
from collections.abc import Mapping

_FIELD = re.compile(r"<(\w+)>(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))</\1>", re.DOTALL)


def xml(fields: Mapping[str, str | int]) -> str:
    """`<xml>…</xml>`; texts as CDATA, numbers bare, as WeCom writes them."""
    parts = "\n".join(f"<{name}>{_value(value)}</{name}>" for name, value in fields.items())
    return f"<xml>{parts}</xml>"


def _value(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "<![CDATA[" + value.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def read(text: str) -> dict[str, str]:
    """The fields of an engine's answer; {} when it has none."""
    return {name: cdata or bare for name, cdata, bare in _FIELD.findall(text)}
