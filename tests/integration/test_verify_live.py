"""`ai-engine verify --live`: a channel on its platform, a person who does what they are told."""

import asyncio

from ai_engine.cli.server import Listener
from ai_engine.cli.verification import live
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.simulators.types import build

from support.dovecot import Dovecot
from support.mail_world import MailWorld, written
from support.smtp import Smtp
from support.synapse import Person, synapse

ANY = Listener(host="127.0.0.1", port=0)


async def tried(name, settings, act, **more):
    """Outcomes by step; `act(live, words, number)` does what the person is told."""
    doing = set()
    world = []

    def tell(zh, en):
        del zh
        words = en.rpartition(": ")[2].split(" - ")[0]
        doing.add(asyncio.create_task(act(world[0], words)))

    async with live.connected(name, settings, ANY, tell, 20.0) as made:
        world.append(made)
        results = await live.run(made, lambda _: None, SystemClock(), **more)
        await asyncio.gather(*doing)
    return {result.id: (result.outcome, result.detail) for result in results}


def passed(results):
    return {step: detail for step, (outcome, detail) in results.items() if outcome != "passed"}


async def test_a_channel_is_tried_with_a_person_who_follows():
    async with build("slack", {}) as simulator:
        settings = ChannelConfig.model_validate(
            {
                "type": "slack",
                "mode": "stream",
                "auth": simulator.auth_defaults,
                "endpoints": {"api": simulator.info()["endpoints"]["api"]},
            }
        )

        async def act(_, words):
            if words.startswith("Press"):
                entries = simulator.transcript.list()
                card = next(e for e in reversed(entries) if e.buttons)
                labels = [b["label"] for b in card.buttons]
                await simulator.press(card.id, labels.index("Press me"))
            else:
                await simulator.say("zhangsan", words)

        assert passed(await tried("work", settings, act)) == {}


async def test_what_does_not_come_is_said():
    async with build("slack", {}) as simulator:
        settings = ChannelConfig.model_validate(
            {
                "type": "slack",
                "mode": "stream",
                "auth": simulator.auth_defaults,
                "endpoints": {"api": simulator.info()["endpoints"]["api"]},
            }
        )

        async with live.connected("work", settings, ANY, lambda *_: None, 0.2) as made:
            [result] = await live.run(made, lambda _: None, SystemClock(), ("text",))
        assert result.outcome == "failed"
        assert "no such answer" in result.detail


async def test_matrix_is_tried_on_a_real_homeserver(tmp_path):
    with synapse(tmp_path) as server:
        bot, account = server.register("bot"), server.register("ann")
        person = Person(server, account)
        auth = {"homeserver": server.url, "user": bot.user_id, "access_token": bot.token}
        settings = ChannelConfig.model_validate({"type": "matrix", "auth": auth})
        rooms = []

        async def act(_, words):
            if not rooms:
                rooms.append(await person.room(bot.user_id, direct=True))
                await person.until(
                    lambda e: (
                        e.get("state_key") == bot.user_id
                        and e["content"].get("membership") == "join"
                    )
                )
            if words.startswith("Press"):
                card = await person.hear(bot.user_id, "Order 4711")
                await person.react(rooms[0], card["event_id"], "1️⃣")
            else:
                await person.say(rooms[0], words)

        try:
            assert passed(await tried("matrix", settings, act)) == {}
        finally:
            await person.nio.close()


async def test_e_mail_is_tried_on_real_servers():
    with Dovecot() as server, Smtp(server) as smtp:
        place = MailWorld(server, smtp)

        async def act(_, words):
            if words.startswith("Press"):
                words = "pressed"
            place.deliver(written(place.ann, words, subject=""))

        results = await tried("mail", place.config, act)
        assert results["stream"][0] == "skipped"
        assert set(passed(results)) <= {"stream", "button"}
