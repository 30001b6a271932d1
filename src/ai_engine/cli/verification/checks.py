"""What a channel must do, one check each. The names are those of the report."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ai_engine.cli.verification import script
from ai_engine.cli.verification.world import World
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError, Malformed

CHECK_SECONDS_MAX: Final = 60.0
QUIET_SECONDS: Final = 0.5
"""How long nothing more must come where one answer is the right number."""
DELAY_SECONDS: Final = 1.0
"""How late a slow platform answers."""
AGAIN_SECONDS: Final = 5.0
"""After so long without an answer a person writes again."""


class Failed(Exception):
    """A check found something else than it should have."""


class Skipped(Exception):
    """The platform, or this mode of it, has no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    id: str
    zh: str
    en: str
    run: Callable[[World], Awaitable[str]]
    """A line of detail. Raises Failed, Skipped, TimeoutError, EngineError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    id: str
    zh: str
    en: str
    outcome: str
    """passed | failed | skipped"""
    seconds: float
    detail: str


async def run(check: Check, world: World, clock: Clock) -> Result:
    """One check; whatever it finds is a result, and the knobs are back at rest afterwards."""
    started = clock.monotonic()
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            outcome, detail = "passed", await check.run(world)
    except Skipped as skipped:
        outcome, detail = "skipped", str(skipped)
    except TimeoutError as late:
        outcome, detail = "failed", str(late) or "no answer came in time"
    except (Failed, EngineError) as failed:
        outcome, detail = "failed", str(failed)
    finally:
        world.faults.clear()
    seconds = round(clock.monotonic() - started, 2)
    return Result(
        id=check.id, zh=check.zh, en=check.en, outcome=outcome, seconds=seconds, detail=detail
    )


async def _only(world: World, words: str, after: int, count: int) -> None:
    """These words were said so often since entry `after`, and not once more."""
    await asyncio.sleep(QUIET_SECONDS)
    found = [entry for entry in world.said_after(after) if words in entry.text]
    if len(found) != count:
        raise Failed(f"{len(found)} answers instead of {count}")


# Messages.


async def _text(world: World) -> str:
    await world.ask("echo good morning 早上好", "You said: good morning 早上好")
    return "both ways"


async def _group(world: World) -> str:
    try:
        await world.ask("echo to all", "You said: to all", group=True)
    except Malformed as error:
        raise Skipped(error.message) from error
    return "the mention was taken out"


async def _long(world: World) -> str:
    limit, unit = world.capabilities.text_limit, world.capabilities.text_unit
    after = world.last
    await world.say("long")
    wanted = [line for line in script.long_text(world.script.length).split("\n") if line]

    def look() -> bool | None:
        text = "\n".join(entry.text for entry in world.said_after(after))
        return True if all(line in text for line in wanted) else None

    await world.simulator.transcript.wait("", look, 30.0)
    text = "\n".join(entry.text for entry in world.said_after(after))
    places = [text.index(line) for line in wanted]
    if places != sorted(places):
        raise Failed("the parts are out of order")
    parts = len(world.said_after(after))
    return f"{len(wanted)} lines in {parts} messages (limit {limit} {unit})"


# Cards.


async def _card(world: World) -> str:
    if not world.capabilities.cards:
        raise Skipped("no cards here; they are shown as text")
    entry = await world.ask("card", script.CARD_TITLE)
    return f"as {entry.kind}, {len(entry.buttons)} buttons"


async def _button(world: World) -> str:
    if not world.capabilities.cards:
        raise Skipped("no cards here")
    entry = await world.ask("card", script.CARD_TITLE)
    labels = [button.get("label") for button in entry.buttons]
    if "Press me" not in labels:
        raise Skipped("buttons do not come back in this set-up")
    after = world.last
    await world.simulator.press(entry.id, labels.index("Press me"))
    await world.heard(script.PRESSED, after)
    return "came back and was answered"


async def _stream(world: World) -> str:
    if not world.capabilities.streaming:
        raise Skipped("answers cannot grow in this set-up")
    entry = await world.ask("stream", "".join(script.PIECES))
    if entry.state == "failed":
        raise Failed("the stream ended as failed")
    if not entry.edits:  # such as an answer to a command; one in a group can grow then
        entry = await world.ask("stream", "".join(script.PIECES), group=True)
    if not entry.edits:
        raise Failed("the answer came in one piece")
    return f"{entry.edits} updates, then finished"


async def _chain(world: World) -> str:
    await world.ask("chain", f"Skills say: {script.CITY} / {script.SKY} in {script.CITY}")
    return "two skills, one after the other, in one turn"


async def _slow(world: World) -> str:
    world.script.go_on.clear()
    after = world.last
    message_id = await world.say("slow")
    entry = await world.simulator.wait_settled(message_id, 10.0)
    if entry.status != "delivered":
        raise Failed(f"the platform was not told in time: {entry.detail}")
    if any(script.SLOW in each.text for each in world.said_after(after)):
        raise Failed("answered before the model did")
    world.script.go_on.set()
    await world.heard(script.SLOW, after)
    return "acknowledged before the answer was known"


# Faults.


async def _duplicate(world: World) -> str:
    after = world.last
    world.faults.duplicate = 2
    await world.ask("echo once", "You said: once")
    await _only(world, "You said: once", after, 1)
    return "sent three times, answered once"


async def _forged(world: World) -> str:
    if world.mode in ("stream", "poll"):
        raise Skipped("we hold the connection: nobody calls us")
    after = world.last
    world.faults.wrong_secret = True
    message_id = await world.say("echo forged")
    entry = await world.simulator.wait_settled(message_id, 20.0)
    if entry.status == "delivered":
        raise Failed("a message with a wrong signature was taken")
    await _only(world, "forged", after, 0)
    return entry.detail


async def _network(world: World) -> str:
    after = world.last
    world.faults.error_burst = 1
    world.faults.drop_answer = 1
    await world.say("echo through the storm")
    await world.heard("You said: through the storm", after, 40.0)
    return "an error and a cut connection while answering"


async def _timeout(world: World) -> str:
    world.faults.answer_delay_seconds = DELAY_SECONDS
    after = world.last
    await world.say("echo patience")
    await world.heard("You said: patience", after, 40.0)
    return "the platform answered late"


async def _token(world: World) -> str:
    world.faults.expired_token = 1
    await world.ask("echo renewed", "You said: renewed")
    return "an expired token was renewed" if not world.faults.expired_token else "no token is used"


async def _throttle(world: World) -> str:
    after = world.last
    world.faults.throttle_after = 0
    world.faults.throttle_times = 1
    wanted = [f"You said: number {n}" for n in range(3)]
    for text in wanted:
        await world.say(text.replace("You said:", "echo"))

    def look() -> str | None:
        said = [e.text for e in world.said_after(after) if e.state != "streaming"]
        text = "\n".join(said)
        return text if all(words in text for words in wanted) else None

    text = await world.simulator.transcript.wait("", look, 50.0)
    places = [text.index(words) for words in wanted]
    if places != sorted(places):
        raise Failed(f"out of order: {text}")
    return "throttled, then all in order"


async def _reconnect(world: World) -> str:
    if world.mode != "stream":
        raise Skipped("no long connection in this mode")
    world.faults.drop_at_frame = 1
    first = await world.say("echo before")
    await world.simulator.wait_settled(first, 20.0)
    after = world.last
    async with asyncio.timeout(40):
        while True:
            await world.say("echo after")
            try:
                await world.heard("You said: after", after, AGAIN_SECONDS)
            except TimeoutError:
                continue
            return "the connection was cut and came back"


CHECKS: Final = (
    Check(id="text", zh="收发文本", en="text both ways", run=_text),
    Check(id="group", zh="群聊", en="group chat", run=_group),
    Check(id="long", zh="长回复拆分", en="long answers", run=_long),
    Check(id="card", zh="卡片渲染", en="a card is rendered", run=_card),
    Check(id="button", zh="卡片按钮", en="its button is pressed", run=_button),
    Check(id="stream", zh="流式回复", en="streaming", run=_stream),
    Check(id="skills", zh="多技能组合", en="several skills in one turn", run=_chain),
    Check(id="slow", zh="先确认后回答", en="acknowledged before the work", run=_slow),
    Check(id="duplicate", zh="重复推送", en="a duplicate", run=_duplicate),
    Check(id="signature", zh="错误签名", en="a bad signature", run=_forged),
    Check(id="network", zh="网络中断", en="the network is cut", run=_network),
    Check(id="timeout", zh="平台响应慢", en="the platform is slow", run=_timeout),
    Check(id="token", zh="令牌过期", en="an expired token", run=_token),
    Check(id="throttle", zh="平台限流", en="throttling", run=_throttle),
    Check(id="reconnect", zh="断线重连", en="a lost connection", run=_reconnect),
)
