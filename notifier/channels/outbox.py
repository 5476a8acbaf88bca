"""The built-in outbox: every message in a file, and a view of it as its recipient would see it.

It needs no account and no network, so it is the default on one machine and the last fallback everywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from notifier.channels import email, phone, slack, sms, webhook
from notifier.channels.base import Message, Receipt, Unreachable, answers, cut, headline, line, paragraphs
from notifier.channels.settings import Around, Table
from schemas.time import rfc3339

KEPT = 1_000
"""Files that are kept; the oldest go."""

View = Literal["phone", "sms", "email", "slack", "webhook", "text"]


def _text(message: Message) -> str:
    return "\n".join((headline(message), *paragraphs(message), *answers(message)))


VIEWS: Mapping[View, Callable[[Message], str]] = {
    "phone": phone.view,
    "sms": sms.text,
    "email": email.view,
    "slack": slack.view,
    "webhook": webhook.view,
    "text": _text,
}


class Settings(Table):
    """Recipients need no address."""

    to: str | SecretStr | None = Field("outbox", description="not used: it goes into the folder")
    fallback: str | None = Field(None, description="what else, where the disk is full")
    rate: float = Field(1_000.0, gt=0)
    burst: int = Field(1_000, ge=1)
    shows: View = Field("text", description="the channel as which it shows messages")


@dataclass(frozen=True, slots=True)
class Shown:
    """One message as it was put into the outbox."""

    at_ms: int
    channel: str
    recipient: str
    kind: str
    severity: str
    text: str


class Outbox:
    """One file a message, `TIME-CHANNEL-KEY.json`; the same message again changes nothing."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name = name
        self._folder, self._clock, self._view = around.outbox, around.clock, VIEWS[settings.shows]

    async def send(self, message: Message, address: str) -> Receipt:
        at_ms = round(self._clock.now() * 1000)
        try:
            name = await asyncio.to_thread(self._keep, message, at_ms)
        except OSError as error:
            raise Unreachable(f"the outbox cannot be written ({type(error).__name__})") from None
        return Receipt(name, "in the outbox", message.thread or message.incident, confirmed=True)

    def _keep(self, message: Message, at_ms: int) -> str:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ending = f"-{self.name}-{message.key}.json"
        found = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json"))
        names = [name for name in found if not name.startswith(".")]
        for name in names:
            if name.endswith(ending):
                return name
        for left in found[: len(found) - len(names)]:  # by one that was killed before it had finished this message
            if left.endswith(ending):
                (self._folder / left).unlink(missing_ok=True)
        shown = {
            "at_ms": at_ms,
            "channel": self.name,
            "recipient": line(message.recipient),
            "kind": message.kind,
            "severity": message.severity,
            "text": self._view(message),
        }
        name = f"{at_ms:014d}{ending}"
        unfinished = self._folder / f".{name}"
        unfinished.write_text(json.dumps(shown, indent=1))
        unfinished.chmod(0o600)  # the links in it answer for the recipient
        unfinished.replace(self._folder / name)
        for old in names[: max(0, len(names) + 1 - KEPT)]:
            (self._folder / old).unlink(missing_ok=True)
        return name

    async def close(self) -> None:
        pass


def read(folder: Path, newest: int = 20) -> list[Shown]:
    """The newest messages of an outbox, the oldest of them first; a file that is none is left out."""
    found: list[Shown] = []
    for path in sorted(folder.glob("[0-9]*.json"))[-newest:]:
        try:
            found.append(Shown(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            continue
    return found


_COLOURS = {"critical": "red", "high": "yellow", "medium": "blue", "low": "white"}


def rendered(messages: list[Shown]) -> Group:
    """The messages for a terminal: who was told through what, when, and the words."""
    return Group(
        *(
            Panel(
                Text(cut(shown.text.strip(), 4_000)),
                title=Text(f"{shown.channel} → {shown.recipient}"),
                subtitle=Text(f"{shown.kind}, {rfc3339(shown.at_ms)}"),
                title_align="left",
                subtitle_align="left",
                border_style="green" if shown.kind == "resolved" else _COLOURS.get(shown.severity, "white"),
            )
            for shown in messages
        )
    )
