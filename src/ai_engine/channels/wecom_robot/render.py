"""Replies as the group robot's messages: markdown_v2, text, or a card to open.

Source: WeCom, "Group robot" (developer.work.weixin.qq.com/document/path/99110). `markdown_v2` has
tables, lists, code blocks and images; only `markdown` can name a member.
"""

import base64
import hashlib
from typing import Final

from ai_engine.channels.text import plain, sendable, split, with_card, without_tables
from ai_engine.domain.message import Json, Media
from ai_engine.domain.reply import Card, Reply

TEXT_BYTES_MAX: Final = 2048
MARKDOWN_BYTES_MAX: Final = 4096
IMAGE_BYTES_MAX: Final = 2 * 1024 * 1024
VOICE_BYTES_MAX: Final = 2 * 1024 * 1024
_CONTROLS: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "")
_TITLE_MAX: Final = 36
_BODY_MAX: Final = 160
_FIELDS_MAX: Final = 6
_JUMPS_MAX: Final = 3


def messages(reply: Reply, form: str, mention: str) -> list[Json]:
    """`form`: markdown | text. `mention`: the user id of a member who is to be notified."""
    card = _card(reply.card) if reply.card is not None else None
    text = reply.text if card is not None else with_card(reply.text, reply.card)
    clean = sendable(text).translate(_CONTROLS)
    found = _texts(clean, mention) if form == "text" else _markdown(clean, mention)
    return [*found, {"msgtype": "template_card", "template_card": card}] if card else found


def _texts(text: str, mention: str) -> list[Json]:
    parts = split(plain(text), TEXT_BYTES_MAX, "bytes")
    found: list[Json] = [{"msgtype": "text", "text": {"content": part}} for part in parts]
    if found and mention:
        found[-1]["text"]["mentioned_list"] = [mention]
    return found


def _markdown(text: str, mention: str) -> list[Json]:
    if not mention:
        parts = split(text, MARKDOWN_BYTES_MAX, "bytes")
        return [{"msgtype": "markdown_v2", "markdown_v2": {"content": part}} for part in parts]
    sign = f"<@{mention}>\n"
    parts = split(without_tables(text), MARKDOWN_BYTES_MAX - len(sign.encode()), "bytes")
    found: list[Json] = [{"msgtype": "markdown", "markdown": {"content": p}} for p in parts]
    if found:
        found[-1]["markdown"]["content"] = sign + parts[-1]
    return found


def _card(card: Card) -> Json | None:
    """A card to read and to open; None when it has no address or does not fit, and is text then.
    A robot hears nothing: buttons that call back are left out."""
    links = [button for button in card.buttons if button.url]
    image = card.image_url if card.image_url.startswith(("http://", "https://")) else ""
    title, body = plain(card.title).strip(), plain(card.markdown).strip()
    fits = (
        0 < len(title) <= _TITLE_MAX
        and len(body) <= _BODY_MAX
        and len(card.fields) <= _FIELDS_MAX
        and all(value for _, value in card.fields)
        and len(links) <= _JUMPS_MAX
    )
    if not fits or not (links or image):
        return None
    found: Json = {
        "card_type": "news_notice" if image else "text_notice",
        "main_title": {"title": sendable(title)},
        "card_action": {"type": 1, "url": links[0].url if links else image},
        "jump_list": [{"type": 1, "title": sendable(b.label), "url": b.url} for b in links],
        "horizontal_content_list": [
            {"keyname": sendable(name), "value": sendable(value)} for name, value in card.fields
        ],
    }
    if image:
        found["card_image"] = {"url": image}
    if body and image:
        found["vertical_content_list"] = [{"title": sendable(body)}]
    elif body:
        found["sub_title_text"] = sendable(body)
    return found


def image(media: Media) -> Json | None:
    """A picture within the message itself; None for what WeCom does not take as one."""
    if media.mime not in ("image/png", "image/jpeg") or len(media.content) > IMAGE_BYTES_MAX:
        return None
    digest = hashlib.md5(media.content, usedforsecurity=False).hexdigest()
    data = base64.b64encode(media.content).decode()
    return {"msgtype": "image", "image": {"base64": data, "md5": digest}}


def upload_kind(media: Media) -> str:
    """file | voice: what it is uploaded as."""
    voice = media.mime == "audio/amr" and len(media.content) <= VOICE_BYTES_MAX
    return "voice" if voice else "file"
