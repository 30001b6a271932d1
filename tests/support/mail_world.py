"""A mailbox of the engine's among people's: Dovecot, an SMTP server, and the channel under test."""

import asyncio
import contextlib
import email
import itertools
from email.message import EmailMessage
from email.policy import default

from ai_engine.channels.base import Accepted, Outgoing
from ai_engine.channels.email.channel import EmailChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.reply import Reply

from support.dovecot import DOMAIN, PASSWORD
from support.hosts import make_host
from support.smtp import Smtp

_numbers = itertools.count(1)


def results(domain=DOMAIN, *, said="dkim=pass header.d={0}; spf=pass smtp.mailfrom={0}"):
    """What the receiving server writes above a mail that it has checked."""
    return f"Authentication-Results: mx.{DOMAIN}; {said.format(domain)}\r\n"


def written(sender, text="hello", *, to=f"bot@{DOMAIN}", subject="A question", **fields):
    """A mail as its author's program makes it."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = "Mon, 01 Jan 2024 10:00:00 +0800"
    mail["Message-ID"] = f"<q{next(_numbers)}@{DOMAIN}>"
    for name, value in fields.items():
        del mail[name.replace("_", "-")]
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def received(mail, top=None):
    """As it lies in the mailbox: below what the receiving server wrote."""
    content = mail if isinstance(mail, bytes) else mail.as_bytes()
    by = f"Received: from sender by mx.{DOMAIN} with ESMTPS id 1\r\n"
    return (by + (results() if top is None else top)).encode() + content


def read(content):
    return email.message_from_bytes(content, policy=default)


class MailWorld:
    """Each has mailboxes of its own: `bot`, `ann` and `bob` with a number."""

    def __init__(self, dovecot, smtp, *, clock=None, host=None, imap=None, **more):
        self.dovecot, self.smtp = dovecot, smtp
        number = next(_numbers)
        self.names = {who: f"{who}{number}" for who in ("bot", "ann", "bob")}
        self.bot, self.ann, self.bob = (f"{name}@{DOMAIN}" for name in self.names.values())
        if dovecot is not None:
            dovecot.add(*self.names.values())
        port = dovecot.imap if dovecot is not None else 1
        auth = {
            "imap": imap.url if imap is not None else f"imap://127.0.0.1:{port}",
            "smtp": smtp.url if smtp else "smtp://127.0.0.1:1",
            "user": self.bot,
            "password": PASSWORD,
            "allow_senders": [f"@{DOMAIN}"],
            **more.pop("auth", {}),
        }
        self.config = ChannelConfig(type="email", auth=auth, **more)
        self.clock = clock or SystemClock()
        self.host = host or make_host(clock=self.clock)
        self.channel = EmailChannel("email", self.config, self.host)
        self.inbox = asyncio.Queue()
        self.refuse = []
        """Errors that the next accepts raise."""
        self._task = None

    async def accept(self, message):
        if self.refuse:
            raise self.refuse.pop(0)
        await self.inbox.put(message)
        return Accepted(id=f"m{self.inbox.qsize()}", duplicate=False)

    async def next(self):
        async with asyncio.timeout(10):
            return await self.inbox.get()

    def deliver(self, mail, top=None, who="bot"):
        self.dovecot.deliver(self.names[who], received(mail, top))

    async def start(self, *, wait=True):
        """Running, and connected."""
        await self.channel.start()
        self._task = asyncio.create_task(self.channel.run(self.accept))
        if wait:
            await self.until(lambda: self.channel.status().state == "connected")

    async def stop(self):
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            assert self._task.cancelled()
        await self.channel.close()

    async def restart(self):
        """Another process on the same mailbox."""
        await self.stop()
        self.channel = EmailChannel("email", self.config, self.host)
        await self.start()

    async def until(self, what):
        """Within ten seconds: the servers' files change without telling us."""
        async with asyncio.timeout(10):
            while not (found := what()):
                await asyncio.sleep(0.01)
        return found

    async def settled(self, count):
        """So many mails of the bot's are marked, whatever became of them; their flags."""
        return await self.until(lambda: self._marked(count))

    def _marked(self, count):
        flags = [flags for flags, _ in self.dovecot.mails(self.names["bot"])]
        return flags if sum(1 for each in flags if "a" in each) >= count else None

    async def answer(self, message, text="**fine**", **more):
        reply = more.pop("reply", None) or Reply(id=f"r_{next(_numbers)}", text=text, **more)
        await self.channel.send(self.outgoing(message.target, reply))
        return reply

    def outgoing(self, target, reply):
        return Outgoing(
            reply=reply,
            target=target,
            in_reply_to="",
            inbound_id="m1",
            session_key="s",
            user_id=self.ann,
        )

    async def got(self, who, count=1):
        """The mails of a person's mailbox, once there are so many."""
        name = self.names[who]
        mails = await self.until(lambda: _all(self.dovecot.mails(name), count))
        return [read(content) for _, content in mails]


def _all(mails, count):
    return mails if len(mails) >= count else None


@contextlib.asynccontextmanager
async def mail_world(dovecot, smtp=None, *, start=True, wait=True, **more):
    """`async with mail_world(dovecot) as world`: with an SMTP server, the channel running. Without
    a Dovecot there is neither server; `imap` is one that a test has of its own."""
    with contextlib.ExitStack() as stack:
        if dovecot is not None:
            smtp = smtp or stack.enter_context(Smtp(dovecot))
        world = MailWorld(dovecot, smtp, **more)
        try:
            if start:
                await world.start(wait=wait)
            yield world
        finally:
            await world.stop()
