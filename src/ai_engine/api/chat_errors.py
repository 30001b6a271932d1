"""What the web chat's connections say when they refuse or close; docs list every code."""

from enum import IntEnum
from typing import Final

from ai_engine.channels.webchat.frames import Error


class CloseCode(IntEnum):
    """WebSocket close codes: 1xxx from RFC 6455, 4xxx ours."""

    NORMAL = 1000
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_LATER = 1013
    NOT_THE_PROTOCOL = 4400
    UNAUTHENTICATED = 4401
    NO_HELLO = 4408
    TOO_SLOW = 4409
    IDLE = 4410
    VERSION = 4426
    THROTTLED = 4429


class Closing(Exception):
    """Ends a connection on purpose. Never leaves `ChatSocket`."""

    def __init__(self, code: CloseCode, reason: str, error: Error | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.error = error
        """Told to the client before the connection is closed."""


class Gone(Exception):
    """The client has closed the connection."""


_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "malformed": ("看不懂这个请求：{detail}", "This frame is not understood: {detail}"),
    "frame_too_large": (
        "内容过大，最多 {limit} 字节。",
        "This is too large: at most {limit} bytes.",
    ),
    "version": (
        "页面版本与服务器不一致，请刷新页面。",
        "This page and the server are of different versions. Please reload the page.",
    ),
    "unauthenticated": (
        "登录已失效，请使用新的登录链接。",
        "You are not signed in any more. Please use a new sign-in link.",
    ),
    "throttled": (
        "尝试次数过多，请 {seconds} 秒后再试。",
        "Too many wrong attempts. Please try again in {seconds} seconds.",
    ),
    "no_hello": ("等待登录超时。", "No hello came in time."),
    "idle": ("长时间没有操作，连接已关闭。", "Nothing was sent for a long time."),
    "too_many_connections": (
        "连接过多，请稍后再试。",
        "Too many connections. Please try again in a little while.",
    ),
    "text_empty": ("消息是空的。", "The message is empty."),
    "text_too_long": (
        "消息过长：最多 {limit} 个字符。",
        "The message is too long: at most {limit} characters.",
    ),
    "overloaded": (
        "系统繁忙，稍后会自动重发。",
        "The system is busy; the message is sent again shortly.",
    ),
    "refused": ("消息未被接受：{detail}", "The message was not accepted: {detail}"),
    "internal": (
        "服务器内部错误，连接将自动恢复。",
        "Something went wrong in the server; the connection will be restored.",
    ),
}
CODES: Final = tuple(_TEXTS)


def error_frame(
    code: str, *, client_id: str = "", retry_after_seconds: int = 0, **values: object
) -> Error:
    """The frame for one of `CODES`, in both languages."""
    chinese, english = _TEXTS[code]
    return Error(
        code=code,
        message_zh=chinese.format(**values),
        message_en=english.format(**values),
        client_id=client_id,
        retry_after_seconds=retry_after_seconds,
    )
