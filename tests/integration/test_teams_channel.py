"""The Teams channel against the simulated Teams, which the vendor's own SDK has proved."""

import asyncio
import base64

import pytest

from ai_engine.channels.base import WebhookRequest
from ai_engine.channels.teams.people import People
from ai_engine.channels.teams.urls import Trust
from ai_engine.domain.errors import (
    NotFound,
    Overloaded,
    PermissionMissing,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Attachment, ChatKind, MessageKind
from ai_engine.domain.reply import Button, Card
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.teams.codec import TENANT

from support.hosts import make_host, restarted
from support.teams_world import APP_ID, SECRET, world

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
CHANNEL = "19:general@thread.tacv2;messageid=1481567603816"


async def settled(simulator, sent):
    """The status that the engine answered to an activity."""
    return (await simulator.callbacks.answer(sent, 5)).status


async def personal(simulator, engine, text="hello"):
    """(the question's id, the message)"""
    asked = await simulator.say("zhangsan", text)
    return asked, await engine.next()


# Text


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(chat):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert message.text == "明天有什么安排?"
        assert message.chat.kind == chat
        assert (message.sender.user_id, message.sender.tenant) == ("zhangsan", simulator.tenant)
        assert (await simulator.wait_settled(asked)).detail == "HTTP 202"
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind, reply.reply_to) == ("**没有**安排", "markdown", asked)


async def test_the_part_that_answered_is_told_and_a_model_s_answer_is_marked():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "hi", produced_by="model:qwen")
        assert (await simulator.wait_reply(asked)).produced_by == "model:qwen"
        sent = simulator.wire.rows(path="/activities")[-1]["body"]
        assert "AIGeneratedContent" in sent
        handle = await engine.channel.open_stream(message.target, "k")
        await engine.finish(handle, message, "again", id="r2", produced_by="rule:weather")
        assert simulator.transcript.get(handle["stream"]).produced_by == "rule:weather"
        assert "AIGeneratedContent" not in simulator.wire.rows(path="/activities")[-1]["body"]


async def test_a_thread_of_a_channel_is_answered_in_the_thread():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group", conversation=CHANNEL)
        message = await engine.next()
        assert (message.chat.id, message.chat.thread) == (
            "19:general@thread.tacv2",
            "1481567603816",
        )
        await engine.answer(message, "hi")
        assert (await simulator.wait_reply(asked)).conversation == CHANNEL


async def test_a_group_message_without_the_bot_in_it_is_not_seen():
    async with world() as (simulator, engine):
        sent = await simulator.say("zhangsan", "just us", chat="group", at=False)
        assert simulator.transcript.get(sent).status == "unseen"
        assert engine.inbox.empty()


async def test_a_long_answer_arrives_whole_in_order():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        lines = [f'第 {n} 行 "quoted"' for n in range(3000)]
        await engine.answer(message, "\n".join(lines))
        parts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert len(parts) > 1
        assert "\n".join(parts).split("\n") == lines


async def test_plain_text_is_sent_as_plain_text():
    async with world(reply="text") as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "# Title\n\n**bold**")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind) == ("Title\n\nbold", "text")


async def test_an_answer_to_a_deleted_message_still_arrives():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        simulator.faults.not_found = True
        await engine.answer(message, "still here")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.reply_to) == ("still here", None)


async def test_a_repeated_activity_has_the_same_key_and_another_conversation_s_another():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 1
        await simulator.say("zhangsan", "once")
        first, second = await engine.next(), await engine.next()
        assert first.message_id == second.message_id
        simulator.faults.duplicate = 0
        await simulator.say("lisi", "other")
        assert (await engine.next()).message_id != first.message_id


async def test_an_overloaded_engine_is_told_to_teams():
    async with world() as (simulator, engine):
        engine.overloaded = Overloaded("full")
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 503


# Proof


