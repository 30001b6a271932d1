"""Mails into the channel: a real IMAP server (Dovecot) and a real SMTP server."""

import asyncio
import logging

import pytest

from ai_engine.channels.email import automatic, channel
from ai_engine.domain.errors import Malformed, Overloaded
from ai_engine.domain.message import MessageKind

from support.clock import ManualClock
from support.dovecot import DOMAIN, Dovecot
from support.mail_world import mail_world, results, written

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 1000


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


async def test_a_person_s_answer_stays_in_the_conversation_and_brings_the_quote(dovecot):
    async with mail_world(dovecot) as world:
        first = written(world.ann, "Where is it?", subject="东西在哪里")
        world.deliver(first)
        message = await world.next()
        reply = await world.answer(message, "In the cellar")
        quoted = "On Mon, 1 Jan 2024, Bot wrote:\n> In the cellar\n"
        again = written(
            world.ann,
            f"And the key?\n\n{quoted}",
            subject="Re: 东西在哪里",
            in_reply_to=f"<{reply.id}@{DOMAIN}>",
            references=f"{first['Message-ID']} <{reply.id}@{DOMAIN}>",
        )
        world.deliver(again)
        second = await world.next()
        assert second.chat.id == message.chat.id
        assert (second.text, second.quote) == ("And the key?", "In the cellar")
        await world.answer(second, "Under the mat")
        got = (await world.got("ann", 2))[1]
        assert got["Subject"] == "Re: 东西在哪里"
        assert got["References"].split() == [
            first["Message-ID"], f"<{reply.id}@{DOMAIN}>", again["Message-ID"]
        ]  # fmt: skip


async def test_two_threads_of_one_person_are_two_conversations(dovecot):
    async with mail_world(dovecot) as world:
        world.deliver(written(world.ann, "one"))
        world.deliver(written(world.ann, "two"))
        one, two = await world.next(), await world.next()
        assert one.chat.id != two.chat.id
        assert one.sender == two.sender


async def test_what_lay_there_before_the_first_start_is_left_alone_and_nothing_after_is_lost(
    dovecot,
):
    async with mail_world(dovecot, start=False) as world:
        world.deliver(written(world.ann, "old"))
        await world.start()
        world.deliver(written(world.ann, "new"))
        assert "new" in (await world.next()).text
        await world.settled(2)
        await world.stop()
        world.deliver(written(world.ann, "while you were out"))
        world.deliver(written(world.bob, "me too"))
        name = world.names["bot"]
        box = dovecot.folder / "mail" / name
        newest = max((box / "new").iterdir(), key=lambda path: int(path.name.partition(".")[0]))
        newest.rename(box / "cur" / f"{newest.name}:2,S")  # somebody has looked at it meanwhile
        await world.restart()
        texts = [(await world.next()).text, (await world.next()).text]
        assert ["out" in texts[0], "too" in texts[1]] == [True, True]
        flags = await world.settled(4)
        assert ["S" in each for each in flags] == [False, True, True, True]
        assert world.inbox.empty()


async def test_a_mail_is_marked_only_when_it_is_durable(dovecot):
    async with mail_world(dovecot, clock=ManualClock()) as world:
        world.refuse = [Overloaded("full", retry_after_seconds=7)]
        world.deliver(written(world.ann, "hello"))
        await world.until(lambda: not world.refuse)
        assert [flags for flags, _ in dovecot.mails(world.names["bot"])] != ["Sa"]
        assert world.inbox.empty()
        await world.clock.advance(7)
        assert "hello" in (await world.next()).text
        assert await world.settled(1) == ["Sa"]


async def test_a_crash_before_the_mark_brings_the_mail_again_under_the_same_key(dovecot):
    async with mail_world(dovecot) as world:
        reached, hold = asyncio.Event(), asyncio.Event()
        accept, seen = world.accept, []

        async def slow(message):
            seen.append(message.message_id)
            reached.set()
            await hold.wait()

        await world.stop()
        world.accept = slow
        await world.restart()
        world.deliver(written(world.ann, "hello"))
        async with asyncio.timeout(10):
            await reached.wait()
        world.accept = accept
        await world.restart()
        assert (await world.next()).message_id == seen[0]


