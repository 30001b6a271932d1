"""What the `email` connector says of itself."""

from typing import Final

from ai_engine.channels.about import About

ABOUT: Final = About(
    type="email",
    zh="电子邮件",
    en="E-mail",
    needs={"*": ("imap", "smtp", "user", "password", "allow_senders")},
    aliases={"user": "app_id", "password": "app_secret"},
    labels={
        "imap": (
            "收信服务器(IMAP),例如 imaps://imap.example.org:993",
            "the server for incoming mail (IMAP), such as imaps://imap.example.org:993",
        ),
        "smtp": (
            "发信服务器(SMTP),例如 smtps://smtp.example.org:465",
            "the server for outgoing mail (SMTP), such as smtps://smtp.example.org:465",
        ),
        "user": ("邮箱地址(登录名)", "the mailbox's address, which is its login"),
        "password": (
            "邮箱密码;许多服务商要求在邮箱设置中生成授权码(应用专用密码)",
            "the mailbox's password; many providers want an app password, made in its settings",
        ),
        "allow_senders": (
            "回复哪些发件人:地址或 @域名,多个以逗号分隔",
            "whose mail is answered: addresses, or domains as @example.org, with commas",
        ),
    },
    steps={
        "*": (
            (
                "用允许的发件人地址给该邮箱写一封信。",
                "Write to the mailbox from an address that is allowed.",
            ),
        ),
    },
    hints={
        "imap": "Write the IMAP server as imaps://host:993 or imap+starttls://host:143.",
        "smtp": "Write the SMTP server as smtps://host:465 or smtp+starttls://host:587.",
        "user": "Write the mailbox's address; auth.app_id is taken for it, too.",
        "allow_senders": "Nobody is answered: list addresses, or domains as @example.org.",
    },
    endpoints=(),
)