@pytest.mark.parametrize(
    ("knob", "status"),
    [
        ({"no_authorization": True}, 401),
        ({"wrong_audience": True}, 401),
        ({"wrong_issuer": True}, 401),
        ({"wrong_service_claim": True}, 401),
        ({"unknown_kid": True}, 401),
        ({"algorithm": "none"}, 401),
        ({"algorithm": "HS256"}, 401),
        ({"not_endorsed": True}, 401),
        ({"wrong_secret": True}, 401),
        ({"clock_skew_seconds": -3600 - 360}, 401),
        ({"clock_skew_seconds": 360}, 401),
        ({"clock_skew_seconds": -3600 - 240}, 202),
        ({"clock_skew_seconds": 240}, 202),
        ({"algorithm": "RS384"}, 202),
        ({"algorithm": "RS512"}, 202),
        ({"service_url": "https://evil.example/"}, 403),
        ({"service_url": "http://smba.trafficmanager.net/"}, 403),
        ({"service_url": "https://smba.trafficmanager.net.evil.example/"}, 403),
        ({"service_url": "https://smba.trafficmanager.net/amer/"}, 202),
        ({"service_url": "https://api.botframework.com/"}, 202),
        ({"tenant": "another-tenant"}, 403),
        ({"channel_id": "webchat"}, 403),
        ({"channel_id": "directline"}, 401),
        ({"malformed_json": True}, 422),
        ({"keys_down": True}, 503),
    ],
)
async def test_only_what_bot_framework_proves_gets_in(knob, status):
    async with world() as (simulator, engine):
        simulator.faults.change(knob)
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == status
        assert engine.inbox.empty() == (status != 202)


async def test_forged_activities_do_not_get_in():
    async with world() as (simulator, engine):
        simulator.faults.wrong_secret = True
        assert await settled(simulator, await simulator.say("zhangsan", "forged")) == 401
        assert engine.inbox.empty()


async def test_made_up_keys_cause_no_storm_of_fetches():
    async with world() as (simulator, engine):
        simulator.faults.unknown_kid = True
        for n in range(20):
            await simulator.say(f"user{n}", "hello")
        async with asyncio.timeout(5):
            while len(engine.refused) < 20:
                await asyncio.sleep(0)
        assert all(isinstance(error, Unauthenticated) for error in engine.refused)
        assert len(simulator.wire.rows(path="/.well-known/keys")) == 1


async def test_keys_that_could_not_be_fetched_are_fetched_again_soon():
    async with world() as (simulator, _):
        simulator.faults.keys_down = True
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 503
        simulator.faults.clear()
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 503
        simulator.clock.ahead += 11
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 202


async def test_keys_are_kept_for_a_day_and_a_new_one_is_found_after_an_hour():
    async with world() as (simulator, engine):
        fetched = lambda: len(simulator.wire.rows(path="/.well-known/keys"))  # noqa: E731
        for wait, fetches in ((0, 1), (80_000, 1), (10_000, 2)):
            simulator.clock.ahead += wait
            await personal(simulator, engine)
            assert fetched() == fetches
        simulator.faults.unknown_kid = True
        simulator.clock.ahead += 3601
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 401
        assert fetched() == 3


@pytest.mark.parametrize("allowed", [("another",), ("ANOTHER", "third")])
async def test_only_listed_tenants_are_answered(allowed):
    async with world(allow_tenants=allowed) as (simulator, _):
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 403
        simulator.faults.tenant = "Another"
        assert await settled(simulator, await simulator.say("zhangsan", "hello")) == 202


async def test_other_methods_and_paths_are_not_answered():
    async with world() as (_, engine):
        ask = WebhookRequest(method="GET", path="", headers={}, query={}, body=b"")
        assert (await engine.channel.webhook(ask, engine.accept)).status == 405
        ask = WebhookRequest(method="POST", path="x", headers={}, query={}, body=b"{}")
        with pytest.raises(NotFound):
            await engine.channel.webhook(ask, engine.accept)


# Tokens and refusals


