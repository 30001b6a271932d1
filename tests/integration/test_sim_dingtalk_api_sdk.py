"""The open API, driven by the vendor's own client library."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from ai_engine.simulators.dingtalk import DingTalkSimulator

from support.clock import ManualClock

pytestmark = [
    # The vendor's generated code: invalid escapes, old typing, sockets that it leaves to the
    # garbage collector. None of it is ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Sdk:
    """The vendor's clients, pointed at a simulator. Their calls block: they run in threads."""

    def __init__(self, sim: DingTalkSimulator) -> None:
        from alibabacloud_dingtalk.oauth2_1_0 import models as oauth
        from alibabacloud_dingtalk.oauth2_1_0.client import Client as OauthClient
        from alibabacloud_dingtalk.robot_1_0 import models as robot
        from alibabacloud_dingtalk.robot_1_0.client import Client as RobotClient
        from alibabacloud_tea_openapi.models import Config
        from alibabacloud_tea_util.models import RuntimeOptions

        config = Config(protocol="http", endpoint=sim.url.removeprefix("http://"))
        self.oauth, self.robot = oauth, robot
        self._oauth_client, self._robot_client = OauthClient(config), RobotClient(config)
        self._options = RuntimeOptions(read_timeout=5000, connect_timeout=5000)
        self._sim = sim

    async def token(self, secret: str | None = None) -> Any:
        request = self.oauth.GetAccessTokenRequest(
            app_key=self._sim.app_id, app_secret=secret or self._sim.app_secret
        )
        return (await asyncio.to_thread(self._oauth_client.get_access_token, request)).body

    async def _call(self, call: Callable[..., Any], request: Any, headers: Any, token: str) -> Any:
        headers.x_acs_dingtalk_access_token = token
        return (await asyncio.to_thread(call, request, headers, self._options)).body

    async def to_people(self, token: str, users: list[str], key: str, **param: str) -> Any:
        request = self.robot.BatchSendOTORequest(
            robot_code=self._sim.robot.code,
            user_ids=users,
            msg_key=key,
            msg_param=json.dumps(param, ensure_ascii=False),
        )
        headers = self.robot.BatchSendOTOHeaders()
        call = self._robot_client.batch_send_otowith_options
        return await self._call(call, request, headers, token)

    async def to_group(self, token: str, conversation: str, key: str, **param: str) -> Any:
        request = self.robot.OrgGroupSendRequest(
            robot_code=self._sim.robot.code,
            open_conversation_id=conversation,
            msg_key=key,
            msg_param=json.dumps(param, ensure_ascii=False),
        )
        headers = self.robot.OrgGroupSendHeaders()
        call = self._robot_client.org_group_send_with_options
        return await self._call(call, request, headers, token)

    async def download_url(self, token: str, code: str) -> str:
        request = self.robot.RobotMessageFileDownloadRequest(
            robot_code=self._sim.robot.code, download_code=code
        )
        headers = self.robot.RobotMessageFileDownloadHeaders()
        call = self._robot_client.robot_message_file_download_with_options
        return (await self._call(call, request, headers, token)).download_url


async def refused(work: Any) -> Any:
    """The error that the SDK raises: it has `.code` and a message."""
    with pytest.raises(Exception, match=r"code: 4\d\d|code: 5\d\d") as caught:
        await work
    return caught.value


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def sim(clock: ManualClock) -> AsyncGenerator[DingTalkSimulator]:
    async with DingTalkSimulator(app_id="dingapp", app_secret="s3cret", clock=clock) as running:
        yield running


@pytest.fixture
def sdk(sim: DingTalkSimulator) -> Sdk:
    return Sdk(sim)


async def test_the_same_token_is_given_again_with_a_new_life(
    sim: DingTalkSimulator, sdk: Sdk, clock: ManualClock
):
    first = await sdk.token()
    assert first.expire_in == 7200
    await clock.advance(7000)
    second = await sdk.token()
    assert second.access_token == first.access_token
    await clock.advance(7000)
    await sdk.to_people(second.access_token, ["alice"], "sampleText", content="still good")
    assert [entry.text for entry in sim.transcript.list()] == ["still good"]
    await clock.advance(201)
    error = await refused(sdk.to_people(second.access_token, ["alice"], "sampleText", content="x"))
    assert error.code == "InvalidAuthentication"
    assert (await sdk.token()).access_token != first.access_token


async def test_a_wrong_secret_gets_no_token(sdk: Sdk):
    error = await refused(sdk.token("wrong"))
    assert error.code == "invalidClientIdOrSecret"


