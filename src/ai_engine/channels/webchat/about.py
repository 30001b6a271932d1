"""What the `webchat` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="webchat", zh="网页聊天", en="Web chat", replies=("markdown", "text", "card"), endpoints=()
)