async def test_two_hundred_answers_at_once_ask_for_one_token():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        async with asyncio.TaskGroup() as group:
            for n in range(200):
                group.create_task(engine.answer(message, f"answer {n}", id=f"r{n}"))
        assert len(simulator.wire.rows(path="/oauth2/v2.0/token")) == 1
        assert sum(entry.sender == "bot" for entry in simulator.transcript.list()) == 200


async def test_an_expired_token_is_renewed_once_and_the_answer_arrives():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "one")
        simulator.faults.expired_token = 1
        await engine.answer(message, "two", id="r2")
        texts = [entry.text for entry in simulator.transcript.replies_to(asked)]
        assert texts == ["one", "two"]
        assert len(simulator.wire.rows(path="/oauth2/v2.0/token")) == 2


@pytest.mark.parametrize(
    ("tenant", "authority"), [("", "botframework.com"), (TENANT, TENANT), (TENANT.upper(), TENANT)]
)
async def test_the_token_comes_from_the_tenant_or_from_bot_framework(tenant, authority):
    auth = {"app_id": APP_ID, "app_secret": SECRET, "tenant": tenant}
    async with world(auth=auth) as (simulator, engine):
        assert "gives access tokens" in await engine.channel.check()
        [row] = simulator.wire.rows(path="/oauth2/v2.0/token")
        assert row["path"].split("/")[1] == authority


async def test_wrong_credentials_are_told_by_the_check_and_by_sends():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        simulator.faults.login_refused = True
        with pytest.raises(Unauthenticated, match="invalid_client"):
            await engine.channel.check()
        with pytest.raises(SendRefused, match="invalid_client") as caught:
            await engine.answer(message, "hi")
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ({"throttle_after": 0}, SendRetryable, "throttles"),
        ({"error_burst": 9}, SendRetryable, "503"),
        ({"drop_answer": 9}, SendRetryable, "could not be reached"),
        ({"not_installed": True}, PermissionMissing, "BotNotInConversationRoster"),
    ],
)
async def test_refusals_of_the_api_say_what_to_do(knob, error, said):
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        simulator.faults.change(knob)
        with pytest.raises(error, match=said):
            await engine.answer(message, "hi")


async def test_throttling_says_how_long_and_what_was_sent_is_not_sent_again():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        picture = Attachment(kind="image", url="data:image/png;base64," + b64(PNG), name="a.png")
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        with pytest.raises(SendRetryable) as caught:
            await engine.answer(message, "first", media=(picture,))
        assert caught.value.retry_after_seconds == 1.0
        await engine.answer(message, "first", media=(picture,))
        assert [e.kind for e in simulator.transcript.replies_to(asked)] == ["markdown", "picture"]


async def test_teams_own_limits_are_honoured_by_waiting():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        simulator.faults.rate_limits = True
        for n in range(12):
            try:
                await engine.answer(message, str(n), id=f"r{n}")
            except SendRetryable as error:
                simulator.clock.ahead += error.retry_after_seconds
                await engine.answer(message, str(n), id=f"r{n}")
        texts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert texts == [str(n) for n in range(12)]


async def test_a_missing_installation_is_shown_until_it_works_again():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        simulator.faults.not_installed = True
        with pytest.raises(PermissionMissing) as caught:
            await engine.answer(message, "hi")
        assert caught.value.permission == "bots.scopes: personal"
        assert "admin.teams.microsoft.com" in engine.channel.status().detail
        simulator.faults.clear()
        await engine.channel.seen(message.target)
        assert engine.channel.status().detail == ""


async def test_an_answer_is_never_sent_to_a_service_url_that_is_not_allowed():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        message.target["service"] = "https://evil.example/"
        with pytest.raises(SendRefused, match=r"evil\.example"):
            await engine.answer(message, "hi")


# Cards and buttons


CARD = Card(
    title="Leave",
    markdown="## Days\n\n**5** days",
    fields=(("From", "Mon"), ("To", "Fri")),
    buttons=(
        Button(label="Approve", value={"approve": 1}, style="primary"),
        Button(label="More", url="https://example.com/more"),
    ),
    image_url="https://example.com/a.png",
)


