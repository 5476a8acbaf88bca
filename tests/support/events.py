"""Valid events, in the words of the domain: `failed(at, provider="ikhokha")`."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

from schemas.events import DATA_OF
from tests.schemas.samples import sample

Event = dict[str, Any]

HEADERS = [("content-type", b"application/cloudevents+json")]
_KEYS = ("transaction_id", "enrollment_id", "webhook_id", "session_id", "actor", "component", "host")
_numbers = itertools.count(1)


def event(event_type: str, at: float, *, id: str | None = None, source: str = "/tests", **data: Any) -> Event:
    """An event of this type at `at` (epoch seconds), with the required data fields; `data` replaces or adds some.

    Its id, and its transaction, are its own unless given.
    """
    number = next(_numbers)
    whole = sample(event_type)
    fields = DATA_OF[event_type].model_fields
    required = {name: value for name, value in whole["data"].items() if fields[name].is_required()}
    if "transaction_id" in required:
        required["transaction_id"] = f"tx-{number}"
    if "currency" in required:
        required["currency"] = "ZAR"
    made = {
        "specversion": "1.0",
        "id": id or f"event-{number}",
        "source": source,
        "type": event_type,
        "time": rfc3339(at),
        "data": required | data,
    }
    return made


def rfc3339(at: float) -> str:
    """Epoch seconds as RFC 3339 in UTC, to the millisecond."""
    return (
        datetime.fromtimestamp(round(at * 1000) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def encoded(one: Event) -> bytes:
    return json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode()


def key_of(one: Event) -> bytes | None:
    """What producers key by, so that an event and its repeat share a partition."""
    data = one["data"]
    return next((str(data[name]).encode() for name in _KEYS if name in data), None)


def _over(data: dict[str, Any], **usual: Any) -> dict[str, Any]:
    return usual | data


# --- payments ---------------------------------------------------------------------------------------------------------


def initiated(at: float, **data: Any) -> Event:
    return event("payment.initiated", at, **data)


def succeeded(at: float, **data: Any) -> Event:
    return event("payment.succeeded", at, **_over(data, latency_ms=800))


def failed(at: float, **data: Any) -> Event:
    """A payment that failed by our or the provider's fault."""
    return event("payment.failed", at, **_over(data, latency_ms=1800, fault="technical", reason="issuer_timeout"))


def declined(at: float, **data: Any) -> Event:
    """A payment that failed because the customer had no money."""
    return failed(at, **_over(data, fault="business", reason="insufficient_funds"))


def refunded(at: float, **data: Any) -> Event:
    return event("payment.refunded", at, **data)


# --- the rest ---------------------------------------------------------------------------------------------------------


def probe(at: float, up: bool, **data: Any) -> Event:
    return event("health.checked", at, **_over(data, status="up" if up else "down"))


def request(at: float, latency_ms: float = 120.0, **data: Any) -> Event:
    return event("request.served", at, latency_ms=latency_ms, **_over(data, outcome="ok"))


def call(at: float, outcome: str = "ok", **data: Any) -> Event:
    return event("call.made", at, outcome=outcome, **data)


def query(at: float, outcome: str = "ok", **data: Any) -> Event:
    return event("query.run", at, outcome=outcome, **data)


def usage(at: float, resource: str, percent: float, **data: Any) -> Event:
    return event("resource.sampled", at, resource=resource, value=percent, **_over(data, interval_s=10.0))


def rejected_webhook(at: float, reason: str = "invalid_signature", **data: Any) -> Event:
    return event("webhook.rejected", at, reason=reason, **data)


def failed_sign_in(at: float, actor: str = "mallory", **data: Any) -> Event:
    return event("auth.failed", at, actor=actor, **data)


def violation(at: float, actor: str = "mallory", **data: Any) -> Event:
    return event("security.violated", at, actor=actor, **data)
