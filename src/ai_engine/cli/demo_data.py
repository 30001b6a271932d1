"""What the demo starts with: a secret of its own, a configuration, a calendar with a few events."""

import json
import os
import secrets
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

ZONE: Final = ZoneInfo("Asia/Shanghai")

RULES: Final[list[dict[str, Any]]] = [
    {"name": "assistant", "pattern": "^/ai@", "action": "forward_to_engine", "priority": 10},
    {"name": "bot", "pattern": "^@bot", "action": "trigger_skill", "skill_id": "calendar_query"},
    {
        "name": "add to the calendar",
        "pattern": "^(提醒|安排|预定|预约|add to (my )?calendar:?)",
        "action": "trigger_skill",
        "skill_id": "calendar_add",
    },
    {
        "name": "calendar",
        "pattern": "(?i)(日程|安排|what'?s on|my calendar)",
        "action": "trigger_skill",
        "skill_id": "calendar_query",
    },
    {
        "name": "weather",
        "pattern": "(?i)(天气|weather)",
        "action": "trigger_skill",
        "skill_id": "weather_query",
    },
]


def prepare(data: Path) -> None:
    """The directory and what is in it at the first start."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    calendar = data / "calendar.ics"
    if not calendar.exists():
        calendar.write_bytes(_calendar(datetime.now(ZONE)))


def secret(data: Path) -> str:
    """The simulated app's secret, made once for this directory."""
    path = data / "app-secret"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text(encoding="ascii").strip()


def write_config(
    data: Path,
    *,
    app_id: str,
    platform: str,
    weather: str,
    model: dict[str, Any] | None,
    prompt: str,
) -> Path:
    """`ai-engine.json` of the demo, written anew at each start since ports may differ."""
    config: dict[str, Any] = {
        "channels": {
            "dingtalk": {
                "auth": {"app_id": app_id, "app_secret": "${file:app-secret}"},
                "endpoints": {"api": platform, "oapi": platform},
            }
        },
        "routing_rules": RULES,
        "skills": {"weather": {"geocoding_url": weather, "forecast_url": weather}},
        "log": {"level": "warning", "format": "text"},
    }
    real = _real_model()
    chosen = real or model
    if chosen is not None:
        # The pages name the model that answered by this key.
        name = "main" if real else str(chosen["model"])
        config["models"] = {name: chosen}
        config["assistant"] = {"model": name, **({} if real else {"system_prompt": prompt})}
    path = data / "ai-engine.json"
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(config, file, ensure_ascii=False, indent=2)
    new.replace(path)
    return path


def _real_model() -> dict[str, Any] | None:
    """From MODEL_BASE_URL, MODEL_NAME, MODEL_API_KEY; the key stays in the environment."""
    if not os.environ.get("MODEL_BASE_URL"):
        return None
    model = {
        "base_url": "${MODEL_BASE_URL}",
        "model": os.environ.get("MODEL_NAME", "default"),
    }
    if os.environ.get("MODEL_API_KEY"):
        model["api_key"] = "${MODEL_API_KEY}"
    return model


def _calendar(now: datetime) -> bytes:
    """A few events around now, as any calendar program would export them."""
    tomorrow = now.date() + timedelta(days=1)
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//ai-engine//demo//"]
    for uid, title, day, hour, minutes, repeats in (
        ("standup", "晨会 / stand-up", now.date(), 9, 15, "DAILY"),
        ("review", "产品评审 / product review", tomorrow, 14, 90, ""),
        ("lunch", "与王总午餐 / lunch with Ms Wang", tomorrow, 12, 60, ""),
        ("report", "周报 / weekly report", tomorrow, 17, 30, "WEEKLY"),
    ):
        start = datetime.combine(day, time(hour), ZONE).astimezone(UTC)
        end = start + timedelta(minutes=minutes)
        lines += [
            "BEGIN:VEVENT",
            f"UID:{uid}@demo",
            f"DTSTAMP:{stamp}",
            f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
            f"DTEND:{end:%Y%m%dT%H%M%SZ}",
            f"SUMMARY:{title}",
            *([f"RRULE:FREQ={repeats}"] if repeats else []),
            "END:VEVENT",
        ]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()
