"""PagerDuty, Events API v2.

https://github.com/PagerDuty/developer-docs/tree/main/docs/events-API-v2: POST /v2/enqueue with routing_key, event_action and
dedup_key, which is the incident's id, so that every event of it is of one alert; 202 accepted, 400 not, 429 and 5xx later. What
is no problem (a hand-over) is a change event, /v2/change/enqueue, and pages nobody.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, SecretStr

from notifier.channels.base import Message, Receipt, cut, headline, line, links, paragraphs
from notifier.channels.http import Sender, failure
from notifier.channels.settings import Around, ServiceAddress, Table
from schemas.severity import SeverityName
from schemas.time import rfc3339

SUMMARY_CHARS = 1_024
_SEVERITIES: dict[SeverityName, str] = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}


class Settings(Table):
    """The routing key says where events go: recipients need no address."""

    to: str | SecretStr | None = Field("service", description="not used: the routing key says where it goes")
    routing_key: SecretStr = Field(description="integration key of an Events API v2 integration, 32 characters")
    api: ServiceAddress = Field("https://events.pagerduty.com", description="https://events.eu.pagerduty.com in the EU")


def event(message: Message) -> dict[str, Any]:
    """The event without its routing key."""
    if message.kind == "resolved" or message.status == "resolved":
        return {"event_action": "resolve", "dedup_key": message.incident}
    if message.status == "acknowledged":
        return {"event_action": "acknowledge", "dedup_key": message.incident}
    more = [{"href": url, "text": words} for words, url in links(message)]
    payload = {
        "summary": cut(f"{headline(message)}. {line(message.summary)}", SUMMARY_CHARS),
        "source": "tillwatch",
        "timestamp": rfc3339(message.since_ms),
        "custom_details": {"status": message.status, "lines": list(paragraphs(message))},
    }
    if message.kind in ("handover", "report"):
        return {"payload": payload, "links": more}
    return {
        "event_action": "trigger",
        "dedup_key": message.incident,
        "client": "Tillwatch",
        "links": more,
        "payload": {**payload, "severity": _SEVERITIES[message.severity]},
    }


class PagerDuty:
    """Accepted means that PagerDuty will act on it; who answers there is not told here."""

    def __init__(self, name: str, settings: Settings, around: Around) -> None:
        self.name = name
        self._api, self._key = settings.api, settings.routing_key
        self._sender = Sender()

    async def send(self, message: Message, address: str) -> Receipt:
        made = event(message)
        receipt = await self._post(made)
        if message.kind == "test" and made.get("event_action") == "trigger":  # what was only a test does not stay open
            await self._post({"event_action": "resolve", "dedup_key": message.incident})
        return receipt

    async def _post(self, made: dict[str, Any]) -> Receipt:
        path = "/v2/enqueue" if "event_action" in made else "/v2/change/enqueue"
        answer = await self._sender.post(
            self._api + path,
            body=json.dumps({"routing_key": self._key.get_secret_value(), **made}).encode(),
            headers={"Content-Type": "application/json"},
        )
        if answer.status != 202:
            raise failure(answer)
        action = made.get("event_action", "change")
        return Receipt(made.get("dedup_key"), f"PagerDuty accepted the {action}")

    async def close(self) -> None:
        await self._sender.close()
