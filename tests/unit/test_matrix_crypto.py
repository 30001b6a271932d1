"""What proves who wrote: nothing is pushed to us, and only our own events are believed of us."""

import json
from pathlib import Path

import pytest

from ai_engine.channels.matrix import codec
from ai_engine.domain.errors import Forbidden

VECTORS = Path(__file__).parents[1] / "fixtures/vectors/simple_tokens.json"
ME = codec.Me(id="@bot:example.org")


def test_the_protocol_pushes_nothing_that_could_be_signed():
    assert "no signature to check" in json.loads(VECTORS.read_text())["matrix"]["rule"]


def test_the_bot_s_own_event_is_believed():
    codec.verify_own({"sender": "@bot:example.org"}, ME)


@pytest.mark.parametrize(
    "sender", ["@alice:example.org", "@bot:example.com", "@BOT:example.org", "", None, 5]
)
def test_nobody_else_s_event_is(sender):
    with pytest.raises(Forbidden):
        codec.verify_own({"sender": sender}, ME)


def test_before_the_bot_knows_its_name_nothing_is_its_own():
    with pytest.raises(Forbidden):
        codec.verify_own({"sender": ""}, codec.Me(id=""))


def test_an_edit_by_somebody_else_changes_nothing():
    edit = {"sender": "@alice:example.org", "content": {"m.new_content": {"body": "forged"}}}
    event = {
        "sender": "@bot:example.org",
        "content": {"body": "mine"},
        "unsigned": {"m.relations": {"m.replace": edit}},
    }
    assert codec.newest(event) == {"body": "mine"}
    edit["sender"] = "@bot:example.org"
    assert codec.newest(event) == {"body": "forged"}
