"""Slack: one thread an incident, its first message updated in place, with buttons that answer.

https://docs.slack.dev/reference/methods/chat.postMessage and chat.update: JSON with a bot token (scope chat:write); every
answer is 200 with `ok`, or 429 with Retry-After. https://docs.slack.dev/reference/block-kit: headers have at most 150
characters, texts 3,000, values of buttons 2,000.
https://docs.slack.dev/authentication/verifying-requests-from-slack: what comes back is signed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import quote

from pydantic import Field, SecretStr

from notifier.channels.base import (
    Message,
    Receipt,
    Refused,
    Unreachable,
    cut,
    headline,
    links,
    offered,
    paragraphs,
    token_of,
)
from notifier.channels.http import Sender, failure
from notifier.channels.settings import Around, ServiceAddress, Table

TOLERANCE_S = 300
_HEADER, _SECTION, _TEXT = 150, 3_000, 3_000
_PASSING = frozenset({"ratelimited", "rate_limited", "service_unavailable", "request_timeout", "team_added_to_org"})
_BROKEN = frozenset({"internal_error", "fatal_error"})
"""Errors after which part of it may have been done."""
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})
"""Errors that mean that the thread cannot be gone on with."""
_URL_SAFE = ":/?#@!$&()*+,;=%~"
"""What stays as it is in a link: | and > would end it."""
_STYLES = {"ack": "primary", "escalate": "danger"}
PREFIX = "tillwatch:"
"""Of the ids of our buttons."""


class Settings(Table):
    """Addresses are ids: of a channel (C…) that the app was invited to, or of a person (U…)."""

    token: SecretStr = Field(description="the app's bot token, with the scope chat:write")
    signing_secret: SecretStr | None = Field(
        None, description="the app's signing secret, which proves what the buttons send; none: messages have no buttons"
    )
    api: ServiceAddress = Field("https://slack.com/api", description="another Slack's address")


def _escaped(text: str) -> str:
    """Slack's three: with them, no mention and no link can come from an event.
    https://docs.slack.dev/messaging/formatting-message-text#escaping"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def blocks(message: Message, buttons: bool = True) -> list[dict[str, Any]]:
    """The message in Block Kit. What comes from events is in plain text, which Slack does not interpret."""
    made: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(headline(message), _HEADER), "emoji": False}}
    ]
    said = "\n".join(paragraphs(message))
    made.append({"type": "section", "text": {"type": "plain_text", "text": cut(said, _SECTION), "emoji": False}})
    more = " · ".join(f"<{_escaped(quote(url, safe=_URL_SAFE))}|{words}>" for words, url in links(message))
    if more:
        made.append({"type": "context", "elements": [{"type": "mrkdwn", "text": more}]})
    elements = [
        {
            "type": "button",
            "action_id": PREFIX + action,
            "text": {"type": "plain_text", "text": words},
            "value": token_of(link),
            **({"style": _STYLES[action]} if action in _STYLES else {}),
        }
        for action, words, link in (offered(message) if buttons else ())
    ]
    return [*made, {"type": "actions", "elements": elements}] if elements else made


def view(message: Message) -> str:
    """The message as a channel shows it."""
    buttons = " ".join(f"[{words}]" for _, words, _ in offered(message))
    more = " · ".join(words for words, _ in links(message))
    return "\n".join(filter(None, (headline(message), *paragraphs(message), more, buttons)))


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """X-Slack-Signature: `v0=` and hex of HMAC-SHA256 over `v0:timestamp:body`."""
    return "v0=" + hmac.new(secret.encode(), b"v0:%s:%s" % (timestamp.encode(), body), hashlib.sha256).hexdigest()


def is_signed(secret: SecretStr, timestamp: str, body: bytes, given: str, now_s: float) -> bool:
    """Whether Slack sent it, less than five minutes ago."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        return False
    fresh = abs(now_s - int(timestamp)) <= TOLERANCE_S
    expected = signature(secret.get_secret_value(), timestamp, body)
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")) and fresh


class Slack:
    """The first message of an incident begins a thread. Later ones update it in place and say in the thread what is new."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name, self.signing_secret = name, settings.signing_secret
        self._api, self._token = settings.api, settings.token
        self._buttons = settings.signing_secret is not None and around.callbacks is not None
        self._sender = Sender()

    async def send(self, message: Message, address: str) -> Receipt:
        shown = {
            "text": cut(_escaped(headline(message)), _TEXT),
            "blocks": blocks(message, self._buttons),
            "unfurl_links": False,
        }
        channel, _, head = (message.thread or "").partition(":")
        if head:
            try:
                # The update first: done twice it is the same, and a reply that fails then is tried again with it.
                await self._call("chat.update", {"channel": channel, "ts": head, **shown})
                said = "\n".join((headline(message), *paragraphs(message)))
                reply = {"channel": channel, "thread_ts": head, "text": cut(_escaped(said), _TEXT), "unfurl_links": False}
                # Somebody is paged again: the channel should see it, not only who follows the thread.
                reply |= {"reply_broadcast": True} if message.kind == "page" else {}
                answer = await self._call("chat.postMessage", reply)
                return Receipt(str(answer.get("ts")), "said in its thread", message.thread, confirmed=True)
            except _Gone:
                pass  # somebody deleted it: a new thread
        answer = await self._call("chat.postMessage", {"channel": address, **shown})
        ts, posted = answer.get("ts"), answer.get("channel")
        if not isinstance(ts, str) or not isinstance(posted, str):
            raise Unreachable("Slack answered without ts or channel", maybe_sent=True)
        return Receipt(ts, "posted", f"{posted}:{ts}", confirmed=True)

    async def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self._sender.post(
            f"{self._api}/{method}",
            body=json.dumps(arguments).encode(),
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "Authorization": f"Bearer {self._token.get_secret_value()}",
            },
        )
        if answer.status != 200:
            raise failure(answer)
        told = answer.json()
        if told.get("ok") is True:
            return told
        error = str(told.get("error"))[:60]
        if error in _GONE:
            raise _Gone(f"Slack: {error}")
        if error in _PASSING or error in _BROKEN:
            raise Unreachable(f"Slack: {error}", retry_after_s=answer.retry_after_s, maybe_sent=error in _BROKEN)
        raise Refused(f"Slack: {error}")

    async def close(self) -> None:
        await self._sender.close()


class _Gone(Refused):
    """The message that should be updated is not there any more."""
