"""What the `webhook` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="webhook",
    zh="签名 Webhook",
    en="Signed webhook",
    modes=("webhook",),
    needs={"*": ("secret",)},
    aliases={"secret": "app_secret"},
    made=("secret",),
    labels={
        "secret": (
            "与调用方共享的密钥,任意长随机文本",
            "the secret that the calling system knows, too: any long random text",
        ),
    },
    steps={
        "*": (
            (
                "调用方用配置文件里 channels.{name}.auth.secret 的密钥签名,"
                "向 /api/message/{name} 发送消息。",
                "Callers sign with the secret at channels.{name}.auth.secret and post to "
                "/api/message/{name}.",
            ),
        ),
    },
    hints={
        "secret": "Set a long random text that the calling system knows too: "
        "openssl rand -base64 32"
    },
    replies=("markdown", "text", "card"),
    endpoints=(),
)
