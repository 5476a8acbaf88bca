"""E-mail by SMTP with TLS: text and HTML, signed links that answer, one thread an incident.

RFC 5321 (replies: 4xx passes, 5xx does not), RFC 3207 (STARTTLS), RFC 5322, 3.6.4 (Message-ID, In-Reply-To and References
make the thread), RFC 3834 (Auto-Submitted keeps out-of-office replies away).
"""

from __future__ import annotations

import contextlib
import re
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from pathlib import Path
from typing import Literal

import aiosmtplib
from pydantic import Field, SecretStr, field_validator, model_validator

from notifier.channels.base import (
    Message,
    Receipt,
    Refused,
    Unreachable,
    answers,
    cut,
    headline,
    line,
    links,
    offered,
    paragraphs,
)
from notifier.channels.settings import Around, Table

TIMES_S, GOODBYE_S = 10.0, 1.0
SUBJECT_CHARS = 200
_ADDRESS = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_COLOURS = {"critical": "#b42318", "high": "#b54708", "medium": "#175cd3", "low": "#475467"}


class Settings(Table):
    """Addresses are e-mail addresses."""

    host: str = Field(min_length=1, description="the mail server")
    port: int = Field(587, ge=1, le=65_535, description="its port; 465 for `tls`")
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls, tls from the first byte, or none, which is for a server on this machine"
    )
    ca: Path | None = Field(None, description="certificates that the server's is checked against; none: the machine's")
    user: str | None = Field(None, description="whom to log in as; none: no log-in")
    password: SecretStr | None = Field(None, description="the password, which is not sent without TLS")
    sender: str = Field(description="address that it comes from")

    @field_validator("sender")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if not _ADDRESS.fullmatch(value):
            raise ValueError("expected an e-mail address, such as tillwatch@shop.example")
        return value

    @field_validator("ca")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"expected a file with certificates in PEM ({type(error).__name__})") from None
        return value

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.tls == "none" and self.password is not None:
            raise ValueError("a password is not sent without TLS: set tls to starttls or tls")
        return self


def text(message: Message) -> str:
    """The plain part."""
    more = (f"{words}: {url}" for words, url in links(message))
    parts = (headline(message), "\n".join(paragraphs(message)), "\n".join(answers(message)), "\n".join(more))
    return "\n\n".join(part for part in parts if part) + "\n"


def view(message: Message) -> str:
    """The message as a mail program lists and shows it."""
    return f"Subject: {subject(message)}\n\n{text(message)}"


def subject(message: Message) -> str:
    """The same words for all of an incident, so that mail programs that go by them keep it together."""
    about = f"{message.level} #{message.number}: " if message.number else ""
    said = cut(about + line(message.title), SUBJECT_CHARS)
    return f"Re: {said}" if message.kind in ("update", "resolved") else f"Test: {said}" if message.kind == "test" else said


def html(message: Message) -> str:
    """The HTML part: no script, no picture, nothing that is fetched."""
    colour = _COLOURS[message.severity]
    said = "".join(f"<p>{escape(words)}</p>" for words in paragraphs(message))
    buttons = " ".join(
        f'<a href="{escape(link)}" style="display:inline-block;padding:8px 14px;border-radius:4px;'
        f'background:{colour};color:#fff;text-decoration:none">{escape(words)}</a>'
        for _, words, link in offered(message)
    )
    more = " · ".join(f'<a href="{escape(url)}">{words}</a>' for words, url in links(message))
    return (
        '<!doctype html><html><body style="font:15px/1.45 sans-serif;color:#101828">'
        f'<h2 style="border-left:5px solid {colour};padding-left:10px">{escape(headline(message))}</h2>'
        f"{said}<p>{buttons}</p><p>{more}</p></body></html>"
    )


class Email:
    """Each message has a connection of its own."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name, self._settings, self._clock = name, settings, around.clock
        self._domain = settings.sender.rpartition("@")[2]
        self._tls = None if settings.tls == "none" else ssl.create_default_context(cafile=settings.ca)

    def written(self, message: Message, address: str) -> EmailMessage:
        """The whole message. Raises Refused where the address is none."""
        if not _ADDRESS.fullmatch(address):
            raise Refused("not an e-mail address")
        mail = EmailMessage()
        mail["From"] = Address("Tillwatch", addr_spec=self._settings.sender)
        mail["To"] = Address(addr_spec=address)
        mail["Subject"] = subject(message)
        mail["Date"] = format_datetime(datetime.fromtimestamp(self._clock.now(), UTC))
        mail["Message-ID"] = f"<{message.key}@{self._domain}>"
        if message.number:
            root = f"<incident.{re.sub('[^A-Za-z0-9-]', '-', message.incident)}@{self._domain}>"
            mail["In-Reply-To"] = mail["References"] = root
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text(message))
        mail.add_alternative(html(message), subtype="html")
        if message.attached is not None:
            one = message.attached
            main, _, sub = one.type.partition("/")
            params = {"charset": "utf-8"} if main == "text" else None
            mail.add_attachment(one.content, maintype=main, subtype=sub, filename=one.name, params=params)
        return mail

    async def send(self, message: Message, address: str) -> Receipt:
        mail, settings = self.written(message, address), self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=self._domain,  # the machine's own name would be looked up, for as long as that takes
            timeout=TIMES_S,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
            username=settings.user,
            password=settings.password.get_secret_value() if settings.password else None,
        )
        handed_over = False
        try:
            await client.connect()
            handed_over = True
            _, told = await client.send_message(mail, sender=settings.sender, recipients=[address])
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):  # the server has it, whatever it says to this
                await client.quit(timeout=GOODBYE_S)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _meaning(error, handed_over) from None
        finally:
            client.close()
        return Receipt(str(mail["Message-ID"]), cut(line(told), 200))

    async def close(self) -> None:
        pass


def _meaning(error: Exception, handed_over: bool) -> Unreachable | Refused:
    """What an error of the mail server means. Its words may repeat addresses and are left out."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code < 0:  # so the library tells of what is no reply
        return Unreachable("the mail server broke off or answered garbage", maybe_sent=handed_over)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        detail = f"the mail server answered {error.code}"
        return Refused(detail) if error.code >= 500 else Unreachable(detail)
    # The library raises SMTPException itself where the server offers no STARTTLS or no way to log in.
    if type(error) is aiosmtplib.SMTPException and not handed_over:
        return Refused("the mail server offers no TLS, or no log-in, as it is set up")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return Refused("no TLS with the mail server: its certificate is not one that is trusted (see `ca`)")
    return Unreachable(f"no connection to the mail server ({type(error).__name__})", maybe_sent=handed_over)
