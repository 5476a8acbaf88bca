"""E-mail against a real SMTP server (aiosmtpd): TLS, threads, and what servers say no to.

RFC 5321 (replies), RFC 3207 (STARTTLS), RFC 5322 3.6.4 (threads), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from notifier.channels import email
from notifier.channels.base import Refused, Unreachable
from notifier.channels.settings import Around
from runtime.clock import ManualClock
from tests.support.messages import INCIDENT, KEY, MESSAGE, message

TO = "thandi@shop.example"
PASSWORD = "a-password-of-a-test"
AROUND = Around(clock=ManualClock(1_790_000_000))

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


class Mailbox:
    """The server's side: what it took, and what it says instead."""

    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, EmailMessage]] = []
        self.says = {"RCPT": "", "DATA": ""}

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self.says["RCPT"]:
            envelope.rcpt_tos.append(address)
        return self.says["RCPT"] or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if not self.says["DATA"]:
            assert isinstance(envelope.content, bytes)
            self.taken.append((envelope, message_from_bytes(envelope.content, policy=policy.default)))
        return self.says["DATA"] or "250 queued as 42"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and its key, thrown away with the folder."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return folder


@asynccontextmanager
async def server(mailbox: Mailbox, certificate: Path | None = None, implicit: bool = False) -> AsyncIterator[int]:
    """A mail server on this machine: its port. With a certificate it takes mail over TLS alone, and a log-in."""
    context, options = None, dict[str, Any]()
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        options = {"authenticator": _knows, "auth_required": True}
        options |= {"auth_require_tls": False} if implicit else {"tls_context": context, "require_starttls": True}
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="localhost", **options), "127.0.0.1", 0, ssl=context if implicit else None
    )
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


def _knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"tillwatch", PASSWORD.encode())
    return AuthResult(success=known, handled=False)


def made(port: int, **keys: Any) -> email.Email:
    table = {"kind": "email", "host": "localhost", "port": port, "sender": "tillwatch@shop.example", **keys}
    return email.Email("email", email.Settings.model_validate(table), AROUND)


def plain(port: int, **keys: Any) -> email.Email:
    return made(port, tls="none", **keys)


@needs_openssl
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd takes STARTTLS alone for TLS
class TestTls:
    @pytest.mark.parametrize("tls", ["starttls", "tls"])
    async def test_it_goes_over_tls_with_a_password(self, certificate: Path, tls: str) -> None:
        mailbox = Mailbox()
        async with server(mailbox, certificate, implicit=tls == "tls") as port:
            channel = made(port, tls=tls, ca=certificate / "cert.pem", user="tillwatch", password=PASSWORD)
            receipt = await channel.send(MESSAGE, TO)
        assert receipt.id == f"<{KEY}@shop.example>" and "queued as 42" in receipt.detail and receipt.confirmed is None
        ((envelope, _),) = mailbox.taken
        assert (envelope.mail_from, envelope.rcpt_tos) == ("tillwatch@shop.example", [TO])

    @pytest.mark.parametrize("tls", ["starttls", "tls"])
    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, certificate: Path, tls: str) -> None:
        mailbox = Mailbox()
        async with server(mailbox, certificate, implicit=tls == "tls") as port:
            with pytest.raises(Refused, match="certificate"):
                await made(port, tls=tls, user="tillwatch", password=PASSWORD).send(MESSAGE, TO)
        assert mailbox.taken == []

    async def test_a_wrong_password_is_refused_and_not_shown(self, certificate: Path) -> None:
        async with server(Mailbox(), certificate) as port:
            channel = made(port, ca=certificate / "cert.pem", user="tillwatch", password="wrong-of-a-test")
            with pytest.raises(Refused, match="answered 535") as told:
                await channel.send(MESSAGE, TO)
        assert "wrong-of-a-test" not in str(told.value)


async def test_a_server_without_starttls_is_refused_unless_that_is_allowed() -> None:
    mailbox = Mailbox()
    async with server(mailbox) as port:
        with pytest.raises(Refused, match="no TLS"):
            await made(port).send(MESSAGE, TO)
        assert mailbox.taken == []
        await plain(port).send(MESSAGE, TO)
    assert len(mailbox.taken) == 1


