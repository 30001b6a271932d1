"""Pictures and files, both ways.

Source: DingTalk, "Download the file content of a message that a robot received", "Upload media
files" (20 MB), "Robot message types".
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from ai_engine.channels.dingtalk.about import SEND
from ai_engine.channels.dingtalk.client import API, OAPI, DingTalkClient
from ai_engine.channels.dingtalk.render import template
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Attachment, Json, Media
from ai_engine.security.egress import Egress, origin

BYTES_MAX: Final = 20_000_000
_UPLOAD_SECONDS_MAX: Final = 50.0
_HOSTS: Final = (".dingtalk.com", ".aliyuncs.com")
"""DingTalk keeps files in its own hosts and in Alibaba Cloud's object storage."""
_PICTURES: Final = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


def download_url(url: str, trusted: tuple[str, ...]) -> str:
    """The address to fetch; those of DingTalk's hosts are always asked by https.

    Raises:
        SendRefused: neither DingTalk's nor a configured endpoint's; it names only the host.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise SendRefused("DingTalk's answer holds no download address") from None
    if host.endswith(_HOSTS) and "-internal." not in host and port in (None, 80, 443):
        return parts._replace(scheme="https", netloc=host).geturl()
    return Egress.check_host(url, (*trusted, API, OAPI))


async def fetch(
    client: DingTalkClient, attachment: Attachment, robot_code: str, bytes_max: int
) -> Media:
    """What a download code stands for. Raises SendRetryable, SendRefused."""
    answer = await client.call(
        "POST",
        "/v1.0/robot/messageFiles/download",
        {"downloadCode": attachment.ref, "robotCode": robot_code},
        what="downloading a file",
        permission=SEND,
    )
    url = answer.get("downloadUrl")
    if not isinstance(url, str):
        raise SendRetryable("DingTalk's answer holds no download address")
    checked = download_url(url, client.trusted)
    scheme, host, port = origin(checked)
    base = f"{scheme}://{host}:{port}"
    found = await client.http.download(checked, allowed=(base,), bytes_max=bytes_max)
    mime = found.headers.get("content-type", "").partition(";")[0].strip()
    return Media(
        kind=attachment.kind,
        content=found.body,
        name=attachment.name or attachment.kind,
        mime=mime or attachment.mime,
    )


def upload_kind(media: Media) -> str:
    """image | file, as DingTalk takes this one. Voice and video go as files: messages of their own
    kind need a length, and a video a picture, which nobody gave."""
    named = media.name.lower().endswith(_PICTURES) or media.mime.startswith("image/")
    return "image" if media.kind == "image" and named else "file"


async def uploaded(client: DingTalkClient, media: Media) -> Json:
    """The message template that shows this picture or file. Raises SendFailed."""
    kind = upload_kind(media)
    answer = await client.old(
        "/media/upload",
        _form(kind, media),
        what="uploading a file",
        permission="qyapi_base",
        seconds_max=_UPLOAD_SECONDS_MAX,
    )
    found = answer.get("media_id")
    if not isinstance(found, str) or not found:
        raise SendRefused("DingTalk's answer to an upload holds no media id")
    if kind == "image":
        return template("sampleImageMsg", {"photoURL": found})
    suffix = media.name.rpartition(".")[2] if "." in media.name else "bin"
    return template(
        "sampleFile", {"mediaId": found, "fileName": media.name, "fileType": suffix[:16]}
    )


def _form(kind: str, media: Media) -> Callable[[], aiohttp.FormData]:
    """A form can be sent once; a repeated call needs another."""

    def form() -> aiohttp.FormData:
        data = aiohttp.FormData()
        data.add_field("type", kind)
        mime = media.mime or "application/octet-stream"
        data.add_field("media", media.content, filename=media.name, content_type=mime)
        return data

    return form
