"""What the Teams connector says of itself and of its settings."""

import pytest

from ai_engine.channels.about import findings
from ai_engine.channels.base import Channel
from ai_engine.channels.teams.about import ABOUT
from ai_engine.channels.teams.channel import build
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed

from support.hosts import make_host

AUTH = {"app_id": "app", "app_secret": "s", "tenant": "T"}


def channel(**changes):
    config = ChannelConfig.model_validate({"auth": AUTH, **changes})
    return build("teams", config, make_host())


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, None),
        ({"mode": "webhook"}, None),
        ({"mode": "stream"}, ("mode",)),
        ({"auth": {"app_secret": "s"}}, ("auth", "app_id")),
        ({"auth": {"app_id": "app"}}, ("auth", "app_secret")),
        ({"reply": "card"}, ("reply",)),
        ({"endpoints": {"oapi": "https://x.example"}}, ("endpoints", "oapi")),
        ({"endpoints": {"login": "nowhere"}}, ("endpoints", "login")),
    ],
)
async def test_wrong_settings_are_told(changes, key):
    made = channel(**changes)
    assert [finding.key for finding in findings(ABOUT, made.config)] == ([key] if key else [])
    assert made.status().state == ("failing" if key else "ready")
    await made.close()


async def test_the_channel_offers_what_it_says():
    made = channel()
    accepted: Channel = made
    assert accepted.type == ABOUT.type == "teams"
    found = made.capabilities
    assert found.cards
    assert found.streaming
    assert found.images
    assert found.files
    assert found.seen
    assert not found.stream_by_key  # the platform chooses a stream's id
    assert found.stream_interval_ms >= 1000
    assert not channel(seen=False).capabilities.seen
    await made.close()


@pytest.mark.parametrize("to", ["", "alice", "user:", "team:x", "group: "])
async def test_other_addresses_are_not_known(to):
    with pytest.raises(Malformed):
        channel().address(to)


def test_every_permission_is_named_in_both_languages_with_its_page():
    assert {p.name for p in ABOUT.permissions} >= {"bots.scopes: personal", "bots.supportsFiles"}
    assert all(p.zh and p.en and p.page for p in ABOUT.permissions)
