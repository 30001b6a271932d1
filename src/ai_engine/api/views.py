"""The engine's data as the API shows it."""

from dataclasses import asdict

from ai_engine.channels.base import Channel, Profile
from ai_engine.channels.quality import grade
from ai_engine.domain.message import Json
from ai_engine.domain.session import Session, SessionEvent
from ai_engine.journal.base import DeadLetter, Stats
from ai_engine.routing.match import Decision


def session(s: Session) -> Json:
    """`session_id`, `user_id`, `context`, `expire_at` (Unix seconds) and more after them."""
    return {
        "session_id": s.id,
        "user_id": s.user_id,
        "context": {"last_skill": s.context.last_skill, "params": s.context.params},
        "expire_at": int(s.expire_at),
        "channel": s.channel,
        "key": s.key,
        "created_at": int(s.created_at),
        "last_event": s.last_event,
    }


def event(e: SessionEvent) -> Json:
    return {"n": e.n, "kind": e.kind, "at": e.at, **e.body}


def dead_letter(d: DeadLetter) -> Json:
    """Without the text: what people wrote is not part of an operator's listing."""
    shown = asdict(d)
    shown["chars"] = len(shown.pop("text"))
    return shown


def channel(c: Channel) -> Json:
    return {"name": c.name, "type": c.type, "grade": grade(c.type), **asdict(c.status())}


def profile(p: Profile) -> Json:
    return asdict(p)


def stats(s: Stats) -> Json:
    return asdict(s)


def decision(d: Decision) -> Json:
    return {
        "action": d.action,
        "skill_id": d.skill_id,
        "rule": d.rule,
        "text": d.text,
        "why": d.why,
    }
