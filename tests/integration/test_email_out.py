"""Mails out of the channel: a real SMTP server that delivers into Dovecot."""

import base64
import logging

import pytest

from ai_engine.channels.email import channel
from ai_engine.domain.errors import Malformed, SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Attachment
from ai_engine.domain.reply import Button, Card, Reply

from support.dovecot import DOMAIN, PASSWORD, Dovecot
from support.mail_world import mail_world, written
from support.smtp import Smtp

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 1000


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot() as running:
        yield running


async def asked(world, text="hello", **fields):
    world.deliver(written(world.ann, text, **fields))
    return await world.next()


def target(world, **more):
    return {"conversation": "c", "to": world.ann, "subject": "s", "message_id": "<q@x>", **more}


def data_url(content, mime):
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


async def test_pictures_and_files_are_sent_with_the_answer(dovecot):
    async with mail_world(dovecot, start=False) as world:
        ref = await world.host.media.put(b"%PDF", name="r.pdf", mime="application/pdf")
        media = (
            Attachment(kind="image", name="图.png", url=data_url(PNG, "image/png")),
            Attachment(kind="file", name="r.pdf", url=ref),
            Attachment(kind="file", name="x\r\nBcc: e@e", url=data_url(b"1", "multipart/x")),
        )
        reply = Reply(id="r_1", text="Here", media=media)
        await world.channel.send(world.outgoing(target(world), reply))
        [got] = await world.got("ann")
        found = [(each.get_filename(), each.get_content_type()) for each in got.iter_attachments()]
        assert found[:2] == [("图.png", "image/png"), ("r.pdf", "application/pdf")]
        assert found[2] == ("xBcc: e@e", "application/octet-stream")
        assert next(got.iter_attachments()).get_content() == PNG
        assert got["Bcc"] is None


async def test_attachments_that_do_not_fit_go_in_a_further_mail(dovecot, monkeypatch):
    monkeypatch.setattr(channel, "_SENT_BYTES_MAX", 8000)
    async with mail_world(dovecot, start=False) as world:
        one = Attachment(kind="image", name="1.png", url=data_url(PNG, "image/png"))
        two = Attachment(kind="image", name="2.png", url=data_url(PNG, "image/png"))
        reply = Reply(id="r_2", text="Here", media=(one, two))
        await world.channel.send(world.outgoing(target(world), reply))
        first, second = await world.got("ann", 2)
        assert [each["Message-ID"] for each in (first, second)] == [
            f"<r_2@{DOMAIN}>", f"<r_2.1@{DOMAIN}>"
        ]  # fmt: skip
        assert second.get_body(("plain",)).get_content().strip() == "2.png"


async def test_a_file_that_is_too_large_is_not_sent(dovecot, monkeypatch):
    monkeypatch.setattr(channel, "MEDIA_BYTES_MAX", 5)
    async with mail_world(dovecot, start=False) as world:
        media = (Attachment(kind="file", name="x", url=data_url(b"123456", "text/plain")),)
        with pytest.raises(SendRefused, match="more than 5 bytes"):
            await world.channel.send(world.outgoing(target(world), Reply(id="r", media=media)))
        assert world.smtp.taken == []


async def test_a_card_is_a_table_with_links_and_words_to_send_back(dovecot):
    card = Card(
        title="Leave <b>",
        markdown="Please *decide*",
        fields=(("From", "1 May"), ("Days", "5 & more")),
        buttons=(
            Button(label="Open", url="https://example.test/x?a=1&b=2", style="primary"),
            Button(label="Bad", url="javascript:alert(1)"),
            Button(label="Approve", value={"text": "/yes"}),
            Button(label="Other", value={"call": "c1"}),
        ),
    )
    async with mail_world(dovecot, start=False) as world:
        reply = Reply(id="r_3", text="Look", card=card, feedback="t1")
        await world.channel.send(world.outgoing(target(world), reply))
        [got] = await world.got("ann")
        plain = got.get_body(("plain",)).get_content()
        html = got.get_body(("html",)).get_content()
        assert "Days: 5 & more" in plain
        assert "Open: https://example.test/x?a=1&b=2" in plain
        assert "Approve: 回复 “/yes” · reply “/yes”" in plain
        assert "<h3>Leave &lt;b&gt;</h3>" in html
        assert "5 &amp; more</td>" in html
        assert 'href="https://example.test/x?a=1&amp;b=2"' in html
        for text in (plain, html):
            assert "javascript" not in text
            assert "Other" not in text
            assert "/good" in text