async def test_a_card_is_shown_natively():
    async with world(message_format={"card_width": 900}) as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "Please decide", card=CARD)
        reply = await simulator.wait_reply(asked)
        assert reply.text == "Please decide"
        assert reply.card == {
            "title": "Leave",
            "markdown": "**Days**\n\n**5** days",
            "fields": [["From", "Mon"], ["To", "Fri"]],
            "image": "https://example.com/a.png",
            "width": "Full",
        }
        assert [b["label"] for b in reply.buttons] == ["Approve", "More"]
        assert reply.buttons[1]["url"] == "https://example.com/more"


@pytest.mark.parametrize("old_client", [False, True])
@pytest.mark.parametrize("size", [1, 5000])
async def test_a_pressed_button_comes_back_with_its_value_whatever_its_size(size, old_client):
    async with world() as (simulator, engine):
        simulator.faults.old_client = old_client
        asked, message = await personal(simulator, engine)
        value = {"choice": "x" * size}
        await engine.answer(
            message, card=Card(title="T", buttons=(Button(label="A", value=value),))
        )
        reply = await simulator.wait_reply(asked)
        pressed = await simulator.press(reply.id)
        button = await engine.next()
        assert (button.kind, button.payload) == (MessageKind.BUTTON, value)
        assert button.message_id.endswith(pressed)
        assert button.sender.user_id == "zhangsan"
        answer = await simulator.callbacks.answer(pressed)
        assert answer.status == (202 if old_client else 200)
        assert old_client or b"activity.message" in answer.body


async def test_a_button_whose_value_is_gone_is_answered_and_not_taken():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        value = {"choice": "x" * 5000}
        await engine.answer(
            message, card=Card(title="T", buttons=(Button(label="A", value=value),))
        )
        engine.host.media.kept.clear()
        pressed = await simulator.press((await simulator.wait_reply(asked)).id)
        answer = await simulator.callbacks.answer(pressed)
        assert answer.status == 200
        assert "expired" in answer.body.decode()
        assert engine.inbox.empty()


async def test_more_than_six_buttons_and_a_card_that_is_too_large_are_still_shown():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        buttons = tuple(Button(label=f"b{n}", value={"n": n}) for n in range(14))
        await engine.answer(message, card=Card(title="T", markdown="m" * 40_000, buttons=buttons))
        replies = [e for e in simulator.transcript.list() if e.sender == "bot"]
        assert sum(reply.text.count("m") for reply in replies) == 40_000
        assert len(replies[-1].buttons) == 14
        assert replies[0].reply_to == asked


async def test_a_card_that_no_card_can_hold_becomes_text():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        fields = tuple((f"field {n}", "v" * 200) for n in range(300))
        await engine.answer(message, card=Card(title="T", fields=fields))
        replies = [e for e in simulator.transcript.list() if e.sender == "bot"]
        assert all(reply.card is None for reply in replies)
        assert "field 299" in replies[-1].text


# Feedback, edits, welcome


@pytest.mark.parametrize(("rating", "text"), [("good", ""), ("bad", "too long")])
async def test_a_rating_names_the_rated_answer(rating, text):
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "the answer", feedback="turn-7")
        reply = await simulator.wait_reply(asked)
        assert reply.buttons[-1].get("feedback")
        sent = await simulator.rate(reply.id, rating, text=text)
        found = await engine.next()
        assert found.kind is MessageKind.FEEDBACK
        assert found.payload == {"rating": rating, "of": "turn-7", "text": text}
        assert await settled(simulator, sent) == 200


async def test_a_rating_names_the_rated_answer_after_a_restart():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "the answer", feedback="turn-7")
        reply = await simulator.wait_reply(asked)
        engine.channel = await restarted(engine.channel)
        await simulator.rate(reply.id, "good")
        assert (await engine.next()).payload == {"rating": "good", "of": "turn-7", "text": ""}


async def test_the_tenant_is_known_after_a_restart():
    async with world(auth={"app_id": APP_ID, "app_secret": SECRET}) as (simulator, engine):
        _, message = await personal(simulator, engine)
        engine.channel = await restarted(engine.channel)
        address = engine.channel.address("user:lisi")
        assert address.tenant == message.sender.tenant


