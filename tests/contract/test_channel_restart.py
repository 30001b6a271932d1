"""An engine that ends in the middle of an answer: the next one finishes what people see."""

import pytest

from ai_engine.cli.verification import world as verification
from ai_engine.cli.verification.world import prepared, running

from support.channels import SETUPS, Acting, QuickClock, growing, no_stream_grows

STREAMING = [setup for setup in SETUPS if setup.streams]


@pytest.mark.parametrize("setup", STREAMING, ids=lambda setup: setup.id)
async def test_a_stream_is_finished_after_a_restart_of_the_engine(setup, monkeypatch):
    monkeypatch.setattr(verification, "DRAIN_SECONDS", 0.05)
    clock = QuickClock()
    async with prepared(setup.type, setup.settings, clock) as place:
        async with running(place, Acting(clock)) as world:
            group = setup.id == "mattermost-webhook"  # an answer to a command does not grow
            await world.say("hang", group=group)
            assert await growing(world, 0), "no stream was opened"
        async with running(place, acting := Acting(clock)) as world:
            acting.go_on.set()
            await world.heard("The beginning of an answer and its end.", 0, 30.0)
            await no_stream_grows(world, 0)
            shown = [entry for entry in world.said_after(0) if "The beginning" in entry.text]
            assert ["and its end." in entry.text for entry in shown] == [True]
