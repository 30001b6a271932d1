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
    hints={
        "secret": "Set a long random text that the calling system knows too: "
        "openssl rand -base64 32"
    },
    replies=("markdown", "text", "card"),
    endpoints=(),
)
