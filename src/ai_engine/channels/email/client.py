"""Mails out by SMTP (RFC 5321): one connection each, at most four at once, with TLS and login."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiosmtplib

from ai_engine.channels.email.servers import Server, Trust
from ai_engine.domain.errors import SendRefused, SendRetryable, Unauthenticated

_SECONDS_MAX: Final = 30.0
_AT_ONCE: Final = 4
_BUSY_SECONDS: Final = 60.0
_QUOTA_SECONDS: Final = 900.0
_LOGIN_SECONDS: Final = 300.0
_QUOTA: Final = re.compile(r"\b[45]\.(?:4\.5|7\.28)\b|daily (?:user )?sending", re.IGNORECASE)


def throttle_seconds(code: int, text: str) -> float | None:
    """How long to wait after this answer; None when waiting does not help (RFC 5321, 4.2.1: 4yz is
    transient). Providers say by 5.4.5 that the day's quota is used up."""
    if _QUOTA.search(text):
        return _QUOTA_SECONDS
    return _BUSY_SECONDS if 400 <= code < 500 else None


class SmtpClient:
    """Sends mails of one mailbox."""

    def __init__(self, server: Server | None, login: tuple[str, str], trust: Trust) -> None:
        self._server = server
        self._user, self._password = login
        self._trust = trust
        self._places = asyncio.Semaphore(_AT_ONCE)
        self.problem = ""
        """What an administrator must mend; empty when the last login worked."""

    async def send(self, mail: bytes, to: str) -> None:
        """Raises SendRetryable, SendRefused."""
        async with self._places:
            try:
                async with self._logged_in() as smtp:
                    await smtp.sendmail(self._user, [to], mail)
            except Unauthenticated as error:
                raise SendRetryable(
                    error.message, retry_after_seconds=_LOGIN_SECONDS, hint=error.hint
                ) from error

    async def check(self) -> str:
        """Connect and log in without sending; what the server says of itself.

        Raises:
            SendRetryable, SendRefused, Unauthenticated.
        """
        async with self._logged_in() as smtp:
            response = await smtp.noop()
            return f"SMTP login ok ({response.code})"

    @asynccontextmanager
    async def _logged_in(self) -> AsyncGenerator[aiosmtplib.SMTP]:
        server = self._server
        if server is None:
            raise SendRefused("auth.smtp does not name a server")
        context = None if server.tls == "plain" else await self._trust.context()
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=context,
            timeout=_SECONDS_MAX,
            local_hostname=self._user.rpartition("@")[2] or "localhost",
        )
        try:
            await smtp.connect()
            await self._login(smtp)
            yield smtp
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit()  # the mail is taken: a lost goodbye is no failure
        except aiosmtplib.SMTPException as error:
            raise _failure(error) from error
        except OSError as error:
            raise SendRetryable("the SMTP server cannot be reached") from error
        finally:
            smtp.close()

    async def _login(self, smtp: aiosmtplib.SMTP) -> None:
        try:
            await smtp.login(self._user, self._password)
        except aiosmtplib.SMTPAuthenticationError as error:
            if throttle_seconds(error.code, error.message) is not None:
                raise
            self.problem = "the SMTP server does not take this user and password"
            raise Unauthenticated(
                self.problem,
                hint="check auth.user and auth.password; many providers want an app password",
            ) from None
        except aiosmtplib.SMTPNotSupported as error:
            self.problem = "the SMTP server takes no login on this connection"
            raise Unauthenticated(self.problem, hint="use smtps:// or smtp+starttls://") from error
        self.problem = ""


def _failure(error: aiosmtplib.SMTPException) -> SendRetryable | SendRefused:
    """By the server's code; lost connections and timeouts are tried again."""
    answer: aiosmtplib.SMTPException = error
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        answer = error.recipients[0]
    if not isinstance(answer, aiosmtplib.SMTPResponseException):
        return SendRetryable(f"the SMTP server did not take the mail: {_said(str(answer))}")
    said = f"the SMTP server answers {answer.code}: {_said(answer.message)}"
    wait = throttle_seconds(answer.code, answer.message)
    if wait is None:
        return SendRefused(said)
    return SendRetryable(said, retry_after_seconds=wait)


def _said(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:200])
