"""WeCom's template cards and their buttons, against the simulated WeCom."""

from ai_engine.domain.message import MessageKind
from ai_engine.domain.reply import Button, Card

from support.wecom import CARD, shown, to, until, world

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 3


async def test_a_card_is_native_and_a_pressed_button_says_so():
    async with world() as (simulator, engine):
        await engine.answer(to(), "请处理", card=CARD)
        lead, card = shown(simulator)
        assert lead.text == "请处理\n\n- a very long name: value"
        assert card.card == {
            "title": "请假审批",
            "markdown": "张三申请 3 天年假",
            "fields": [["类型", "年假"]],
        }
        assert [b["label"] for b in card.buttons] == ["同意", "驳回", "详情"]
        assert [b["style"] for b in card.buttons][:2] == ["primary", "danger"]
        await simulator.press(card.id, 0)
        message = await engine.next()
        assert (message.kind, message.payload) == (MessageKind.BUTTON, {"do": "approve", "n": 1})
        assert message.sender.user_id == "zhangsan"
        await until(lambda: shown(simulator)[-1].edits == 1)
        assert shown(simulator)[-1].buttons[0] == {"label": "✓ 同意", "disabled": True}
        await engine.answer(message, "done", reply_id="r2")


async def test_a_press_that_is_delivered_twice_counts_and_updates_once():
    async with world() as (simulator, engine):
        await engine.answer(to(), card=CARD)
        simulator.faults.duplicate = 1
        await simulator.press(shown(simulator)[-1].id, 1)
        await until(lambda: engine.statuses == [200, 200])
        await until(lambda: shown(simulator)[-1].edits == 1)
        assert engine.inbox.qsize() == 1
        assert len(simulator.wire.rows(path="update_template_card")) == 1


async def test_a_card_that_cannot_be_updated_does_not_lose_the_press():
    async with world() as (simulator, engine):
        await engine.answer(to(), card=CARD)
        simulator.faults.ip_refused = "192.0.2.7"
        await simulator.press(shown(simulator)[-1].id, 0)
        assert (await engine.next()).payload["do"] == "approve"
        await until(lambda: "192.0.2.7" in engine.channel.status().detail)


async def test_a_value_too_long_for_a_key_survives_and_says_when_it_is_gone():
    value = {"text": "长" * 900}
    async with world() as (simulator, engine):
        await engine.answer(to(), card=Card(title="T", buttons=(Button(label="B", value=value),)))
        entry = shown(simulator)[-1]
        assert len(entry.buttons[0]["key"]) <= 1024
        await simulator.press(entry.id)
        assert (await engine.next()).payload == value
        await engine.answer(
            to(), reply_id="r2", card=Card(title="T", buttons=(Button(label="B", value=value),))
        )
        engine.media.kept.clear()
        await simulator.press(shown(simulator)[-1].id)
        message = await engine.next()
        assert message.kind is MessageKind.UNSUPPORTED
        assert "按钮已过期" in message.text


async def test_a_button_of_another_program_stands_for_its_key():
    async with world() as (simulator, engine):
        await engine.answer(to(), card=CARD)
        entry = shown(simulator)[-1]
        simulator.transcript.mark(entry.id, buttons=({"label": "X", "key": "theirs"},))
        await simulator.press(entry.id)
        assert (await engine.next()).payload == {"key": "theirs"}
        await until(lambda: shown(simulator)[-1].edits == 1)


async def test_cards_to_open_are_notices_and_what_does_not_fit_is_written():
    links = tuple(Button(label=f"L{n}", url=f"https://example.org/{n}") for n in range(4))
    async with world() as (simulator, engine):
        await engine.answer(to(), card=Card(title="T" * 100, markdown="long " * 90, buttons=links))
        lead, card = shown(simulator)
        assert lead.text.startswith("**" + "T" * 100)
        assert "[L3](https://example.org/3)" in lead.text
        assert [b["label"] for b in card.buttons] == ["L0", "L1", "L2"]
        picture = Card(title="P", markdown="seen", image_url="https://example.org/p.png")
        await engine.answer(to(), reply_id="r2", card=picture)
        assert shown(simulator)[-1].card == {
            "title": "P",
            "markdown": "seen",
            "fields": [],
            "image": "https://example.org/p.png",
        }
        await engine.answer(to(), reply_id="r3", card=Card(title="Only", markdown="words"))
        assert shown(simulator)[-1].text == "**Only**\n\nwords"


async def test_more_buttons_than_a_card_has_go_into_a_second_card():
    buttons = tuple(Button(label=f"B{n}", value={"n": n}) for n in range(8))
    image = "https://example.org/p.png"
    async with world() as (simulator, engine):
        await engine.answer(to(), card=Card(title="T", buttons=buttons, image_url=image))
        lead, first, second = shown(simulator)
        assert image in lead.text
        assert (len(first.buttons), len(second.buttons)) == (6, 2)
        await simulator.press(second.id, 1)
        assert (await engine.next()).payload == {"n": 7}


async def test_an_answer_can_be_rated_by_buttons():
    async with world(feedback=True) as (simulator, engine):
        await engine.answer(to(), "42", feedback="t1")
        text, rating = shown(simulator)
        assert text.text == "42"
        assert [b["label"] for b in rating.buttons] == ["👍", "👎"]
        await simulator.press(rating.id, 1)
        message = await engine.next()
        assert (message.kind, message.payload) == (
            MessageKind.BUTTON,
            {"feedback": "bad", "of": "t1"},
        )
        await until(lambda: shown(simulator)[-1].edits == 1)
        await engine.answer(to(), "", reply_id="r2", card=CARD, feedback="t2")
        assert [b["label"] for b in shown(simulator)[-1].buttons][-2:] == ["👍", "👎"]


async def test_without_feedback_nobody_is_asked_for_a_rating():
    async with world() as (simulator, engine):
        await engine.answer(to(), "42", feedback="t1")
        assert len(shown(simulator)) == 1


async def test_a_question_for_a_rating_never_takes_an_answer_s_place():
    async with world(feedback=True) as (simulator, engine):
        for n in range(22):
            await engine.answer(to(), f"answer {n}", reply_id=f"r{n}", feedback="t")
        kinds = [entry.kind for entry in shown(simulator)]
        assert (kinds.count("markdown"), kinds.count("template_card")) == (22, 8)