async def test_without_feedback_nobody_is_asked_for_a_rating(dovecot):
    async with mail_world(dovecot, start=False, feedback=False) as world:
        reply = Reply(id="r_4", text="hi", feedback="t1")
        await world.channel.send(world.outgoing(target(world), reply))
        assert "/good" not in (await world.got("ann"))[0].get_body(("plain",)).get_content()


async def test_an_answer_of_good_or_bad_is_a_command_whatever_is_quoted_below(dovecot):
    async with mail_world(dovecot) as world:
        text = "/good\n\nOn Monday, Bot wrote:\n> hi\n"
        assert (await asked(world, text)).text == "/good"


async def test_the_text_form_has_no_marks_and_no_html(dovecot):
    async with mail_world(dovecot, start=False, reply="text") as world:
        await world.channel.send(world.outgoing(target(world), Reply(id="r_5", text="**so**")))
        [got] = await world.got("ann")
        assert got.get_content_type() == "text/plain"
        assert got.get_content().strip() == "so"


async def test_what_others_wrote_begins_no_header_and_no_script(dovecot):
    evil = "x\r\nBcc: all@example.test\r\n\r\n<script>alert(1)</script>"
    async with mail_world(dovecot, start=False) as world:
        more = {
            "subject": evil,
            "name": evil,
            "date": evil,
            "quoted": evil,
            "message_id": "<q@x>\r\nBcc: a@b",
            "references": ["<a@b>", evil, "<" + "y" * 240 + "@z>"],
        }
        text = "<script>alert(2)</script> [x](javascript:alert(3)) ![p](https://e.test/p.png)"
        reply = Reply(id="r\r\nBcc: e@e", text=text)
        await world.channel.send(world.outgoing(target(world, **more), reply))
        [got] = await world.got("ann")
        assert got["Bcc"] is None
        assert got["References"].split() == ["<a@b>", "<" + "y" * 240 + "@z>"]
        html = got.get_body(("html",)).get_content()
        assert "<script" not in html
        assert "<img" not in html
        assert 'href="javascript' not in html
        assert all(len(line) < 1000 for line in world.smtp.taken[0][2].split(b"\r\n"))


async def test_people_on_the_list_are_written_to_unasked_and_their_answers_belong_to_it(dovecot):
    async with mail_world(dovecot) as world:
        found = world.channel.address(f"user:{world.ann.upper()}")
        assert (found.user_id, found.target["to"]) == (world.ann, world.ann)
        reply = Reply(id="r_6", text="Time to go")
        await world.channel.send(world.outgoing(found.target, reply))
        [got] = await world.got("ann")
        assert got["Auto-Submitted"] == "auto-generated"
        assert got["In-Reply-To"] is None
        assert got["Subject"]
        references = f"{got['References']} {got['Message-ID']}"
        answer = await asked(world, "ok", in_reply_to=got["Message-ID"], references=references)
        assert answer.chat.id == found.chat.id
        for wrong in ("user:eve@elsewhere.test", "user:nobody", "group:x", "user:a@b\r\nc"):
            with pytest.raises(Malformed):
                world.channel.address(wrong)
        with pytest.raises(SendRefused, match="allow_senders"):
            await world.channel.send(world.outgoing({"to": "eve@elsewhere.test"}, reply))


async def test_a_busy_server_is_tried_again_later_and_a_refusal_is_final(dovecot):
    async with mail_world(dovecot, start=False) as world:
        outgoing = world.outgoing(target(world), Reply(id="r_7", text="hi"))
        world.smtp.refusals[world.ann] = [
            "451 4.7.1 Greylisted",
            "550 5.4.5 Daily user sending quota exceeded",
            "550 5.1.1 No such user",
        ]
        for wait in (60.0, 900.0):
            with pytest.raises(SendRetryable) as caught:
                await world.channel.send(outgoing)
            assert caught.value.retry_after_seconds == wait
        with pytest.raises(SendRefused, match="No such user"):
            await world.channel.send(outgoing)
        await world.channel.send(outgoing)
        assert len(await world.got("ann")) == 1


