"""The e-mail channel against a real IMAP server (Dovecot) and a real SMTP server."""

import pytest

from support.dovecot import DOMAIN, Dovecot
from support.mail_world import mail_world, written


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot() as running:
        yield running


async def test_a_question_by_mail_is_answered_in_its_thread(dovecot):
    async with mail_world(dovecot) as world:
        mail = written(f"Ann <{world.ann}>", "How are *you*?\n\n-- \nAnn, CEO")
        world.deliver(mail)
        message = await world.next()
        assert message.text == "A question\n\nHow are *you*?"
        assert (message.sender.platform, message.sender.user_id) == ("email", world.ann)
        assert message.sender.name == "Ann"
        assert message.message_id == f"{world.ann} {mail['Message-ID']}"
        assert message.chat.id == mail["Message-ID"].strip("<>")
        reply = await world.answer(message, "Very **well**\n\n| a | b |\n|---|---|\n| 1 | 2 |")
        [got] = await world.got("ann")
        assert got["Subject"] == "Re: A question"
        assert got["In-Reply-To"] == got["References"] == mail["Message-ID"]
        assert got["Message-ID"] == f"<{reply.id}@{DOMAIN}>"
        assert (got["From"], got["To"]) == (world.bot, world.ann)
        assert (got["Auto-Submitted"], got["X-Auto-Response-Suppress"]) == ("auto-replied", "All")
        plain = got.get_body(("plain",)).get_content()
        assert "Very well" in plain
        assert "> How are *you*?" in plain
        html = got.get_body(("html",)).get_content()
        assert "<strong>well</strong>" in html
        assert "<table" in html
