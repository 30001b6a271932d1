"""Pictures and files: read by their private address, sent by Slack's external upload.

Source: docs.slack.dev, "Working with files" (`url_private` needs the bot token as Bearer; without
`files:read` Slack leads to a login page) and `files.getUploadURLExternal`.
"""

from typing import Any, Final, cast
from urllib.parse import urlsplit

from ai_engine.channels.slack.client import FILES, SlackClient, SlackRefused, missing_scope
from ai_engine.channels.slack.inbound_files import BY_ID
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import Attachment, Json, Media
from ai_engine.security.egress import Egress

UPLOAD_SECONDS_MAX: Final = 50.0
READ_SCOPE: Final = "files:read"


class Files:
    """Up and down. Every address that Slack gives is checked before the token goes there."""

    def __init__(self, client: SlackClient) -> None:
        self._client = client

    def _checked(self, url: str) -> str:
        """The URL, on Slack's file host or on a configured endpoint's. Raises SendRefused."""
        try:
            return Egress.check(url, (FILES,))
        except SendRefused:
            if not self._client.configured:
                raise
            return Egress.check_host(url, self._client.configured)

    async def fetch(self, attachment: Attachment, bytes_max: int) -> Media:
        """The content. Raises SendRetryable, SendRefused, PermissionMissing."""
        if attachment.bytes_size > bytes_max:
            raise SendRefused(f"{attachment.name!r} has more than {bytes_max} bytes")
        url = attachment.ref
        if url.startswith(BY_ID):
            url = await self._address(url.removeprefix(BY_ID))
        client = self._client
        answer = await client.api.call(
            "GET", self._checked(url), headers=client.bearer, bytes_max=bytes_max
        )
        mime = answer.headers.get("content-type", "").partition(";")[0].strip()
        login = answer.status in (301, 302, 303, 307) or (
            mime == "text/html" and "html" not in attachment.mime
        )
        if login:
            raise client.lacking(missing_scope(READ_SCOPE, "the download"))
        client.api.refuse_failure(answer, "the download")
        client.granted(READ_SCOPE)
        return Media(
            kind=attachment.kind,
            content=answer.body,
            name=attachment.name,
            mime=attachment.mime or mime,
        )

    async def _address(self, file_id: str) -> str:
        found = await self._client.call("files.info", form={"file": file_id})
        file: Any = found.get("file")
        known = cast("Json", file) if isinstance(file, dict) else {}
        url = known.get("url_private_download") or known.get("url_private")
        if not isinstance(url, str):
            raise SendRefused("Slack tells no address of the file")
        return url

    async def upload(self, media: Media, *, channel: str, thread_ts: str) -> None:
        """Send one file into a chat. Raises SendRetryable, SendRefused, PermissionMissing."""
        client = self._client
        form = {"filename": media.name, "length": str(len(media.content))}
        ticket = await client.call("files.getUploadURLExternal", form=form)
        url, file_id = ticket.get("upload_url"), ticket.get("file_id")
        if not isinstance(url, str) or not isinstance(file_id, str):
            raise SlackRefused("Slack gave no address for the upload", error="no_upload_url")
        answer = await client.api.call(
            "POST",
            self._checked(url),
            data=media.content,
            headers={"Content-Type": "application/octet-stream"},
            seconds_max=UPLOAD_SECONDS_MAX,
        )
        client.api.refuse_failure(answer, f"the upload to {urlsplit(url).hostname}")
        body: Json = {"files": [{"id": file_id, "title": media.name}], "channel_id": channel}
        if thread_ts:
            body["thread_ts"] = thread_ts
        await client.call("files.completeUploadExternal", body)
