"""Cards, pressed buttons, people and reactions of the simulator, driven by the vendor's code."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from ai_engine.simulators.dingtalk import DingTalkSimulator

from support.dingtalk_bot import sdk_bot

pytestmark = [
    # The vendor's generated code, as in test_sim_dingtalk_api_sdk.py.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TEMPLATE = "382e4302-551d-4880-bf29-a30acfab2e71.schema"


@pytest.fixture
async def sim() -> AsyncGenerator[DingTalkSimulator]:
    async with DingTalkSimulator(app_id="dingapp", app_secret="s3cret") as running:
        yield running


class Sdk:
    """alibabacloud_dingtalk's clients; their calls block: they run in threads."""

    def __init__(self, sim: DingTalkSimulator) -> None:
        from alibabacloud_dingtalk.card_1_0 import models as card
        from alibabacloud_dingtalk.card_1_0.client import Client as CardClient
        from alibabacloud_dingtalk.contact_1_0 import models as contact
        from alibabacloud_dingtalk.contact_1_0.client import Client as ContactClient
        from alibabacloud_dingtalk.robot_1_0 import models as robot
        from alibabacloud_dingtalk.robot_1_0.client import Client as RobotClient
        from alibabacloud_tea_openapi.models import Config
        from alibabacloud_tea_util.models import RuntimeOptions

        config = Config(protocol="http", endpoint=sim.url.removeprefix("http://"))
        self.card, self.contact, self.robot = card, contact, robot
        self.cards, self.people = CardClient(config), ContactClient(config)
        self.robots = RobotClient(config)
        self._options = RuntimeOptions(read_timeout=5000, connect_timeout=5000)
        self._token = sim.tokens.issue()[0]

    async def call(self, method: Callable[..., Any], request: Any, headers: Any) -> Any:
        headers.x_acs_dingtalk_access_token = self._token
        answer = await asyncio.to_thread(method, request, headers, self._options)
        return answer.body

    async def create(self, track: str, **data: str) -> Any:
        m = self.card
        request = m.CreateCardRequest(
            card_template_id=TEMPLATE,
            out_track_id=track,
            callback_type="STREAM",
            card_data=m.CreateCardRequestCardData(card_param_map=data),
        )
        return await self.call(self.cards.create_card_with_options, request, m.CreateCardHeaders())

    async def deliver(self, track: str, group: str) -> Any:
        m = self.card
        request = m.DeliverCardRequest(
            out_track_id=track,
            open_space_id=f"dtv1.card//IM_GROUP.{group}",
            im_group_open_deliver_model=m.DeliverCardRequestImGroupOpenDeliverModel(
                robot_code="dingapp"
            ),
        )
        method = self.cards.deliver_card_with_options
        return await self.call(method, request, m.DeliverCardHeaders())

    async def update(self, track: str, *, by_key: bool, **data: str) -> Any:
        m = self.card
        request = m.UpdateCardRequest(
            out_track_id=track,
            card_data=m.UpdateCardRequestCardData(card_param_map=data),
            card_update_options=m.UpdateCardRequestCardUpdateOptions(
                update_card_data_by_key=by_key
            ),
        )
        return await self.call(self.cards.update_card_with_options, request, m.UpdateCardHeaders())

    async def stream(self, track: str, content: str, **more: Any) -> Any:
        m = self.card
        fields = {"guid": f"g-{content}", "key": "msgContent", "is_full": True} | more
        request = m.StreamingUpdateRequest(out_track_id=track, content=content, **fields)
        method = self.cards.streaming_update_with_options
        return await self.call(method, request, m.StreamingUpdateHeaders())


@pytest.fixture
def sdk(sim: DingTalkSimulator) -> Sdk:
    return Sdk(sim)


async def refused(work: Any) -> str:
    with pytest.raises(Exception, match=r"code: 4\d\d|code: 5\d\d") as caught:
        await work
    error: Any = caught.value
    return str(error.code)


# dingtalk_stream


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_the_sdk_s_ai_card_streams_and_is_finished(sim: DingTalkSimulator, chat: str):
    async with sdk_bot(sim) as bot:
        await sim.stream.wait_connections(1)
        asked = await sim.say("zhangsan", "ai hello", chat=chat)
        track = (await bot.next("replied"))["card"]
        reply = await sim.wait_reply(asked)
        assert (reply.text, reply.state, reply.title) == ("the whole", "finished", "Title")
        assert reply.edits >= 2
        assert [b["label"] for b in reply.buttons] == ["OK"]
        bodies = [row["body"] for row in sim.wire.rows(path="/v1.0/card/streaming")]
        assert len(bodies) == 2
        assert all(track in body for body in bodies)

        callback = await sim.press(reply.id, 0, user="lisi")
        press = await bot.next("press")
        assert (press["card"], press["user"], press["id"]) == (track, "lisi", callback)
        assert press["content"]["cardPrivateData"]["actionIds"] == ["ok"]
        changed = sim.transcript.get(reply.id)
        assert changed is not None
        assert changed.title == "pressed by lisi"