async def test_a_private_message_reaches_those_who_work_here_and_names_the_others(
    sim: DingTalkSimulator, sdk: Sdk
):
    token = (await sdk.token()).access_token
    answer = await sdk.to_people(
        token, ["zhangsan", "nobody"], "sampleMarkdown", title="日程", text="**明天**"
    )
    assert answer.process_query_key
    assert answer.invalid_staff_id_list == ["nobody"]
    (shown,) = sim.transcript.list()
    assert (shown.conversation, shown.kind, shown.title, shown.text, shown.reply_to) == (
        *("cid-private-zhangsan", "markdown", "日程", "**明天**", None),
    )


async def test_a_group_message_is_shown_in_that_group(sim: DingTalkSimulator, sdk: Sdk):
    token = (await sdk.token()).access_token
    group = sim.directory.group().id
    assert (await sdk.to_group(token, group, "sampleText", content="大家好")).process_query_key
    (shown,) = sim.transcript.list(conversation=group)
    assert (shown.text, shown.chat) == ("大家好", "group")


async def test_what_is_wrong_with_a_send_is_said_by_its_code(sim: DingTalkSimulator, sdk: Sdk):
    token = (await sdk.token()).access_token
    group = sim.directory.group().id
    text = {"content": "x"}
    cases = [
        (sdk.to_people("", ["alice"], "sampleText", **text), "MissingAccessToken"),
        (sdk.to_people(token, [], "sampleText", **text), "invalidParameter.userIds.empty"),
        (
            sdk.to_people(token, [f"u{n}" for n in range(21)], "sampleText", **text),
            "invalidParameter.userIds.overMax",
        ),
        (sdk.to_people(token, ["alice"], "sampleVoid", **text), "invalidParameter.msgKey.invalid"),
        (sdk.to_people(token, ["alice"], "", **text), "invalidParameter.msgKey.empty"),
        (sdk.to_people(token, ["alice"], "sampleText"), "invalidParameter.msgParam.invalid"),
        (
            sdk.to_people(token, ["alice"], "sampleText", content="长" * 5000),
            "invalidParameter.msgParam.tooLong",
        ),
        (sdk.to_group(token, "cid-elsewhere", "sampleText", **text), "invalid.openConversationId"),
        (sdk.to_group(token, "", "sampleText", **text), "miss.openConversationId"),
    ]
    for work, code in cases:
        assert (await refused(work)).code == code
    sim.faults.change({"group_disbanded": True})
    assert (await refused(sdk.to_group(token, group, "sampleText", **text))).code == (
        "group.disbanded"
    )
    assert sim.transcript.list() == []


@pytest.mark.parametrize(
    ("knob", "code"),
    [
        ({"throttle_after": 0}, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"),
        ({"monthly_quota": True}, "Forbidden.AccessDenied.ApiCountLimitForOrg"),
        (
            {"missing_scope": "qyapi_robot_sendmsg"},
            "Forbidden.AccessDenied.AccessTokenPermissionDenied",
        ),
        ({"expired_token": 1}, "InvalidAuthentication"),
        ({"error_burst": 1}, "ServiceUnavailable"),
    ],
)
async def test_the_sdk_surfaces_the_code_of_an_injected_refusal(
    sim: DingTalkSimulator, sdk: Sdk, knob: dict[str, Any], code: str
):
    token = (await sdk.token()).access_token
    sim.faults.change(knob)
    assert (await refused(sdk.to_people(token, ["alice"], "sampleText", content="x"))).code == code
    assert sim.transcript.list() == []


async def test_calls_above_the_limit_a_second_are_refused_for_each_api_alone(
    sim: DingTalkSimulator, sdk: Sdk
):
    token = (await sdk.token()).access_token
    sim.faults.change({"qps_limit": 1})
    group = sim.directory.group().id
    await sdk.to_people(token, ["alice"], "sampleText", content="first")
    await sdk.to_group(token, group, "sampleText", content="another api")
    error = await refused(sdk.to_people(token, ["alice"], "sampleText", content="second"))
    assert error.code == "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"


async def test_a_picture_that_a_person_sent_can_be_downloaded(sim: DingTalkSimulator, sdk: Sdk):
    from ai_engine.simulators.files import SharedFile

    token = (await sdk.token()).access_token
    picture = SharedFile(kind="picture", name="a.png", mime="image/png", content=b"\x89PNG")
    asked = await sim.say("alice", file=picture)
    entry = sim.transcript.get(asked)
    assert entry is not None
    assert entry.kind == "picture"
    url = await sdk.download_url(token, entry.url.removeprefix("/files/"))
    async with sim.http.get(url) as answer:
        assert (await answer.read(), answer.content_type) == (b"\x89PNG", "image/png")
    await refused(sdk.download_url(token, "unknown"))
