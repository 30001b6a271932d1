"""Pictures and files, both ways.

Source: Microsoft, "Send and receive files using bot": pictures stand in the message, up to 1 MB;
a file needs the person's consent and is uploaded to their OneDrive, in private chats only.
"""

import base64
from typing import Final

from ai_engine.channels.connector import outgoing_media
from ai_engine.channels.host import Host
from ai_engine.channels.http import Api
from ai_engine.channels.teams.client import TeamsClient
from ai_engine.channels.teams.codec import PRESSED_REF
from ai_engine.channels.teams.fields import part, text
from ai_engine.channels.teams.urls import Trust, base_of
from ai_engine.domain.errors import Forbidden, Malformed, SendRefused
from ai_engine.domain.message import Attachment, Json, Media

PICTURE_BYTES_MAX: Final = 1_000_000
PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif"})
CONSENT: Final = "application/vnd.microsoft.teams.card.file.consent"
INFO: Final = "application/vnd.microsoft.teams.card.file.info"
UPLOAD_SECONDS_MAX: Final = 30.0

_ONLY_PRIVATE: Final = (
    "📎 {name}\n\nTeams 机器人只能在私聊中发送文件\n\nTeams bots send files in private chats only"
)


class Files:
    def __init__(
        self, host: Host, api: Api, client: TeamsClient, trust: Trust, bytes_max: int
    ) -> None:
        self._host = host
        self._api = api
        self._client = client
        self._trust = trust
        self._bytes_max = bytes_max

    async def fetch(self, attachment: Attachment) -> Media:
        """Raises SendRefused (too large, gone, not allowed), SendRetryable."""
        kind, _, url = attachment.ref.partition(":")
        if kind == "view" and url:  # kept by the connector: needs our token
            answer = await self._client.download(url, self._bytes_max)
        elif kind == "file" and url:  # the address itself is the right to read, for some minutes
            base = base_of(self._trust.file(url))
            answer = await self._api.download(url, allowed=(base,), bytes_max=self._bytes_max)
        else:
            raise SendRefused("Teams gave no address of the attachment")
        said = answer.headers.get("content-type", "").partition(";")[0].strip()
        return Media(
            kind=attachment.kind,
            content=answer.body,
            name=attachment.name,
            mime=attachment.mime or said,
        )

    async def message(self, attachment: Attachment, *, personal: bool) -> Json:
        """The activity that shows or offers it. Raises SendRefused."""
        found = await outgoing_media(self._host, attachment, self._bytes_max)
        if found.mime in PICTURES and len(found.content) <= PICTURE_BYTES_MAX:
            data = base64.b64encode(found.content).decode()
            return _with(
                {
                    "contentType": found.mime,
                    "contentUrl": f"data:{found.mime};base64,{data}",
                    "name": found.name,
                }
            )
        if not personal:
            return {"type": "message", "text": _ONLY_PRIVATE.format(name=found.name)}
        ref = attachment.url
        if not ref.startswith("blob:"):
            ref = await self._host.media.put(found.content, name=found.name, mime=found.mime)
        context: Json = {PRESSED_REF: ref, "name": found.name}
        content: Json = {
            "description": found.name,
            "sizeInBytes": len(found.content),
            "acceptContext": context,
            "declineContext": context,
        }
        return _with({"contentType": CONSENT, "name": found.name, "content": content})

    async def consented(self, activity: Json, service: str) -> None:
        """The person took or declined a file: upload it and show it in place of the question.

        Raises:
            Forbidden: the upload address is not the vendor's. Malformed. SendRetryable,
                SendRefused: it was not uploaded; the person may press again.
        """
        value = part(activity, "value")
        conversation = text(part(activity, "conversation"), "id")
        if value.get("action") == "accept":
            shown = await self._uploaded(value)
            path = ("conversations", conversation, "activities")
            await self._client.call("POST", service, path, shown)
        question = text(activity, "replyToId")
        if question:  # what the question says is settled; a second press would fail anyway
            path = ("conversations", conversation, "activities", question)
            await self._client.ask("DELETE", service, path)

    async def _uploaded(self, value: Json) -> Json:
        """The activity that shows the uploaded file."""
        ref = text(part(value, "context"), PRESSED_REF)
        info = part(value, "uploadInfo")
        if not ref.startswith("blob:"):
            raise Malformed("$.value.context: is no question of ours")
        try:
            url = self._trust.file(text(info, "uploadUrl", 8192))
        except SendRefused as error:
            raise Forbidden(error.message) from error
        found = await self._host.media.get(ref)
        if found is None or not found.content:
            raise SendRefused("the file is not kept any more")
        size = len(found.content)
        answer = await self._api.call(
            "PUT",
            url,
            data=found.content,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes 0-{size - 1}/{size}",
            },
            seconds_max=UPLOAD_SECONDS_MAX,
        )
        self._api.refuse_failure(answer, "the upload of a file")
        return _with(
            {
                "contentType": INFO,
                "contentUrl": text(info, "contentUrl", 8192),
                "name": text(info, "name") or found.name,
                "content": {
                    "uniqueId": text(info, "uniqueId"),
                    "fileType": text(info, "fileType"),
                },
            }
        )


def _with(attachment: Json) -> Json:
    return {"type": "message", "attachments": [attachment]}