async def test_where_people_are_reached_is_known_after_a_restart_while_it_is_allowed():
    host = make_host()
    before = People(None, APP_ID, "", Trust(""), host)
    region = {"service": "https://smba.trafficmanager.net/emea/", "tenant": "t", "personal": False}
    before.noticed(region)
    after = People(None, APP_ID, "", Trust(""), host)
    await after.recall()
    assert await after.place({"conversation": "c"}) == (region["service"][:-1], "c")
    host.notes.put("place", "https://elsewhere.example t")
    later = People(None, APP_ID, "", Trust(""), host)
    await later.recall()
    assert (later.service, later.tenant) == (Trust("").default, "")


async def test_an_answer_of_several_parts_goes_on_after_a_restart():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        picture = Attachment(kind="image", url="data:image/png;base64," + b64(PNG), name="a.png")
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        with pytest.raises(SendRetryable):
            await engine.answer(message, "first", media=(picture,))
        engine.channel = await restarted(engine.channel)
        await engine.answer(message, "first", media=(picture,))
        assert [e.kind for e in simulator.transcript.replies_to(asked)] == ["markdown", "picture"]


@pytest.mark.parametrize("rating", ["good", "bad", "none"])
async def test_a_reaction_is_a_rating(rating):
    async with world(feedback=True) as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "the answer")
        reply = await simulator.wait_reply(asked)
        await simulator.rate(reply.id, rating)
        found = await engine.next()
        assert (found.kind, found.payload) == (
            MessageKind.FEEDBACK,
            {"rating": rating, "of": "", "text": ""},
        )


async def test_without_feedback_nothing_is_offered_and_nothing_taken():
    async with world(feedback=False) as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "the answer", feedback="turn-7")
        reply = await simulator.wait_reply(asked)
        assert reply.buttons == ()
        assert await settled(simulator, await simulator.rate(reply.id, "good")) == 202
        assert engine.inbox.empty()


async def test_an_edit_and_a_recall_name_the_message():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "five days", chat="group")
        message = await engine.next()
        await simulator.edit(asked, "six days")
        edit = await engine.next()
        assert (edit.kind, edit.text) == (MessageKind.EDIT, "six days")
        await simulator.recall(asked)
        recall = await engine.next()
        assert recall.kind is MessageKind.RECALL
        assert edit.payload == recall.payload == {"of": message.message_id}
        assert len({message.message_id, edit.message_id, recall.message_id}) == 3


async def test_who_installs_the_app_is_greeted_once():
    async with world() as (simulator, engine):
        await simulator.enter("alice")
        first, second = await engine.next(), await engine.next()
        assert first.kind is second.kind is MessageKind.WELCOME
        assert first.message_id == second.message_id
        assert first.sender.user_id == "alice"
        await engine.answer(first, "welcome")
        assert simulator.transcript.list()[-1].text == "welcome"


async def test_without_welcome_nobody_is_greeted():
    async with world(welcome=False) as (simulator, engine):
        assert await settled(simulator, await simulator.enter("alice")) == 202
        assert engine.inbox.empty()


async def test_the_quoted_message_comes_along():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "what does it mean?", quote="5 < 6 days")
        message = await engine.next()
        assert (message.text, message.quote) == ("what does it mean?", "5 < 6 days")


async def test_the_bot_is_seen_typing():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        await engine.channel.seen(message.target)
        assert list(simulator.typed) == [message.chat.id]


# Pictures and files


def b64(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("kind", "name", "mime", "as_kind"),
    [
        ("picture", "a.png", "image/png", "image"),
        ("file", "plan.pdf", "application/pdf", "file"),
        ("audio", "note.mp3", "audio/mpeg", "audio"),
    ],
)
async def test_what_people_attach_can_be_fetched(kind, name, mime, as_kind):
    async with world() as (simulator, engine):
        file = SharedFile(kind=kind, name=name, mime=mime, content=PNG)
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.TEXT, "")
        found = await engine.channel.fetch(message.attachments[0], message.target)
        assert (found.content, found.kind, found.mime) == (PNG, as_kind, mime)