async def test_an_attempt_that_is_repeated_has_the_same_id(dovecot):
    async with mail_world(dovecot, start=False) as world:
        outgoing = world.outgoing(target(world), Reply(id="r_8", text="hi"))
        world.smtp.hang_up_after_data = True
        with pytest.raises(SendRetryable):
            await world.channel.send(outgoing)
        await world.channel.send(outgoing)
        one, two = await world.got("ann", 2)
        assert one["Message-ID"] == two["Message-ID"] == f"<r_8@{DOMAIN}>"


async def test_a_server_that_is_gone_is_tried_again(dovecot):
    async with mail_world(dovecot, start=False, auth={"smtp": "smtp://127.0.0.1:1"}) as world:
        with pytest.raises(SendRetryable):
            await world.channel.send(world.outgoing(target(world), Reply(id="r", text="x")))


async def test_a_wrong_password_shows_in_the_status_until_a_login_works(dovecot):
    async with mail_world(dovecot) as world:
        world.smtp.login_answer = "535 5.7.8 no"
        outgoing = world.outgoing(target(world), Reply(id="r_9", text="hi"))
        with pytest.raises(SendRetryable):
            await world.channel.send(outgoing)
        status = world.channel.status()
        assert (status.state, status.connected) == ("failing", False)
        assert "SMTP server does not take" in status.detail
        with pytest.raises(Unauthenticated):
            await world.channel.check()
        world.smtp.login_answer = None
        await world.channel.send(outgoing)
        assert world.channel.status().state == "connected"


async def test_the_check_logs_in_to_both_servers_and_sends_nothing(dovecot):
    async with mail_world(dovecot, start=False) as world:
        said = await world.channel.check()
        assert "IMAP login ok (with IDLE)" in said
        assert "SMTP login ok" in said
        assert world.smtp.taken == []
    async with mail_world(dovecot, start=False, auth={"password": "wrong"}) as world:
        with pytest.raises(Unauthenticated, match="IMAP server does not take"):
            await world.channel.check()


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_both_servers_are_spoken_to_under_tls(dovecot, monkeypatch, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(dovecot.folder / "cert.pem"))
    imap = {
        "implicit": f"imaps://localhost:{dovecot.imaps}",
        "starttls": f"imap+starttls://127.0.0.1:{dovecot.imap}",
    }[tls]
    with Smtp(dovecot, tls) as smtp:
        async with mail_world(dovecot, smtp, auth={"imap": imap, "smtp": smtp.url}) as world:
            message = await asked(world, "safe?")
            await world.answer(message, "yes")
            assert "yes" in (await world.got("ann"))[0].get_body(("plain",)).get_content()


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(dovecot, tls):
    imap = {
        "implicit": f"imaps://localhost:{dovecot.imaps}",
        "starttls": f"imap+starttls://127.0.0.1:{dovecot.imap}",
    }[tls]
    with Smtp(dovecot, tls) as smtp:
        world = mail_world(dovecot, smtp, start=False, auth={"imap": imap, "smtp": smtp.url})
        async with world as running:
            with pytest.raises(SendRetryable, match="SSL_CERT_FILE"):
                await running.channel.check()
            with pytest.raises(SendRetryable):
                await running.channel.send(
                    running.outgoing(target(running), Reply(id="r", text="x"))
                )
            assert smtp.logins == 0


async def test_no_log_holds_the_password_or_what_people_wrote(dovecot, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="mail.log")  # the test server's own
    coded = base64.b64encode(f"\0bot\0{PASSWORD}".encode()).decode()
    async with mail_world(dovecot) as world:
        message = await asked(world, "a private matter")
        await world.answer(message, "a private answer")
        await world.channel.check()
        world.smtp.login_answer = "535 no"
        with pytest.raises(Unauthenticated) as caught:
            await world.channel.check()
        login = base64.b64encode(f"\0{world.bot}\0{PASSWORD}".encode()).decode()
    lines = [each.getMessage() for each in caplog.records if each.name != "mail.log"]
    everything = "\n".join((*lines, str(caught.value)))
    for secret in (PASSWORD, coded, login, "a private"):
        assert secret not in everything
