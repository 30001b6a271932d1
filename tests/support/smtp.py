"""A real SMTP server (aiosmtpd, in a thread): delivers what it takes into Dovecot's Maildirs."""

import ssl

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from support.dovecot import DOMAIN, PASSWORD
from support.ports import free_port


class _Handler:
    def __init__(self, server):
        self._server = server

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):  # noqa: N802 - aiosmtpd's name
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        answer = self._server.refusals.get(address)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        who = [address.partition("@")[0] for address in envelope.rcpt_tos]
        self._server.taken.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        by = f"Received: from client by mx.{DOMAIN} with ESMTPSA id {len(self._server.taken)}"
        path = f"Return-Path: <{envelope.mail_from}>\r\n{by}\r\n".encode()
        for name in filter(self._server.dovecot.knows, who):
            self._server.dovecot.deliver(name, path + envelope.content)
        if self._server.hang_up_after_data:
            self._server.hang_up_after_data = False
            session.loop_transport.abort()
        return "250 OK: queued"


class Smtp:
    """`with Smtp(dovecot) as smtp`; people log in as at their Dovecot.

    Args:
        tls: plain | starttls | implicit, with Dovecot's certificate.
    """

    def __init__(self, dovecot, tls="plain"):
        self.dovecot = dovecot
        self.taken = []
        """(sender, receivers, content) of every mail."""
        self.refusals = {}
        """Address → the answer to RCPT, or a list of answers for one attempt each."""
        self.login_answer = None
        """Not None: what every login is told."""
        self.logins = 0
        self.hang_up_after_data = False
        self.tls = tls
        context = None
        if tls != "plain":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(dovecot.folder / "cert.pem", dovecot.folder / "key.pem")
        self._controller = Controller(
            _Handler(self),
            hostname="127.0.0.1",
            port=free_port(),
            ssl_context=context if tls == "implicit" else None,
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            authenticator=self._login,
            auth_require_tls=tls == "starttls",
            data_size_limit=30_000_000,
        )

    def _login(self, server, session, envelope, mechanism, data):
        self.logins += 1
        session.loop_transport = server.transport
        if self.login_answer:
            return AuthResult(success=False, handled=False, message=self.login_answer)
        good = data.password.decode() == PASSWORD
        return AuthResult(success=good, handled=False)

    @property
    def url(self):
        scheme = {"plain": "smtp", "starttls": "smtp+starttls", "implicit": "smtps"}[self.tls]
        return f"{scheme}://127.0.0.1:{self._controller.port}"

    def __enter__(self):
        self._controller.start()
        return self

    def __exit__(self, *_):
        self._controller.stop()