async def test_the_sdk_s_ai_card_ends_as_failed(sim: DingTalkSimulator):
    async with sdk_bot(sim) as bot:
        await sim.stream.wait_connections(1)
        asked = await sim.say("zhangsan", "ai fail")
        await bot.next("replied")
        assert (await sim.wait_reply(asked)).state == "failed"


# alibabacloud_dingtalk


async def test_a_card_is_created_delivered_streamed_and_finished(sim: DingTalkSimulator, sdk: Sdk):
    group = sim.directory.group().id
    assert (await sdk.create("t1", flowStatus="1")).result == "t1"
    delivered = (await sdk.deliver("t1", group)).result[0]
    assert (delivered.success, delivered.space_id) == (True, group)
    for text in ("one", "one two"):
        assert (await sdk.stream("t1", text)).result is True
    [entry] = sim.transcript.list(conversation=group)
    assert (entry.text, entry.state) == ("one two", "streaming")
    await sdk.stream("t1", "one two three", is_finalize=True)
    [entry] = sim.transcript.list(conversation=group)
    assert (entry.text, entry.state, entry.edits) == ("one two three", "finished", 3)


async def test_an_update_replaces_all_data_unless_it_is_by_key(sim: DingTalkSimulator, sdk: Sdk):
    await sdk.create("t1", msgContent="text", msgTitle="title")
    await sdk.deliver("t1", sim.directory.group().id)
    await sdk.update("t1", by_key=True, msgTitle="other")
    entry = sim.transcript.list()[0]
    assert (entry.text, entry.title) == ("text", "other")
    await sdk.update("t1", by_key=False, msgTitle="last")
    entry = sim.transcript.list()[0]
    assert (entry.text, entry.title) == ("", "last")


async def test_a_frame_with_a_known_guid_changes_nothing(sim: DingTalkSimulator, sdk: Sdk):
    await sdk.create("t1", flowStatus="1")
    await sdk.stream("t1", "first", guid="g")
    assert (await sdk.stream("t1", "second", guid="g", is_finalize=True)).success
    card = sim.cards.cards.get("t1")
    assert card is not None
    assert (card.text, card.state) == ("first", "streaming")


async def test_what_is_wrong_with_a_card_call_is_said_by_its_code(sim: DingTalkSimulator, sdk: Sdk):
    assert await refused(sdk.stream("none", "x")) == "param.stream.outTrackId"
    assert await refused(sdk.update("none", by_key=True, a="b")) == "param.cardNotExist"
    await sdk.create("t1", flowStatus="1")
    assert await refused(sdk.create("t1", flowStatus="1")) == "param.cardAlreadyExist"
    assert await refused(sdk.stream("t1", "x", guid="")) == "param.stream.guidEmpty"
    assert await refused(sdk.stream("t1", "", guid="g")) == "param.stream.contentEmpty"
    assert await refused(sdk.stream("t1", "x", key="")) == "param.stream.keyEmpty"
    assert await refused(sdk.stream("t1", "x", is_full=None)) == "param.stream.isFull"
    assert await refused(sdk.stream("t1", "x" * 10_001)) == "param.stream.content"
    await sdk.stream("t1", "end", is_finalize=True)
    assert (await refused(sdk.stream("t1", "more"))).startswith("param.")
    assert not (await sdk.deliver("t1", "cid-elsewhere")).result[0].success
    for scope, work in (
        ("Card.Streaming.Write", sdk.stream("t1", "x")),
        ("Card.Instance.Write", sdk.create("t2")),
    ):
        sim.faults.missing_scope = scope
        assert (await refused(work)).endswith("AccessTokenPermissionDenied")


async def test_a_callback_address_is_registered_and_not_taken_over_unforced(sdk: Sdk):
    m = sdk.card

    def register(url: str, force: bool) -> Any:
        request = m.RegisterCallbackRequest(
            api_secret="s", callback_route_key="k", callback_url=url, force_update=force
        )
        method = sdk.cards.register_callback_with_options
        return sdk.call(method, request, m.RegisterCallbackHeaders())

    assert (await register("https://one.example", False)).result.callback_url
    assert await refused(register("https://two.example", False)) == "param.invalid"
    assert (await register("https://two.example", True)).result.api_secret == "s"


async def test_a_person_is_looked_up_and_a_message_gets_a_reaction(
    sim: DingTalkSimulator, sdk: Sdk
):
    headers = sdk.contact.GetUserHeaders()
    found = await sdk.call(sdk.people.get_user_with_options, "union-zhangsan", headers)
    assert (found.nick, found.union_id) == ("张三", "union-zhangsan")
    asked = await sim.say("zhangsan", "hello")
    request = sdk.robot.RobotReplyEmotionRequest(
        emotion_name="ok",
        emotion_type=2,
        open_conversation_id=sim.directory.private("zhangsan").id,
        open_msg_id=asked,
        robot_code="dingapp",
    )
    method = sdk.robots.robot_reply_emotion_with_options
    assert (await sdk.call(method, request, sdk.robot.RobotReplyEmotionHeaders())).success
    assert sim.contact.reactions == {asked: ["ok"]}
