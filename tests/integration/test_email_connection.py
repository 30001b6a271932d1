"""The connection to the mailbox: lost, half dead, refused, of servers that lack this or that."""

import asyncio
import contextlib
import re

import pytest

from ai_engine.channels.email.imap import ConnectionLost, Imap
from ai_engine.channels.email.inbox import Inbox
from ai_engine.channels.email.servers import Server, server
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import SendRefused, Unauthenticated

from support.dovecot import Dovecot
from support.mail_world import mail_world, written
from support.watched_clock import WatchedClock


class Scripted:
    """An IMAP server that says what a test wants; commands it does not know are taken."""

    def __init__(self, answers=None, hello=b"* OK hello\r\n", capabilities="IDLE"):
        self.answers = {
            "CAPABILITY": f"* CAPABILITY IMAP4rev1 {capabilities}",
            "SELECT": "* 0 EXISTS\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] yes",
            "LIST": '* LIST () "/" "AiEngine"',
            **(answers or {}),
        }
        self.hello = hello
        self.said = []
        self.opened = []
        self.connections = 0
        self._handlers = set()
        self.idling = asyncio.Semaphore(0)
        self.silent = False
        """Nothing is answered any more."""

    async def _serve(self, reader, writer):
        self.connections += 1
        self._handlers.add(asyncio.current_task())
        try:
            with contextlib.suppress(OSError):
                writer.write(self.hello)
                while line := (await reader.readline()).decode("latin-1"):
                    self.said.append(line.strip())
                    writer.write(self._answer(line).encode("latin-1"))
                    if "STARTTLS" in line:
                        await reader.read(1)
                        return
        finally:
            writer.transport.abort()

    def _answer(self, line):
        tag, _, rest = line.strip().partition(" ")
        if self.silent:
            return ""
        if line.startswith("DONE"):
            return f"{self._idle_tag} OK done\r\n"
        if rest.startswith("IDLE"):
            self._idle_tag = tag
            self.idling.release()
            return "+ idling\r\n"
        name = re.sub("^UID ", "", rest).partition(" ")[0]
        found = self.answers.get(name, "")
        if found.startswith(("NO", "BAD")):
            return f"{tag} {found}\r\n"
        return (f"{found}\r\n" if found else "") + f"{tag} OK done\r\n"

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"imap://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        for imap in self.opened:
            imap.close()
        self._server.close()
        for task in self._handlers:
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def connect(self):
        where = Server(host="127.0.0.1", port=self.port, tls="plain")
        self.opened.append(await Imap.connect(where, None, SystemClock()))
        return self.opened[-1]


@pytest.fixture(scope="module")
def dovecot():
    with Dovecot(
        prefix="INBOX.", more="imap_capability = IMAP4rev1 NAMESPACE AUTH=PLAIN"
    ) as running:
        yield running


async def test_a_server_without_idle_that_wants_a_prefix_is_asked_every_minute(dovecot):
    clock = WatchedClock()
    async with mail_world(dovecot, clock=clock) as world:
        await clock.asleep(lambda seconds: seconds == 60.0)
        world.deliver(written(world.ann, "hello"))
        await clock.advance(60)
        assert "hello" in (await world.next()).text
        await world.settled(1)
        assert (dovecot.folder / "mail" / world.names["bot"] / ".AiEngine").is_dir()


async def test_a_lost_connection_comes_back_with_growing_pauses_and_nothing_is_lost():
    clock = WatchedClock()
    with Dovecot() as dovecot:
        async with mail_world(dovecot, clock=clock) as world:
            await world.until(lambda: 240.0 in clock.requests)
            dovecot.stop()
            await clock.asleep(lambda seconds: 0.5 <= seconds <= 1.0)
            status = world.channel.status()
            assert (status.state, status.connected) == ("failing", False)
            await clock.advance(1.0)
            await clock.asleep(lambda seconds: 1.0 < seconds <= 2.0)
            world.deliver(written(world.ann, "meanwhile"))
            dovecot.start()
            await clock.advance(2.0)
            assert "meanwhile" in (await world.next()).text
            await world.until(lambda: world.channel.status().state == "connected")


async def test_a_half_dead_connection_is_noticed_and_closed():
    clock = WatchedClock()
    async with Scripted() as imap, mail_world(None, clock=clock, imap=imap) as world:
        await clock.asleep(lambda seconds: seconds == 240.0)
        imap.silent = True
        await clock.advance(240.0)
        await world.until(lambda: clock.requests[-3:] == [240.0, 30.0, 30.0])
        await clock.advance(30.0)
        await world.until(lambda: "does not answer" in world.channel.status().detail)
        imap.silent = False
        await clock.asleep(lambda seconds: 0.5 <= seconds <= 1.0)
        await clock.advance(1.0)
        await world.until(lambda: imap.connections == 2)
        await world.until(lambda: world.channel.status().state == "connected")


async def test_idle_is_renewed_while_the_server_lives():
    clock = WatchedClock()
    async with Scripted() as imap, mail_world(None, clock=clock, imap=imap) as world:
        for _ in range(3):
            async with asyncio.timeout(5):
                await imap.idling.acquire()
            count = clock.requests.count(240.0)
            await clock.asleep(lambda seconds: seconds == 240.0, max(count, 1))
            await world.until(lambda: clock.requests[-1] == 240.0)
            await clock.advance(240.0)
        assert imap.connections == 1


async def test_a_wrong_password_is_tried_again_slowly_and_said():
    clock = WatchedClock()
    answers = {"LOGIN": "NO [AUTHENTICATIONFAILED] no"}
    scripted = Scripted(answers)
    async with scripted as imap, mail_world(None, clock=clock, imap=imap, wait=False) as world:
        await clock.asleep(lambda seconds: seconds == 60.0)
        status = world.channel.status()
        assert status.state == "failing"
        assert "app password" in status.detail
        imap.answers["LOGIN"] = ""
        await clock.advance(60.0)
        await world.until(lambda: world.channel.status().state == "connected")


