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
    replies=("markdown", "text", "card"),
    endpoints=(),
)