async def test_a_mail_that_the_engine_will_never_take_holds_up_no_other(dovecot):
    async with mail_world(dovecot) as world:
        world.refuse = [Malformed("no")]
        world.deliver(written(world.ann, "one"))
        world.deliver(written(world.ann, "two"))
        assert "two" in (await world.next()).text


@pytest.mark.parametrize(
    ("sender", "top", "why"),
    [
        ("mallory@elsewhere.test", results("elsewhere.test"), "not in allow_senders"),
        ("ann@example.test", "", "no Authentication-Results"),
        ("ann@example.test", results(said="dmarc=fail header.from={0}"), "DMARC failed"),
        ("ann@example.test", results(said="spf=softfail smtp.mailfrom={0}; dkim=none"), "neither"),
        ("ann@example.test", results(said="dkim=pass header.d=evil.test"), "neither"),
        (
            "ann@example.test",
            "Authentication-Results: mx.evil.test; dmarc=pass header.from=example.test\r\n",
            "not the receiving server's",
        ),
        ("ann@example.test, mallory@elsewhere.test", results(), "exactly one author"),
    ],
)
async def test_forged_and_unknown_senders_do_not_get_in(dovecot, caplog, sender, top, why):
    async with mail_world(dovecot) as world:
        mail = written("x@example.test", "let me in").as_bytes()
        world.deliver(mail.replace(b"From: x@example.test", f"From: {sender}".encode()), top)
        world.deliver(written(world.ann, "the next"))
        assert "the next" in (await world.next()).text
        flags = await world.settled(2)
        assert "S" not in flags[0]
        [record] = [each for each in caplog.records if each.msg == "refused a mail"]
        assert why in record.reason
        assert record.audit == "channel.refused"


async def test_machines_lists_bounces_and_we_ourselves_are_not_answered(dovecot, caplog):
    caplog.set_level(logging.INFO)
    cases = [
        {"auto_submitted": "auto-replied"},
        {"auto_submitted": "auto-generated; x=y"},
        {"precedence": "bulk"},
        {"list_id": "<news.example.test>"},
        {"list_unsubscribe": "<https://example.test/u>"},
        {"x_auto_response_suppress": "DR, AutoReply"},
        {"return_path": "<>"},
        {"from": f"Mail Delivery <MAILER-DAEMON@{DOMAIN}>"},
        {"from": f"no-reply@{DOMAIN}"},
    ]
    async with mail_world(dovecot) as world:
        for fields in cases:
            world.deliver(written(world.ann, "x", **fields))
        world.deliver(written(world.bot, "I wrote this"))
        report = written(world.ann, "x").as_bytes()
        world.deliver(report.replace(b"text/plain", b"multipart/report; boundary=b"))
        world.deliver(written(world.ann, "I am human", auto_submitted="no"))
        assert "human" in (await world.next()).text
        assert world.inbox.empty()
        assert sum("is not answered" in each.getMessage() for each in caplog.records) == 11


async def test_a_loop_of_two_machines_ends(dovecot, monkeypatch):
    monkeypatch.setattr(channel, "THREAD_ANSWERS_MAX", 3)
    async with mail_world(dovecot) as world:
        for number in range(5):
            mail = written(world.ann, f"again {number}", references=f"<root@x> <r@{DOMAIN}>")
            world.deliver(mail)
        world.deliver(written(world.ann, "another thread"))
        found = [(await world.next()).text for _ in range(4)]
        assert found == [*(f"again {number}" for number in range(3)), found[3]]
        assert "another thread" in found[3]
        await world.settled(6)
        assert world.inbox.empty()


async def test_one_sender_has_a_number_of_answers_an_hour(dovecot, monkeypatch):
    monkeypatch.setattr(channel, "SENDER_ANSWERS_MAX", 2)
    async with mail_world(dovecot) as world:
        for number in range(4):
            world.deliver(written(world.ann, f"mail {number}"))
        world.deliver(written(world.bob, "and I"))
        texts = [(await world.next()).text for _ in range(3)]
        assert ["mail 0" in texts[0], "mail 1" in texts[1], "and I" in texts[2]] == [True] * 3


async def test_what_is_remembered_of_senders_is_bounded_and_over_after_an_hour():
    clock = ManualClock()
    allowance = automatic.Allowance(clock)
    for number in range(5000):
        allowance.take(str(number))
    assert len(allowance._taken) == 4096
    assert allowance.left("0", 1)
    assert not allowance.left("4999", 1)
    await clock.advance(3601)
    assert allowance.left("4999", 1)


