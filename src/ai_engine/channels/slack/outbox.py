"""Replies on their way to Slack: one message, perhaps a card of its own, then files."""

import logging
from typing import Final

from ai_engine.channels.base import Outgoing
from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.progress import Progress, Step
from ai_engine.channels.slack import cards
from ai_engine.channels.slack.client import HOOKS, SlackClient, SlackRefused
from ai_engine.channels.slack.files import Files
from ai_engine.channels.slack.markup import escape, mrkdwn
from ai_engine.channels.slack.people import People
from ai_engine.channels.text import plain, with_card
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Card, Reply
from ai_engine.security.egress import Egress

log = logging.getLogger(__name__)

_TOGETHER_MAX: Final = 8_000
"""A text and a card whose words have more characters than this are two messages."""
UNSHOWABLE: Final = frozenset(
    ("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "blocks_too_long")
)
_OUT_OF_REACH: Final = frozenset(("channel_not_found", "not_in_channel"))
NOTICE_CHARS: Final = 200


class Outbox:
    """Owned by the channel."""

    def __init__(
        self, config: ChannelConfig, host: Host, client: SlackClient, people: People, bytes_max: int
    ) -> None:
        self._config = config
        self._host = host
        self._client = client
        self._people = people
        self._files = Files(client)
        self._bytes_max = bytes_max
        self.plain = config.reply == "text"
        self._done = Progress(host.notes)

    async def channel_of(self, target: Json) -> str:
        """The chat's id; a person's private chat is opened. Raises SendRetryable, SendRefused."""
        return target.get("channel") or await self._people.private_chat(target["user"])

    async def send(self, outgoing: Outgoing) -> None:
        """Text and card, then files. A repeated attempt goes on where the last one stopped."""
        reply = outgoing.reply
        first: list[Step] = []
        if reply.text.strip() or reply.card is not None:
            card, feedback = self.together(reply)
            first = [lambda: self._post(outgoing, reply.text, card, feedback)]
        await self._done.run(reply.id, [*first, *self._after(outgoing)])

    async def send_rest(self, outgoing: Outgoing) -> None:
        """What a finished stream could not carry."""
        await self._done.run(outgoing.reply.id, self._after(outgoing))

    def together(self, reply: Reply) -> tuple[Card | None, str]:
        """The card and the feedback that go into the same message as the text."""
        return (None, "") if self._apart(reply) else (reply.card, reply.feedback)

    def _after(self, outgoing: Outgoing) -> list[Step]:
        reply = outgoing.reply
        steps: list[Step] = []
        if self._apart(reply):
            steps.append(lambda: self._post(outgoing, "", reply.card, reply.feedback))
        return steps + self._uploads(outgoing)

    def _uploads(self, outgoing: Outgoing) -> list[Step]:
        async def upload(n: int) -> None:
            media = await outgoing_media(self._host, outgoing.reply.media[n], self._bytes_max)
            channel = await self.channel_of(outgoing.target)
            thread = outgoing.target.get("thread_ts", "")
            await self._files.upload(media, channel=channel, thread_ts=thread)

        return [lambda n=n: upload(n) for n in range(len(outgoing.reply.media))]

    def _apart(self, reply: Reply) -> bool:
        card = reply.card
        if card is None or not reply.text.strip() or self.plain:
            return False
        words = len(card.markdown) + sum(len(name) + len(value) for name, value in card.fields)
        return len(reply.text) + words > _TOGETHER_MAX

    async def body(self, text: str, card: Card | None, feedback: str) -> Json:
        """A message as `chat.postMessage` and `chat.update` take it."""
        if self.plain:
            words = plain(cards.clean(with_card(text, card)))
            notice = escape(words[:NOTICE_CHARS])
            return {"text": notice or "…", "blocks": cards.plain_blocks(words)}
        blocks = [
            *cards.text_blocks(text),
            *await self.below(card, feedback),
        ]
        notice = cards.notice(Reply(id="", text=text, card=card))
        return {"text": notice, "blocks": blocks} if blocks else {"text": notice or "…"}

    async def below(self, card: Card | None, feedback: str) -> list[Json]:
        """What stands under the text: the card, and 👍 👎."""
        if self.plain:
            return []
        values = [await self._value(button.value) for button in card.buttons] if card else []
        rated = cards.feedback_blocks(feedback) if self._config.feedback else []
        return [*cards.card_blocks(card, values), *rated]

    async def _value(self, value: Json) -> str:
        """What comes back when the button is pressed; kept here when it is too long for Slack."""
        text = cards.button_value(value)
        if text is not None:
            return text
        content = cards.encoded(value)
        return await self._host.media.put(content, mime="application/json")

    def fallback(self, text: str, card: Card | None) -> Json:
        """The same words for a workspace that cannot show these blocks."""
        return {"text": mrkdwn(cards.clean(with_card(text, card))), "blocks": []}

    async def _post(self, outgoing: Outgoing, text: str, card: Card | None, feedback: str) -> None:
        body = await self.body(text, card, feedback)
        try:
            await self._deliver(outgoing, body)
        except SlackRefused as refused:
            if refused.error not in UNSHOWABLE or "blocks" not in body:
                raise
            log.info("Slack cannot show the blocks of an answer (%s)", refused.error)
            await self._deliver(outgoing, self.fallback(text, card))

    async def _deliver(self, outgoing: Outgoing, body: Json) -> None:
        target, by = outgoing.target, outgoing.reply.produced_by
        message: Json = {
            **body,
            "channel": await self.channel_of(target),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if target.get("thread_ts"):
            message["thread_ts"] = target["thread_ts"]
        try:
            await self._client.call("chat.postMessage", message, produced_by=by)
        except SlackRefused as refused:
            if refused.error not in _OUT_OF_REACH or not target.get("response_url"):
                raise
            await self._respond(target, body, message, by)

    async def _respond(self, target: Json, body: Json, message: Json, by: str) -> None:
        """A command from a chat that the bot is not in: by its response address while that lives,
        then in the person's private chat."""
        if self._host.clock.time() < target.get("response_until", 0.0):
            try:
                url = self._checked(target["response_url"])
                answer = await self._client.api.call("POST", url, json=body)
                self._client.api.refuse_failure(answer, "the response address")
            except SendRefused as refused:
                log.info("a command's response address is over: %s", refused.message)
            else:
                return
        chat = await self._people.private_chat(target["user"])
        await self._client.call("chat.postMessage", {**message, "channel": chat}, produced_by=by)

    def _checked(self, url: str) -> str:
        try:
            return Egress.check(url, (HOOKS,))
        except SendRefused:
            if not self._client.configured:
                raise
            return Egress.check_host(url, self._client.configured)
