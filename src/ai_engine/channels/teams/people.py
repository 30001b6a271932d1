"""Persons and their chats with the bot: who they are, and where to write to them.

Source: Microsoft, "Send proactive messages" (POST /v3/conversations gives the one chat of a person
with the bot, again and again the same), "Get Teams specific context" (members).
"""

from collections import OrderedDict
from typing import Final

from ai_engine.channels.base import Profile
from ai_engine.channels.host import Host
from ai_engine.channels.teams.client import TeamsClient
from ai_engine.channels.teams.fields import text
from ai_engine.channels.teams.urls import Trust
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Json

_CHATS_MAX: Final = 10_000
_PLACE: Final = "place"
_NOTED_SECONDS: Final = 24 * 3600.0
"""Where activities come from is noted anew so often: notes are kept for 7 days."""


class People:
    """Remembers where activities came from: the connector's regional address and the tenant, over
    a restart too, and in this process the private chats, which can be asked for again."""

    def __init__(
        self, client: TeamsClient, app_id: str, tenant: str, trust: Trust, host: Host
    ) -> None:
        self._client = client
        self._bot = f"28:{app_id}"
        self._tenant = tenant
        self._chats: OrderedDict[str, str] = OrderedDict()
        self._trust = trust
        self._notes = host.notes
        self._clock = host.clock
        self._noted = ("", 0.0)
        self.service = trust.default
        """Where to write when the target does not say: of the last proved activity, until then
        the configured or the global address."""

    async def recall(self) -> None:
        """What was known before the restart, as far as it is still allowed."""
        place = (await self._notes.get(_PLACE) or "").split()
        if len(place) != 2:
            return
        try:
            self.service = self._trust.service(place[0])
        except SendRefused:
            return  # the configured address is another one now
        self._tenant = self._tenant or place[1]

    def noticed(self, target: Json) -> None:
        """A proved and allowed activity came from here."""
        self.service = target["service"]
        self._tenant = self._tenant or target["tenant"]
        place = f"{self.service} {self._tenant}"
        noted, until = self._noted
        if place != noted or self._clock.monotonic() >= until:
            self._noted = place, self._clock.monotonic() + _NOTED_SECONDS
            self._notes.put(_PLACE, place)
        if target["personal"]:
            self._remember(target["user"], target["conversation"])

    def _remember(self, user: str, conversation: str) -> None:
        self._chats[user] = conversation
        self._chats.move_to_end(user)
        while len(self._chats) > _CHATS_MAX:
            self._chats.popitem(last=False)

    def chat(self, user: str) -> str:
        """The private chat, as far as it is known here; else empty."""
        return self._chats.get(user, "")

    @property
    def tenant(self) -> str:
        return self._tenant

    async def place(self, target: Json) -> tuple[str, str]:
        """(service, conversation) to write to; a private chat is opened when none is known.

        Raises:
            SendRetryable, SendRefused.
        """
        service = text(target, "service", 2048) or self.service
        conversation = text(target, "conversation") or self.chat(text(target, "user"))
        return service, conversation or await self._opened(text(target, "user"), service)

    async def _opened(self, user: str, service: str) -> str:
        if not user or not self._tenant:
            raise SendRefused(
                "a new chat needs the person's id and the tenant's",
                hint="set auth.tenant, or wait until somebody of the tenant has written",
            )
        body: Json = {
            "bot": {"id": self._bot},
            "members": [{"id": user}],
            "isGroup": False,
            "tenantId": self._tenant,
            "channelData": {"tenant": {"id": self._tenant}},
        }
        found = await self._client.call("POST", service, ("conversations",), body)
        conversation = text(found, "id")
        if not conversation:
            raise SendRefused("Teams' answer names no conversation")
        self._remember(user, conversation)
        return conversation

    async def profile(self, user: str) -> Profile | None:
        """Name and e-mail address; None for somebody whom the bot cannot reach. Departments and
        managers are Microsoft Graph's, which needs rights of another kind.

        Raises:
            SendRetryable, SendRefused, PermissionMissing.
        """
        service, conversation = await self.place({"user": user})
        path = ("conversations", conversation, "members", user)
        answer = await self._client.ask("GET", service, path)
        if answer.status == 404:
            return None
        self._client.refuse(answer, "a request for a member")
        found = answer.json
        return Profile(
            user_id=user,
            name=text(found, "name"),
            email=text(found, "email") or text(found, "userPrincipalName"),
        )
