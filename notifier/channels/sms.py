"""Text messages by Twilio.

https://www.twilio.com/docs/messaging/api/message-resource: POST Messages.json with To, From or MessagingServiceSid, Body (at
most 1,600 characters) and StatusCallback; 201 and the message's sid. See `twilio` on messages that may come twice.
"""

from __future__ import annotations

import re

from pydantic import Field

from notifier.channels import twilio
from notifier.channels.base import Message, Receipt, cut, headline, line, phone_number
from notifier.channels.settings import Around

HEADLINE_CHARS, SUMMARY_CHARS = 200, 280
"""Together three segments; the link takes one or two more."""


class Settings(twilio.Account):
    sender: str = Field(description="your Twilio number, such as +12025550100, or a messaging service (MG…)")


def text(message: Message) -> str:
    """What the recipient reads."""
    said = f"{cut(headline(message), HEADLINE_CHARS)}\n{cut(line(message.summary), SUMMARY_CHARS)}"
    link = message.answer.get("ack")
    return said if link is None else f"{said}\nAcknowledge: {link}"


class Sms:
    """Accepted is not delivered: with callbacks set up, Twilio tells that later."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name, self.auth_token = name, settings.auth_token
        self._api = twilio.Api(name, settings, around)
        service = re.fullmatch(r"MG[0-9a-fA-F]{32}", settings.sender)
        self._sender = {"MessagingServiceSid" if service else "From": settings.sender}

    async def send(self, message: Message, address: str) -> Receipt:
        form = {"To": phone_number(address), **self._sender, "Body": text(message)}
        return await self._api.create("Messages", message.key, form)

    async def close(self) -> None:
        await self._api.close()
