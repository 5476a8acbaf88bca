"""Phone calls by Twilio: the page is read aloud, a key answers it.

https://www.twilio.com/docs/voice/api/call-resource: POST Calls.json with To, From, Twiml (at most 4,000 characters), Timeout
and StatusCallback; 201 and the call's sid. https://www.twilio.com/docs/voice/twiml/gather: the key that was pressed is POSTed
to `action`. See `twilio` on calls that may come twice.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from pydantic import Field

from notifier.channels import twilio
from notifier.channels.base import ACTIONS, Message, Receipt, cut, line, phone_number, token_of
from notifier.channels.settings import Around

SPOKEN_CHARS = 600
KEYS = {"1": "ack", "2": "escalate"}
"""The key of the phone and what it does."""


class Settings(twilio.Account):
    sender: str = Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="your Twilio number, such as +12025550100")
    ring: int = Field(30, ge=5, le=600, description="seconds that it rings")


def words(message: Message) -> str:
    """What is read aloud."""
    ended = " is resolved" if message.kind == "resolved" else ""
    about = f"{message.severity} incident {message.number}{ended}. " if message.number else ""
    return cut(f"Tillwatch. {about}{line(message.title)}. {line(message.summary)}", SPOKEN_CHARS).rstrip(".") + "."


def _offer(message: Message) -> str:
    return " ".join(f"Press {key} to {ACTIONS[what].lower()}." for key, what in KEYS.items() if what in message.answer)


def view(message: Message) -> str:
    """The call as its recipient would hear it."""
    return f"“{words(message)} {_offer(message)}".rstrip() + "”"


def twiml(message: Message, action: str | None) -> str:
    """The call as TwiML. action: where a key is told; None: no key is asked for."""
    said, offer = escape(words(message)), _offer(message)
    if action is None or not offer:
        return f'<Response><Say loop="2">{said}</Say></Response>'
    return (
        f'<Response><Gather input="dtmf" numDigits="1" timeout="8" method="POST" action={quoteattr(action)}>'
        f'<Say loop="2">{said} {offer}</Say></Gather><Say>No key was pressed.</Say></Response>'
    )


def thanks(sentence: str) -> str:
    """TwiML that says what came of a key."""
    return f"<Response><Say>{escape(line(sentence))}</Say></Response>"


class Phone:
    """Only a key proves that a person has it: a call that was taken may have been taken by a machine."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name, self.auth_token = name, settings.auth_token
        self._api = twilio.Api(name, settings, around)
        self._sender, self._ring = settings.sender, settings.ring

    async def send(self, message: Message, address: str) -> Receipt:
        tokens = {key: token_of(message.answer[what]) for key, what in KEYS.items() if what in message.answer}
        form = {
            "To": phone_number(address),
            "From": self._sender,
            "Twiml": twiml(message, self._api.callback("voice", message.key, **tokens)),
            "Timeout": str(self._ring),
        }
        return await self._api.create("Calls", message.key, form)

    async def close(self) -> None:
        await self._api.close()
