"""What the notifier says and what a channel answers: the words between couriers and channels.

A channel renders a message for its service and hands it over once. It does not try again, wait for its turn or choose another
way: that is the courier's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol
from urllib.parse import urlsplit

from schemas.severity import Level, SeverityName

Kind = Literal["page", "update", "resolved", "notice", "handover", "test", "report"]

ACTIONS: Mapping[str, str] = MappingProxyType({"ack": "Acknowledge", "resolve": "Resolve", "escalate": "Escalate"})
"""What a recipient may answer, and how it is called on a button."""
DECISIONS: Mapping[str, str] = MappingProxyType({"approve": "Approve", "refuse": "Refuse"})
"""What a recipient may decide about an automated action that waits: the answer is called `approve/` and the action's name."""

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]+")
# Characters that turn the direction of what follows: with them a text can show other words than it holds.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along where the channel can carry one. type: as `text/html`."""

    name: str
    type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be said, as plain text: every channel renders and escapes for itself.

    key: idempotency key, 64 hex digits. number: the short number that people say. lines: arithmetic, guilty slice, changes
    before, impact. recipient: a person's name, or a channel's. answer: action ("ack", "resolve", "escalate", or
    "approve/NAME" and "refuse/NAME" of an automated action) → signed link; empty where there is nothing to answer. thread: what
    the channel returned as `thread` before: reply to it, update it.
    """

    key: str
    kind: Kind
    incident: str
    number: int
    title: str
    severity: SeverityName
    level: Level
    status: str
    summary: str
    lines: tuple[str, ...]
    since_ms: int
    recipient: str
    url: str | None = None
    runbook: str | None = None
    answer: Mapping[str, str] = field(default_factory=dict)
    thread: str | None = None
    attached: Attachment | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a channel got for a message. id: the provider's. confirmed: True where the recipient has it; None where the provider
    accepted it and tells later, or never. thread: what to hand in with the next message of the incident."""

    id: str | None
    detail: str
    thread: str | None = None
    confirmed: bool | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known later of a message that a provider had accepted. key: the message's. channel: the one that told it; empty
    where the message was answered, which proves it for any. delivered: True where the recipient has it, False where it will not
    get there, None for a step on the way."""

    key: str
    channel: str
    receipt: str
    delivered: bool | None
    detail: str


class Unreachable(Exception):
    """It did not go through now: try again. maybe_sent: the recipient may have it all the same."""

    def __init__(self, detail: str, *, retry_after_s: float | None = None, maybe_sent: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s, self.maybe_sent = retry_after_s, maybe_sent


class Refused(Exception):
    """It will not go through however often it is tried: a wrong number, bad credentials."""


class Channel(Protocol):
    """One way to reach somebody."""

    @property
    def name(self) -> str: ...

    async def send(self, message: Message, address: str) -> Receipt:
        """Hands the message over once. Raises Unreachable or Refused."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


def line(text: str) -> str:
    """The text on one line, of characters that any service takes: what comes from an event may hold whatever it likes."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join(_TURNING.sub("", _CONTROL.sub(" ", text)).split())


def cut(text: str, length: int) -> str:
    """The text with at most so many characters; an ellipsis says that there was more."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


_BEGINNINGS: Mapping[Kind, str] = MappingProxyType({"update": "Update: ", "resolved": "Resolved: ", "test": "Test: "})


def headline(message: Message) -> str:
    """`P0 #41: Payments failing`, on one line; what is no incident has no number."""
    about = f"{message.level} #{message.number}: " if message.number else ""
    return _BEGINNINGS.get(message.kind, "") + about + line(message.title)


def paragraphs(message: Message) -> tuple[str, ...]:
    """Status, where it is about something that is wrong, summary and lines, each on one line; nothing empty."""
    status = "" if message.kind in ("notice", "handover", "test", "report") else f"{message.severity}, {message.status}"
    said = (status, message.summary, *message.lines)
    return tuple(text for text in map(line, said) if text)


def web_address(text: str | None) -> str | None:
    """The address where it is one of http or https, else None: a script may not hide behind a link."""
    if text is None or _CONTROL.search(text):
        return None
    parts = urlsplit(text)
    return text if parts.scheme in ("http", "https") and parts.netloc else None


def called(action: str) -> str:
    """How an answer is called on a button. Raises KeyError for none of ours."""
    what, _, name = action.partition("/")
    return f"{DECISIONS[what]} {line(name)}" if name else ACTIONS[what]


def offered(message: Message) -> tuple[tuple[str, str, str], ...]:
    """(action, words, link) of each thing that may be answered."""
    known = [action for action in ACTIONS if action in message.answer]
    more = [action for action in message.answer if action.partition("/")[0] in DECISIONS]
    return tuple((action, called(action), message.answer[action]) for action in (*known, *more))


def answers(message: Message) -> tuple[str, ...]:
    """`Acknowledge: https://…` for each thing that may be answered."""
    return tuple(f"{words}: {link}" for _, words, link in offered(message))


def links(message: Message) -> tuple[tuple[str, str], ...]:
    """(words, address) of where there is more to read."""
    named = (("Incident", web_address(message.url)), ("Runbook", web_address(message.runbook)))
    return tuple((words, url) for words, url in named if url is not None)


def token_of(link: str) -> str:
    """The signed token of an answer's link: the last part of its path."""
    return urlsplit(link).path.rpartition("/")[2]


def phone_number(address: str) -> str:
    """The number without blanks. Raises Refused where it is not in E.164, such as +27821234567."""
    number = re.sub(r"[ ()-]", "", address)
    if not _E164.fullmatch(number):
        raise Refused("not a phone number as E.164 has it: + and country, then digits, such as +27821234567")
    return number


def masked_address(address: str) -> str:
    """An address as logs may show it: enough to recognise it, too little to use it."""
    if "://" in address:
        parts = urlsplit(address)
        # In other schemes the host may be a key: tgram://KEY/CHAT.
        host = parts.hostname if parts.scheme in ("http", "https") else None
        return f"{parts.scheme}://{host or '***'}/***"
    name, at, host = address.rpartition("@")
    if at:
        return f"{name[:1]}***@{host}"
    return f"***{address[-3:]}" if len(address) > 6 else "***"