@pytest.mark.parametrize(
    ("stage", "says", "raised"),
    [
        ("RCPT", "550 5.1.1 no such user", Refused),
        ("RCPT", "451 4.7.1 greylisted", Unreachable),
        ("DATA", "554 5.7.1 spam", Refused),
        ("DATA", "452 4.3.1 out of space", Unreachable),
    ],
)
async def test_what_the_server_says_no_to(stage: str, says: str, raised: type[Exception]) -> None:
    mailbox = Mailbox()
    mailbox.says[stage] = says
    async with server(mailbox) as port:
        with pytest.raises(raised, match=f"answered {says[:3]}"):
            await plain(port).send(MESSAGE, TO)


async def test_a_server_that_is_not_there_can_be_tried_again() -> None:
    async with server(Mailbox()) as port:
        pass
    with pytest.raises(Unreachable, match="no connection") as told:
        await plain(port).send(MESSAGE, TO)
    assert not told.value.maybe_sent


class TestMessage:
    def written(self, **changes: Any) -> EmailMessage:
        return plain(25).written(message(**changes), TO)

    def test_all_of_an_incident_is_one_thread(self) -> None:
        page, end = self.written(), self.written(kind="resolved", key="6f" * 32)
        assert page["References"] == end["References"] == f"<incident.{INCIDENT}@shop.example>"
        assert page["Message-ID"] != end["Message-ID"]
        assert (page["Subject"], end["Subject"]) == ("P0 #41: Payments failing", "Re: P0 #41: Payments failing")
        assert page["Auto-Submitted"] == "auto-generated"

    def test_text_and_html_say_the_same_and_answer(self) -> None:
        mail = self.written()
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text is not None and html is not None
        for part in (text.get_content(), html.get_content()):
            assert "92 % of them" in part and "https://pages.example/answer/TOKEN-ack" in part
            assert "https://console.example/runbooks/payment_failing" in part

    @settings(max_examples=40)
    @given(words=st.text(max_size=300))
    @example("Subject\r\nBcc: everyone@shop.example")
    @example('</p><script>alert(1)</script><a href="https://evil.example">Acknowledge</a>')
    @example("\ud800\x00" + "x" * 5_000)
    def test_no_event_writes_a_header_or_a_tag(self, words: str) -> None:
        mail = self.written(title=words, summary=words, lines=(words,), incident=words or "-")
        read = message_from_bytes(bytes(mail), policy=policy.default)
        assert isinstance(read, EmailMessage) and read["Bcc"] is None and read["To"] == TO
        html = mail.get_body(("html",))
        assert html is not None
        tags = Tags()
        tags.feed(html.get_content())
        assert set(tags.seen) <= {"html", "body", "h2", "p", "a"} and tags.seen.count("a") == 5

    def test_a_script_is_no_link(self) -> None:
        mail = self.written(url="javascript:alert(1)", runbook='https://console.example/"><script>')
        html = mail.get_body(("html",))
        assert html is not None and "javascript" not in str(mail) and "<script>" not in html.get_content()

    @pytest.mark.parametrize("address", ["", "thandi", "a@b@c", "a@b\r\nBcc: c@d", "Thandi <a@b.example>", "a@b, c@d"])
    def test_an_address_that_is_none_is_refused(self, address: str) -> None:
        with pytest.raises(Refused, match="not an e-mail address"):
            plain(25).written(MESSAGE, address)


class Tags(HTMLParser):
    """The tags of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"tls": "none", "user": "u", "password": "p"}, "not sent without TLS"),
        ({"user": "u"}, "go together"),
        ({"sender": "Tillwatch"}, "e-mail address"),
        ({"tls": "maybe"}, "tls"),
        ({"ca": "nowhere.pem"}, "FileNotFoundError"),
        ({"ca": __file__}, "SSLError"),
    ],
)
def test_settings_that_cannot_work_are_told(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        made(25, **keys)