async def test_a_server_that_keeps_no_keywords_has_only_the_flag_of_read_mails():
    answers = {
        "SELECT": "* 3 EXISTS\r\n* OK [PERMANENTFLAGS (\\Seen \\Deleted)] no keywords",
        "LIST": "",
        "SEARCH": "* SEARCH 7 3",
    }
    async with Scripted(answers) as scripted:
        inbox = Inbox(await scripted.connect())
        assert await inbox.open()
        assert await inbox.waiting() == [3, 7]
        await inbox.mark(3, seen=False)
        said = [line.partition(" ")[2] for line in scripted.said]
        assert "UID STORE 1:* +FLAGS.SILENT (\\Seen)" in said
        assert "UID SEARCH UNSEEN UNDELETED" in said
        assert said[-1] == "UID STORE 3 +FLAGS.SILENT (\\Seen)"
        assert 'CREATE "AiEngine"' in said


async def test_a_mailbox_that_cannot_be_marked_is_not_used():
    answers = {"SELECT": "* 3 EXISTS\r\n* OK [PERMANENTFLAGS ()] read-only"}
    async with Scripted(answers) as scripted:
        with pytest.raises(SendRefused, match="read-only"):
            await Inbox(await scripted.connect()).open()
    async with Scripted({"LIST": "", "CREATE": "NO not here"}) as scripted:
        with pytest.raises(SendRefused, match="create it by hand"):
            await Inbox(await scripted.connect()).open()


@pytest.mark.parametrize(
    "answer",
    [
        "* 1 FETCH (UID 1 RFC822.SIZE 9 BODY[HEADER] {999999999}",
        "garbage",
        "* BYE overloaded",
        "* " + "x" * 2_000_000,
        "\r\n".join(["* 1 EXISTS"] * 10_002),
        "* 1 FETCH (" + "{1}\r\nx" * 20,
    ],
)
async def test_a_server_that_sends_nonsense_or_too_much_is_left(answer):
    async with Scripted({"FETCH": answer}) as scripted:
        imap = await scripted.connect()
        with pytest.raises(ConnectionLost):
            await Inbox(imap).envelope(1)
        imap.close()


async def test_a_mail_that_is_gone_is_passed_over():
    async with Scripted({"FETCH": "* 4 FETCH (FLAGS (\\Seen))"}) as scripted:
        inbox = Inbox(await scripted.connect())
        assert await inbox.envelope(4) is None
        assert await inbox.content(4, 100) is None


async def test_no_password_goes_out_where_the_server_wants_none():
    async with Scripted(capabilities="LOGINDISABLED") as scripted:
        imap = await scripted.connect()
        with pytest.raises(Unauthenticated):
            await imap.login("u", "secret")
        assert not any("secret" in line for line in scripted.said)


async def test_a_server_that_asks_who_we_are_is_told():
    async with Scripted(capabilities="ID", answers={"ID": "BAD what"}) as scripted:
        await (await scripted.connect()).login("u", "p")
        assert scripted.said[-1].endswith('ID ("name" "ai-engine")')


async def test_a_password_is_quoted_and_can_hold_no_command():
    async with Scripted() as scripted:
        imap = await scripted.connect()
        await imap.login("u", 'a"b\\c')
        assert any(line.endswith(r'LOGIN "u" "a\"b\\c"') for line in scripted.said)
        with pytest.raises(SendRefused):
            await imap.login("u", "x\r\nA9 DELETE INBOX")


async def test_a_server_that_refuses_connections_is_tried_again():
    async with Scripted(hello=b"* BYE too many\r\n") as scripted:
        with pytest.raises(ConnectionLost, match="too many"):
            await scripted.connect()


async def test_words_before_tls_are_thrown_away():
    async with Scripted({"STARTTLS": "A1 OK begin\r\n* OK evil"}) as scripted:
        where = Server(host="127.0.0.1", port=scripted.port, tls="starttls")
        with pytest.raises(ConnectionLost):
            await Imap.connect(where, None, SystemClock())


@pytest.mark.parametrize(
    "url",
    [
        "imap://mail.example.test",
        "imap+starttls://user:pw@mail.example.test",
        "https://mail.example.test",
        "imaps://",
        "imaps://mail.example.test/inbox",
        "imaps://mail.example.test:99999",
        "imap://127.0.0.1.evil.test",
    ],
)
async def test_settings_are_checked_before_anything_is_called(url):
    with pytest.raises(ValueError, match=r"\w") as caught:
        server(url, "imap")
    assert "pw" not in str(caught.value)
    async with mail_world(None, start=False, auth={"imap": url}) as world:
        assert any("auth.imap" in each for each in world.channel.problems)
        assert world.channel.status().state == "failing"
        await world.channel.run(world.accept)  # returns at once


def test_servers_are_read_as_they_are_written():
    assert server("imaps://h", "imap") == Server(host="h", port=993, tls="implicit")
    assert server("smtp+starttls://h", "smtp") == Server(host="h", port=587, tls="starttls")
    assert server("smtp://[::1]:2525", "smtp") == Server(host="::1", port=2525, tls="plain")


async def test_without_an_allow_list_nobody_is_answered_and_that_is_said():
    async with mail_world(None, start=False, auth={"allow_senders": []}) as world:
        assert "Nobody is answered" in world.channel.status().detail
    auth = {"allow_senders": ["example.test", "*"], "user": "bot"}
    async with mail_world(None, start=False, auth=auth) as world:
        detail = world.channel.status().detail
        assert "example.test, * is no address and no @domain" in detail
        assert "auth.user" in detail