async def test_nothing_is_fetched_from_elsewhere_nor_above_the_limit():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        for ref in ("file:https://evil.example/a", "view:https://169.254.169.254/", "file:", "x"):
            with pytest.raises(SendRefused):
                await engine.channel.fetch(Attachment(kind="file", ref=ref), message.target)
        code = simulator.shelf.put(
            SharedFile(kind="file", name="a", mime="a/b", content=bytes(21_000_000)), "f"
        )
        with pytest.raises(SendRefused, match="more than"):
            await engine.channel.fetch(
                Attachment(kind="file", ref=f"file:{simulator.url}/files/{code}"), message.target
            )


async def test_a_picture_is_sent_in_the_message():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        ref = await engine.host.media.put(PNG, name="chart.png", mime="image/png")
        await engine.answer(message, "look", media=(Attachment(kind="image", url=ref),))
        picture = simulator.transcript.replies_to(asked)[-1]
        assert picture.kind == "picture"
        assert simulator.shelf.get(picture.url.removeprefix("/files/")).content == PNG


@pytest.mark.parametrize("consent", [True, False])
async def test_a_file_is_uploaded_when_the_person_agrees(consent):
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        ref = await engine.host.media.put(b"plan", name="plan.pdf", mime="application/pdf")
        await engine.answer(message, "here", media=(Attachment(kind="file", url=ref),))
        offer = simulator.transcript.replies_to(asked)[-1]
        assert (offer.kind, offer.title) == ("file", "plan.pdf")
        pressed = await simulator.press(offer.id, 0 if consent else 1)
        assert await settled(simulator, pressed) == 200
        assert [f.content for f in simulator.uploaded] == ([b"plan"] if consent else [])
        assert simulator.transcript.get(offer.id).status == "deleted"
        shown = simulator.transcript.list()[-1]
        assert (shown.id != offer.id and shown.kind == "file") == consent


async def consent(simulator, engine, **changes):
    """A forged answer to a question for consent; the status it gets."""
    value = {
        "action": "accept",
        "context": {"ai_engine_ref": "blob:none"},
        "uploadInfo": {"uploadUrl": f"{simulator.url}/uploads/x"},
        **changes,
    }
    asked, message = await personal(simulator, engine)
    await engine.answer(message, "hi")
    entry = simulator.transcript.replies_to(asked)[-1]
    sent = simulator.event("invoke", entry, name="fileConsent/invoke", value=value)
    return await settled(simulator, sent)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"uploadInfo": {"uploadUrl": "https://evil.example/up"}}, 403),
        ({"uploadInfo": {}}, 403),
        ({"context": {}}, 422),
        ({}, 503),
        ({"action": "decline"}, 200),
    ],
)
async def test_files_are_uploaded_to_the_vendor_alone_and_only_ours(changes, status):
    async with world() as (simulator, engine):
        assert await consent(simulator, engine, **changes) == status
        assert not simulator.uploaded


async def test_invokes_that_are_not_for_us_are_said_not_to_be():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        await engine.answer(message, "hi")
        entry = simulator.transcript.replies_to(asked)[-1]
        sent = simulator.event("invoke", entry, name="composeExtension/query", value={})
        assert await settled(simulator, sent) == 501
        sent = simulator.event("invoke", entry, name="message/submitAction", value={})
        assert await settled(simulator, sent) == 200
        assert engine.inbox.empty()


async def test_a_picture_of_a_card_that_is_no_address_follows_it():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        card = Card(title="T", image_url="data:image/png;base64," + b64(PNG))
        await engine.answer(message, card=card)
        shown, picture = simulator.transcript.replies_to(asked)
        assert (shown.card, picture.kind) == ({"title": "T"}, "picture")


