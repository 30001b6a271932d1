"""Messages on their way out: by the sessionWebhook while it lives, else by the proactive API."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from ai_engine.channels.base import Notes, Outgoing
from ai_engine.channels.dingtalk.about import SEND
from ai_engine.channels.dingtalk.client import DingTalkClient, HookGone
from ai_engine.channels.dingtalk.render import (
    TEXT_LIMIT_BYTES,
    link_buttons,
    rendered,
    session_body,
    template_body,
)
from ai_engine.channels.progress import Progress, Step
from ai_engine.channels.text import split
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

_EXPIRY_MARGIN_SECONDS: Final = 5.0
_NOTICED: Final = "👀收到"
_EMOTION: Final = {"emotionId": "2659900", "backgroundId": "im_bg_1"}
"""A reaction with words of our own (`RobotReplyEmotion` of the vendor's SDK, emotionType 2)."""


class Sender:
    """One channel's messages, in the form of its answers."""

    def __init__(
        self,
        name: str,
        config: ChannelConfig,
        client: DingTalkClient,
        clock: Clock,
        notes: Notes,
    ) -> None:
        self._done = Progress(notes)
        self._name = name
        self._auth = config.auth
        self._client = client
        self._clock = clock
        self.form = "text" if config.reply == "text" else "markdown"

    async def send(
        self, outgoing: Outgoing, shown: Sequence[Json], rest: Sequence[str] | None = None
    ) -> None:
        """The whole answer by the sessionWebhook while it lives, else by the proactive API; or only
        the `rest` that a card did not hold. Then `shown`, the messages of pictures and files.
        DingTalk knows no repeats here: what an earlier attempt has sent is not sent again."""
        way = "words" if rest is None else "rest"
        words = self._words(outgoing) if rest is None else self._parts(rest, outgoing)
        files = [partial(self.template, each, outgoing.target) for each in shown]
        await self._done.run(f"{way} {outgoing.reply.id}", [*words, *files])

    def _words(self, outgoing: Outgoing) -> list[Step]:
        buttons = link_buttons(outgoing.reply) if self.form == "markdown" else ()
        words = rendered(outgoing.reply, self.form, links=not buttons)
        parts = split(words, TEXT_LIMIT_BYTES, "bytes")
        if buttons and len(parts) == 1:
            shown = session_body(words, self.form, "", buttons)
            return [partial(self._one, shown, template_body(words, self.form, buttons), outgoing)]
        whole = rendered(outgoing.reply, self.form)
        return self._parts(split(whole, TEXT_LIMIT_BYTES, "bytes"), outgoing)

    def _parts(self, parts: Sequence[str], outgoing: Outgoing) -> list[Step]:
        steps: list[Step] = []
        for n, words in enumerate(parts, 1):
            last = n == len(parts) and outgoing.reply.final
            mention = self._mention(outgoing.target) if last else ""
            body = session_body(words, self.form, mention)
            steps.append(partial(self._one, body, template_body(words, self.form), outgoing))
        return steps

    async def _one(self, body: Json, template: Json, outgoing: Outgoing) -> None:
        target = outgoing.target
        hook, expires = target.get("sessionWebhook", ""), target.get("expires", 0.0)
        if hook and (not expires or self._clock.time() < expires - _EXPIRY_MARGIN_SECONDS):
            try:
                await self._client.send_by_session(hook, body, outgoing.reply.produced_by)
            except HookGone as gone:
                log.info("channel %s: sessionWebhook unusable (%s)", self._name, gone)
            else:
                return
        await self.template(template, target)

    @staticmethod
    def _mention(target: Json) -> str:
        """In a group the asker is notified; a long answer notifies once, with its last part."""
        return target.get("senderStaffId", "") if target.get("conversationType") == "2" else ""

    def robot_code(self, target: Json) -> str:
        """Raises SendRefused: none is known."""
        auth = self._auth
        found = auth.robot_code or target.get("robotCode") or auth.app_id
        if not found:
            raise SendRefused(
                "no robot code is known", hint="set auth.app_id, or auth.robot_code if it differs"
            )
        return found

    async def template(self, template: Json, target: Json) -> None:
        robot_code = self.robot_code(target)
        if target.get("conversationType") == "2":
            await self._client.send_group(target["conversationId"], robot_code, template)
        elif target.get("senderStaffId"):
            await self._client.send_private(target["senderStaffId"], robot_code, template)
        else:
            raise SendRefused(
                "the session's reply address is over and DingTalk gave no staff id of the person",
                hint="publish the app; people outside the organisation cannot be reached later",
            )

    async def react(self, target: Json) -> None:
        """A reaction below the person's message. Raises SendFailed."""
        message, conversation = target.get("msgId", ""), target.get("conversationId", "")
        if not message or not conversation:
            return
        words = {"emotionName": _NOTICED, "text": _NOTICED}
        body: Json = {
            "robotCode": self.robot_code(target),
            "openMsgId": message,
            "openConversationId": conversation,
            "emotionType": 2,
            "emotionName": _NOTICED,
            "textEmotion": {**_EMOTION, **words},
        }
        path = "/v1.0/robot/emotion/reply"
        await self._client.call("POST", path, body, what=path, permission=SEND)