async def test_pictures_and_files_come_with_a_mail(dovecot):
    async with mail_world(dovecot) as world:
        mail = written(world.ann, "look")
        mail.add_attachment(PNG, maintype="image", subtype="png", filename="图.png")
        mail.add_attachment("a,b\n1,2\n", subtype="csv", filename="t.csv")
        invitation = "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
        mail.add_attachment(invitation, subtype="calendar", filename="invite.ics")
        world.deliver(mail)
        message = await world.next()
        found = [(each.kind, each.name, each.mime) for each in message.attachments]
        assert found == [
            ("image", "图.png", "image/png"),
            ("file", "t.csv", "text/csv"),
            ("file", "invite.ics", "text/calendar"),
        ]
        assert (await world.host.media.get(message.attachments[0].url)).content == PNG
        assert message.text.endswith("look")


async def test_a_mail_that_is_too_large_is_said_to_be(dovecot, monkeypatch):
    monkeypatch.setattr(channel, "MAIL_BYTES_MAX", 5000)
    async with mail_world(dovecot) as world:
        world.deliver(written(world.ann, "x" * 6000))
        message = await world.next()
        assert (message.kind, message.attachments) == (MessageKind.UNSUPPORTED, ())
        assert "too large" in message.text


async def test_an_attachment_beyond_the_limits_is_only_named(dovecot, monkeypatch):
    monkeypatch.setattr(channel, "MEDIA_BYTES_MAX", 5000)
    async with mail_world(dovecot) as world:
        mail = written(world.ann, "look")
        mail.add_attachment(PNG, maintype="image", subtype="png", filename="big.png")
        world.deliver(mail)
        [found] = (await world.next()).attachments
        assert (found.name, found.url, found.bytes_size) == ("big.png", "", len(PNG))


async def test_only_the_author_is_answered_however_many_receivers_there_are(dovecot):
    async with mail_world(dovecot) as world:
        others = ", ".join(f"p{number}@elsewhere.test" for number in range(200))
        world.deliver(written(world.ann, "all of you", to=others, reply_to="evil@elsewhere.test"))
        message = await world.next()
        await world.answer(message)
        [got] = await world.got("ann")
        assert got["To"] == world.ann
        assert [each[1] for each in world.smtp.taken] == [[world.ann]]


async def test_senseless_mails_are_taken_or_left_out_and_hold_up_none(dovecot):
    head = b"From: ann@example.test\r\nSubject: s\r\nMessage-ID: <%d@x>\r\n"
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(10_000)
    )
    broken = b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\n!!!*"
    cases = [
        b"",
        b"\x00\xff\xfe",
        b"Subject: no author\r\n\r\nx",
        head % 1 + nested,
        head % 2 + broken,
        head % 3 + b"Content-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe hello",
        head % 4 + b"X-Long: " + b"y" * 200_000 + b"\r\n\r\nbelow a huge header",
        b"From: ann@example.test\r\nSubject: =?utf-8?b?Qg0KQmNjOiBl?= x\r\n\r\nhi",
    ]
    async with mail_world(dovecot) as world:
        for case in cases:
            world.deliver(case)
        world.deliver(written(world.ann, "the last"))
        found = [await world.next() for _ in range(6)]
        kinds = [each.kind for each in found]
        assert kinds[0] is MessageKind.UNSUPPORTED
        assert kinds[1:] == [MessageKind.TEXT] * 5
        assert "hello" in found[2].text
        assert "\n" not in found[4].chat.title
        assert "the last" in found[5].text
        await world.answer(found[4])
        assert b"\r\nBcc:" not in world.smtp.taken[-1][2]


async def test_no_address_in_a_mail_is_visited(dovecot):
    visits = []

    async def serve(reader, writer):
        visits.append(1)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        page = f'<img src="{url}"><link rel=stylesheet href="{url}"><iframe src="{url}"></iframe>hi'
        async with mail_world(dovecot) as world:
            mail = written(world.ann, "x", subject="s")
            mail.set_content(page, subtype="html")
            world.deliver(mail)
            message = await world.next()
            assert message.text.endswith("hi")
            assert url not in message.text
            await world.answer(message, f"![p]({url})")
            await world.got("ann")
    assert visits == []