async def test_a_person_cannot_be_written_to_without_a_tenant():
    async with world(auth={"app_id": APP_ID, "app_secret": SECRET}) as (simulator, engine):
        address = engine.channel.address("user:alice")
        with pytest.raises(SendRefused, match="tenant"):
            await engine.channel.send(engine.outgoing(address.target, reply("hello")))
        await personal(simulator, engine)
        await engine.channel.send(engine.outgoing(address.target, reply("hello")))
        assert simulator.transcript.list()[-1].text == "hello"


async def test_in_a_group_the_reader_is_told_that_files_cannot_be_sent():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        ref = await engine.host.media.put(b"plan", name="plan.pdf", mime="application/pdf")
        await engine.answer(message, "here", media=(Attachment(kind="file", url=ref),))
        told = simulator.transcript.replies_to(asked)[-1]
        assert "plan.pdf" in told.text
        assert "private chats only" in told.text


async def test_unknown_content_is_named():
    async with world() as (simulator, engine):
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "x/red-envelope")


# On our own initiative


async def test_a_person_is_written_to_before_they_have_ever_written():
    async with world() as (simulator, engine):
        address = engine.channel.address("user:alice")
        assert (address.chat.kind, address.user_id) == (ChatKind.PRIVATE, "alice")
        assert address.tenant == simulator.tenant
        await engine.channel.send(engine.outgoing(address.target, reply("hello Alice")))
        entry = simulator.transcript.list()[-1]
        assert (entry.text, entry.conversation) == ("hello Alice", "cid-private-alice")
        await engine.channel.send(engine.outgoing(address.target, reply("again", "r2")))
        made = [r for r in simulator.wire.rows(direction="in") if r["path"] == "/v3/conversations"]
        assert len(made) == 1


def reply(text, id_="r1"):
    from ai_engine.domain.reply import Reply

    return Reply(id=id_, text=text)


async def test_a_group_and_a_thread_are_written_to_by_their_ids():
    async with world() as (simulator, engine):
        for where in (simulator.directory.group().id, simulator.directory.group(CHANNEL).id):
            address = engine.channel.address(f"group:{where}")
            assert address.target["conversation"] == where
            await engine.channel.send(engine.outgoing(address.target, reply("hello", where)))
            assert simulator.transcript.list()[-1].conversation == where


async def test_people_are_looked_up():
    async with world() as (simulator, engine):
        found = await engine.channel.profile("alice")
        assert (found.name, found.email) == ("Alice Wang", "alice@contoso.example")
        simulator.faults.not_installed = True
        with pytest.raises(PermissionMissing):
            await engine.channel.profile("bob")


# Streams


async def test_an_answer_grows_and_ends():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        for text in ("You", "You have", "You have 5 days"):
            await engine.channel.update(handle, text)
        entry = await simulator.wait_reply(asked, unfinished=True)
        assert (entry.state, entry.text) == ("streaming", "You have 5 days")
        await engine.finish(handle, message, "You have 5 days.", feedback="t", card=CARD)
        entry = await simulator.wait_reply(asked)
        assert (entry.state, entry.text) == ("finished", "You have 5 days.")
        assert entry.card["title"] == "Leave"
        assert len([e for e in simulator.transcript.list() if e.sender == "bot"]) == 1
        statuses = {row["status"] for row in simulator.wire.rows(path="/activities")}
        assert statuses == {201, 202}  # never throttled: a second apart, in order


@pytest.mark.parametrize("chat", ["group", "private"])
async def test_where_streams_are_not_allowed_none_is_opened(chat):
    async with world() as (simulator, engine):
        simulator.faults.streaming_forbidden = True
        await simulator.say("zhangsan", "hello", chat=chat)
        message = await engine.next()
        assert await engine.channel.open_stream(message.target, "k") is None


async def ended(simulator, how, handle):
    if how == "stopped":
        simulator.streams.stop(handle["stream"])
    else:
        simulator.clock.ahead += 121


