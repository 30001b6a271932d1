"""What the `email` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="email",
    zh="电子邮件",
    en="E-mail",
    needs={"*": ("imap", "smtp", "user", "password", "allow_senders")},
    aliases={"user": "app_id", "password": "app_secret"},
    hints={
        "imap": "Write the IMAP server as imaps://host:993 or imap+starttls://host:143.",
        "smtp": "Write the SMTP server as smtps://host:465 or smtp+starttls://host:587.",
        "user": "Write the mailbox's address; auth.app_id is taken for it, too.",
        "allow_senders": "Nobody is answered: list addresses, or domains as @example.org.",
    },
    endpoints=(),
)
