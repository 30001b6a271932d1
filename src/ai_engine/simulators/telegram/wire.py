"""A wire log that shows no bot token and no webhook secret: Telegram puts the token into URLs."""

from collections.abc import Callable, Mapping
from typing import Any

from ai_engine.domain.message import Json
from ai_engine.simulators.wirelog import WireLog, as_text


class MaskedWireLog(WireLog):
    """`WireLog` with `<token>` and `<secret>` in their places."""

    def __init__(self, masks: Mapping[str, str], *, changed: Callable[[str, Json], None]) -> None:
        super().__init__(changed=changed)
        self._masks = {secret: shown for secret, shown in masks.items() if secret}

    def hide(self, secret: str, shown: str) -> None:
        """One more secret, such as one that `setWebhook` brings."""
        if secret:
            self._masks[secret] = shown

    def _masked(self, text: str) -> str:
        for secret, shown in self._masks.items():
            text = text.replace(secret, shown)
        return text

    def add(self, **row: Any) -> None:
        for name in ("path", "query", "error"):
            row[name] = self._masked(row.get(name, ""))
        for name in ("body", "answer"):
            row[name] = self._masked(as_text(row.get(name, b"")))
        headers: Mapping[str, str] = row.get("headers") or {}
        row["headers"] = {name: self._masked(value) for name, value in headers.items()}
        super().add(**row)
