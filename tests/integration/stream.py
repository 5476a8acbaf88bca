"""A stream of every type of event, the same for the same seed: many dimensions, repeats, and events that come late."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.support.events import Event, event, rfc3339

PROVIDERS = ("ikhokha", "yoco", "ozow", "peach")
METHODS = ("card", "eft", "qr")
CURRENCIES = ("ZAR", "USD", "KES")
REASONS = {
    "technical": ("issuer_timeout", "gateway_error"),
    "business": ("insufficient_funds", "limit"),
    "unknown": ("other_fault",),
}
WEBHOOKS = ("received", "processed", "failed", "rejected", "duplicate")
VIOLATIONS = ("auth.failed", "authz.violated", "api.suspicious", "security.violated", "request.blocked")
CHANGES = ("deploy.released", "config.changed", "flag.flipped", "maintenance.started", "maintenance.ended")
SPAN_S = 300.0
LATEST_S = 5 * 3600.0
"""How late an event may come: within the amend horizon of 6 h."""
REPEATED, LATE = 0.04, 0.02


def mixed(seed: int, count: int, now: float) -> list[Event]:
    """So many events of the last five minutes before `now`, in the order of their times but for those that come late;
    some stand in the list twice."""
    rng = random.Random(seed)
    found: list[Event] = []
    for number in range(count):
        at = now - SPAN_S + SPAN_S * number / count
        if rng.random() < LATE:
            at -= rng.uniform(60, LATEST_S)
        one = draw(rng, at)
        found.append(one)
        if rng.random() < REPEATED:
            found.append(one)
        if found and rng.random() < REPEATED:
            found.append(found[-rng.randint(1, min(len(found), 200))])
    return found


def draw(rng: random.Random, at: float) -> Event:
    """One event of any type at `at`."""
    return rng.choices(_KINDS, _WEIGHTS)[0](rng, round(at, 3))


def repeats(events: list[Event]) -> int:
    """How many events of a list are there for another time."""
    return len(events) - len({(one["source"], one["id"]) for one in events})


def _payment(rng: random.Random, at: float) -> Event:
    data: dict[str, Any] = {
        "provider": rng.choice(PROVIDERS),
        "method": rng.choice(METHODS),
        "merchant": f"m{min(int(rng.expovariate(0.05)), 150)}",
        "amount": rng.randint(0, 10 ** rng.randint(1, 9)),
        "currency": rng.choice(CURRENCIES),
    }
    verb = rng.choices(("initiated", "redirected", "succeeded", "failed", "refunded"), (30, 5, 50, 12, 3))[0]
    if verb in ("succeeded", "failed", "refunded"):
        if rng.random() < 0.9:
            data["latency_ms"] = rng.choice((rng.randint(0, 9_000), round(rng.lognormvariate(6, 1), 3)))
        if rng.random() < 0.6:
            data["initiated_at"] = rfc3339(at - rng.uniform(0, 90))
    if verb == "failed":
        data["fault"] = rng.choice(tuple(REASONS))
        data["reason"] = rng.choice(REASONS[data["fault"]])
    return event(f"payment.{verb}", at, **data)


def _reconciliation(rng: random.Random, at: float) -> Event:
    data: dict[str, Any] = {"provider": rng.choice(PROVIDERS), "outcome": rng.choice(("match", "missing", "duplicate"))}
    if rng.random() < 0.5:
        data |= {"amount": rng.randint(0, 10**6), "currency": rng.choice(CURRENCIES)}
    return event("reconciliation.checked", at, **data)


def _enrollment(rng: random.Random, at: float) -> Event:
    more = {"processing_ms": rng.uniform(1, 5_000)} if rng.random() < 0.5 else {}
    step = rng.choice(("created", "approved", "access_granted"))
    return event(f"enrollment.{step}", at, enrollment_id=_id(rng, "e"), course=f"c{rng.randint(1, 9)}", **more)


def _webhook(rng: random.Random, at: float) -> Event:
    more: dict[str, Any] = {"lag_ms": rng.uniform(0, 60_000)} if rng.random() < 0.7 else {}
    verb = rng.choice(WEBHOOKS)
    if verb in ("failed", "rejected"):
        more["reason"] = rng.choice(("invalid_signature", "timeout"))
    return event(f"webhook.{verb}", at, webhook_id=_id(rng, "w"), provider=rng.choice(PROVIDERS), **more)


def _health(rng: random.Random, at: float) -> Event:
    more: dict[str, Any] = {"place": rng.choice(("cape", "joburg"))} if rng.random() < 0.5 else {}
    if rng.random() < 0.8:
        more["response_ms"] = rng.uniform(1, 900)
    component, instance = rng.choice(("checkout", "ledger")), f"i{rng.randint(1, 3)}"
    return event(
        "health.checked", at, component=component, instance=instance, status=rng.choice(("up", "down")), **more
    )


def _call(rng: random.Random, at: float) -> Event:
    return event(
        rng.choice(("request.served", "call.made", "query.run")),
        at,
        component=rng.choice(("checkout", "ledger", "admin")),
        target=f"/t/{rng.randint(1, 6)}",
        outcome=rng.choices(("ok", "error", "connection_failed"), (90, 7, 3))[0],
        latency_ms=rng.choice((rng.randint(0, 4_000), rng.uniform(0, 4_000), 0.0004, 0)),
    )


def _resource(rng: random.Random, at: float) -> Event:
    kind = rng.choice(("cpu", "memory", "disk", "network"))
    return event(
        "resource.sampled", at, host=f"h{rng.randint(1, 4)}", resource=kind, value=rng.uniform(0, 100), interval_s=10.0
    )


def _experience(rng: random.Random, at: float) -> Event:
    component = rng.choice(("shop", "portal"))
    kind = rng.choice(("session.started", "session.ended", "feature.checked", "feedback.given"))
    if kind == "feature.checked":
        return event(kind, at, component=component, feature=rng.choice(("pay", "search")), available=rng.random() < 0.9)
    if kind == "feedback.given":
        return event(kind, at, component=component, score=rng.randint(1, 5))
    more = {"duration_ms": rng.uniform(1, 10**6)} if kind == "session.ended" else {}
    return event(kind, at, component=component, session_id=_id(rng, "s"), **more)


def _error(rng: random.Random, at: float) -> Event:
    return event(
        rng.choice(("error.raised", "error.resolved")),
        at,
        error_id=_id(rng, "x"),
        category=rng.choice(("application", "payment", "webhook", "configuration", "security")),
        component=rng.choice(("checkout", "ledger")),
        critical=rng.random() < 0.2,
    )


def _security(rng: random.Random, at: float) -> Event:
    if rng.random() < 0.2:
        return event("policy.checked", at, component="vault", policy=f"p{rng.randint(1, 3)}", passed=rng.random() < 0.9)
    more = {"reason": rng.choice(("bad_password", "no_role"))} if rng.random() < 0.5 else {}
    return event(
        rng.choice(VIOLATIONS), at, actor=f"actor-{rng.randint(1, 60)}", component=rng.choice(("api", "admin")), **more
    )


def _change(rng: random.Random, at: float) -> Event:
    more = {"version": f"1.{rng.randint(0, 9)}"} if rng.random() < 0.8 else {}
    return event(rng.choice(CHANGES), at, component=rng.choice(("checkout", "ledger")), **more)


def _id(rng: random.Random, letter: str) -> str:
    return f"{letter}{rng.randint(1, 10**9)}"


_KINDS: tuple[Callable[[random.Random, float], Event], ...] = (
    _payment, _reconciliation, _enrollment, _webhook, _health, _call, _resource, _experience, _error, _security, _change,
)  # fmt: skip
_WEIGHTS = (45, 4, 5, 8, 6, 12, 5, 5, 4, 5, 1)