@pytest.mark.parametrize("how", ["late", "stopped"])
async def test_a_stream_that_is_over_still_shows_the_whole_answer(how):
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        await engine.channel.update(handle, "You")
        await ended(simulator, how, handle)
        await engine.channel.update(handle, "You have")
        await engine.finish(handle, message, "You have 5 days.")
        entry = await simulator.wait_reply(asked)
        assert (entry.state, entry.text) == ("finished", "You have 5 days.")


async def test_a_stream_whose_message_is_gone_is_answered_by_another():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        await engine.channel.update(handle, "You")
        simulator.streams.stop(handle["stream"])
        entry = simulator.transcript.get(handle["stream"])
        simulator.transcript.mark(entry.id, sender="nobody")
        await engine.finish(handle, message, "You have 5 days.")
        assert (await simulator.wait_reply(asked)).text == "You have 5 days."


async def test_an_answer_that_does_not_continue_what_was_shown_replaces_it():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        await engine.channel.update(handle, "Yes")
        await engine.channel.update(handle, "No, wait")
        assert (await simulator.wait_reply(asked, unfinished=True)).text == "Yes"
        await engine.finish(handle, message, "No.")
        assert (await simulator.wait_reply(asked)).text == "No."


async def test_a_table_is_shown_once_it_is_whole():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        text = "Days:\n| a | b |\n|---|---|\n| 1 | 2 |\nDone"
        for end in range(3, len(text) + 1, 7):
            await engine.channel.update(handle, text[:end])
        await engine.finish(handle, message, text)
        entry = await simulator.wait_reply(asked)
        assert entry.text == "Days:\n- **a**: 1; **b**: 2\nDone"
        assert not [r for r in simulator.wire.rows(path="/activities") if r["status"] == 403]


async def test_another_process_finishes_a_stream_and_twice_is_harmless():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        await engine.channel.update(handle, "You")
        other = type(engine.channel)("teams", engine.channel.config, engine.host)
        mine, engine.channel = engine.channel, other
        simulator.clock.ahead += 2
        await engine.channel.update(handle, "You have")  # not known here: waits for the end
        await engine.finish(handle, message, "You have 5 days.")
        engine.channel = mine
        await engine.finish(handle, message, "You have 5 days.")
        await other.close()
        shown = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert shown == ["You have 5 days."]
        assert (await simulator.wait_reply(asked)).state == "finished"


async def test_a_throttled_update_is_mended_by_the_next():
    async with world() as (simulator, engine):
        asked, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        simulator.faults.stream_gap_seconds = 5
        await engine.channel.update(handle, "You")
        await engine.channel.update(handle, "You have")
        simulator.clock.ahead += 6
        await engine.channel.update(handle, "You have 5")
        assert (await simulator.wait_reply(asked, unfinished=True)).text == "You have 5"


async def test_a_stream_that_ends_in_nothing_is_taken_back():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        await engine.finish(handle, message, "")
        assert simulator.transcript.get(handle["stream"]).status == "deleted"


async def test_a_long_streamed_answer_is_finished_by_its_first_part():
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        handle = await engine.channel.open_stream(message.target, "k")
        text = "\n".join(f"line {n}" for n in range(4000))
        await engine.channel.update(handle, text)
        await engine.finish(handle, message, text)
        shown = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert "\n".join(shown).split("\n") == text.split("\n")


# Secrets


async def test_no_secret_is_in_logs_or_errors(caplog):
    caplog.set_level(0)
    async with world() as (simulator, engine):
        _, message = await personal(simulator, engine)
        simulator.faults.drop_answer = 2
        with pytest.raises(SendRetryable) as caught:
            await engine.answer(message, "hi")
        simulator.faults.wrong_secret = True
        await settled(simulator, await simulator.say("zhangsan", "forged"))
        ref = "file:https://evil.example/x?tempauth=s3cret"
        with pytest.raises(SendRefused) as refused:
            await engine.channel.fetch(Attachment(kind="file", ref=ref), message.target)
        said = caplog.text + str(caught.value) + str(refused.value) + str(engine.refused)
        assert "s3cret" not in said
        assert "Bearer " not in said
        assert "eyJ" not in said
