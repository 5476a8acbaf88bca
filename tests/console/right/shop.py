"""A shop of which everything is known: events of every type, folded into the tables, and judged by the rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from random import Random
from typing import Any

from rollups.tables import DAY, HOUR
from rules.loader import BUCKET_MS, RuleSet
from rules.signals import Signal, shipped
from schemas.events import SUBJECT_OF
from schemas.tables import TABLES
from schemas.time import epoch_ms
from tests.console.conftest import Held
from tests.console.history import folded, write
from tests.console.rows import NOW_MS
from tests.support.desk import Desk as Judge
from tests.support.desk import rules
from tests.support.events import Event, event, rfc3339

MINUTE = 60_000
NOW_S = NOW_MS / 1000
PROVIDERS, METHODS, CURRENCIES = ("ikhokha", "ozow", "yoco"), ("card", "eft", "qr"), ("ZAR", "USD")
REASONS = {"technical": "issuer_timeout", "unknown": "not_said", "business": "insufficient_funds", "fraud": "stolen"}
SOURCES = ("/checkout", "/portal")
SECURITY = (
    "auth.failed", "authz.violated", "api.suspicious", "data_access.flagged", "request.blocked", "security.violated",
    "security.incident",
)  # fmt: skip
BUSY_MS, BUSY_EVENTS = 70 * MINUTE, 4_000
WEEKS = 4


# --- what happens -----------------------------------------------------------------------------------------------------


def _payment(rng: Random, at: float) -> Event:
    provider = rng.choice(PROVIDERS)
    data: dict[str, Any] = {
        "provider": provider, "method": "card" if provider == "yoco" else rng.choice(METHODS), "merchant": rng.choice("abc"),
        "amount": rng.randint(1_000, 900_000), "currency": rng.choice(CURRENCIES),
    }  # fmt: skip
    verb = rng.choices(("initiated", "redirected", "succeeded", "failed", "refunded"), (30, 20, 40, 8, 3))[0]
    if verb in ("succeeded", "failed", "refunded"):
        data |= {"latency_ms": round(rng.lognormvariate(7.5, 1), 3), "initiated_at": rfc3339(at - rng.uniform(1, 40))}
    if verb == "failed":
        data["fault"] = rng.choices(tuple(REASONS), (5, 1, 4, 1))[0]
        data["reason"] = REASONS[data["fault"]]
    return event(f"payment.{verb}", at, source=rng.choice(SOURCES), **data)


def _call(rng: Random, at: float) -> Event:
    outcome = rng.choices(("ok", "error", "connection_failed"), (70, 20, 10))[0]
    component, target = rng.choice(("checkout", "ledger")), rng.choice(("one", "another"))
    latency = round(rng.lognormvariate(5, 1), 3)
    kind = rng.choice(("request.served", "call.made", "query.run"))
    return event(kind, at, source="/portal", component=component, target=target, outcome=outcome, latency_ms=latency)


def _webhook(rng: Random, at: float) -> Event:
    verb = rng.choices(("received", "processed", "failed", "rejected", "duplicate"), (8, 8, 1, 4, 1))[0]
    more = {"reason": rng.choice(("invalid_signature", "unknown_route"))} if verb in ("failed", "rejected") else {}
    return event(
        f"webhook.{verb}", at, provider=rng.choice(PROVIDERS), lag_ms=round(rng.lognormvariate(6, 1), 3), **more
    )


def _security(rng: Random, at: float) -> Event:
    if rng.random() < 0.3:
        policy, passed = rng.choice(("passwords", "keys")), rng.random() < 0.8
        return event("policy.checked", at, component="vault", policy=policy, passed=passed)
    return event(rng.choice(SECURITY), at, actor=rng.choice(("mallory", "eve")), component=rng.choice(("api", "admin")))


def _experience(rng: Random, at: float) -> Event:
    kind = rng.choice(("session.ended", "feature.checked", "feedback.given"))
    data: dict[str, Any] = {
        "session.ended": {"duration_ms": rng.uniform(1, 10**6)}, "feedback.given": {"score": rng.randint(1, 5)},
        "feature.checked": {"feature": "pay", "available": rng.random() < 0.9},
    }[kind]  # fmt: skip
    return event(kind, at, component="shop", **data)


def _enrollment(rng: Random, at: float) -> Event:
    step = rng.choice(("created", "approved", "access_granted"))
    return event(f"enrollment.{step}", at, course=rng.choice(("maths", "art")), processing_ms=rng.uniform(1, 5_000))


def _error(rng: Random, at: float) -> Event:
    kind, category = rng.choice(("error.raised", "error.resolved")), rng.choice(("application", "payment", "security"))
    component, critical = rng.choice(("checkout", "ledger")), rng.random() < 0.2
    return event(kind, at, category=category, component=component, critical=critical)


def _reconciliation(rng: Random, at: float) -> Event:
    outcome = rng.choice(("match", "missing", "duplicate"))
    return event(
        "reconciliation.checked", at, provider=rng.choice(PROVIDERS), outcome=outcome, amount=5, currency="ZAR"
    )


def _resource(rng: Random, at: float) -> Event:
    host, resource = rng.choice(("db", "web")), rng.choice(("cpu", "memory", "disk", "network"))
    return event("resource.sampled", at, host=host, resource=resource, value=rng.uniform(0, 100), interval_s=10.0)


def _health(rng: Random, at: float) -> Event:
    component, instance = rng.choice(("checkout", "ledger", "database")), rng.choice("ab")
    status = rng.choices(("up", "down"), (9, 1))[0]
    return event(
        "health.checked", at, component=component, instance=instance, status=status, response_ms=rng.uniform(1, 900)
    )


def _change(rng: Random, at: float) -> Event:
    kind = rng.choice(("deploy.released", "config.changed", "flag.flipped"))
    return event(kind, at, component=rng.choice(("checkout", "ledger")), version=rng.choice(("blue", "green")))


def _alive(rng: Random, at: float) -> Event:
    return event("source.alive", at, source=rng.choice(SOURCES), sent=1, started_at=rfc3339(at - 60))


def _strange(rng: Random, at: float) -> Event:
    """One that has a field that nobody knows, or that cannot be used."""
    return _payment(rng, at) | {"unheard": "of"} if rng.random() < 0.5 else event("payment.initiated", at, amount=-1)


_Make = Callable[[Random, float], Event]
_ANY: dict[_Make, int] = {
    _payment: 60, _call: 14, _webhook: 8, _security: 10, _experience: 5, _enrollment: 10, _error: 5, _reconciliation: 2,
    _resource: 6, _health: 5, _change: 1, _alive: 1, _strange: 1,
}  # fmt: skip


def _any(rng: Random, at_ms: float) -> Event:
    [make] = rng.choices(tuple(_ANY), tuple(_ANY.values()))
    return make(rng, round(at_ms) / 1000)


def _past(rng: Random) -> Iterator[Event]:
    """Ninety days, an hour of every third; the hours of the weeks before; two days and this morning."""
    hours = {NOW_MS - days * DAY - 3 * HOUR: 12 for days in range(3, 90, 3)}
    for week in range(1, WEEKS + 1):
        hours |= {NOW_MS - week * 7 * DAY + hour * HOUR: 450 for hour in (-1, 0)}
    hours |= {NOW_MS - 7 * DAY - hour * HOUR: 30 for hour in range(2, 25)}
    hours |= {NOW_MS - hour * HOUR: 12 for hour in range(2, 62)}
    for start, count in sorted(hours.items()):
        yield from (_any(rng, start - start % HOUR + 600_000 + 60_000 * nth / count) for nth in range(count))


def _present(rng: Random) -> Iterator[Event]:
    """The last hour and a bit, event by event; at its very end one of everything, so that rules have a last word on it."""
    begin = NOW_MS - BUSY_MS
    found = [_any(rng, begin + BUSY_MS * nth / BUSY_EVENTS) for nth in range(BUSY_EVENTS)]
    for second in range(0, 90, 10):
        for component, status in (("checkout", "up"), ("ledger", "up"), ("gateway", "down"), ("database", "up")):
            found.append(
                event(
                    "health.checked", NOW_S - second, component=component, instance="a", status=status, response_ms=5.0
                )
            )
    outage = {
        "provider": "ozow",
        "method": "eft",
        "merchant": "a",
        "currency": "ZAR",
        "amount": 5_000,
        "latency_ms": 900.0,
    }
    found += [
        event("payment.failed", NOW_S - nth * 2, fault="technical", reason=REASONS["technical"], **outage)
        for nth in range(15)
    ]
    found += found[::300]  # some come twice
    for make in _ANY:
        found += [make(rng, NOW_S) for _ in range(30 if make is _payment else 12)]
    return iter(sorted(found, key=lambda one: str(one["time"])))


class Shop:
    """Everything that happened until now."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        self.past, self.present = list(_past(rng)), list(_present(rng))

    async def fill(self, held: Held) -> None:
        """The tables, by the fold."""
        events = [(_subject(one), "", one) for one in (*self.past, *self.present)]
        await write(held.tables, folded(events), NOW_MS - 30_000)  # type: ignore[arg-type]

    def values(self, types: Collection[str], measure: str, start_ms: int, end_ms: int, **named: Any) -> list[float]:
        """What events of these types carried between two times, each event once."""
        found = {
            (one["source"], one["id"]): float(one["data"][measure])
            for one in (*self.past, *self.present)
            if one["type"] in types
            and start_ms <= epoch_ms(one["time"]) < end_ms
            and named.items() <= one["data"].items()
        }
        return list(found.values())


def _subject(one: Event) -> str:
    home = SUBJECT_OF[one["type"]]
    return "platform" if home == "*" else home


# --- what the rules say of it -----------------------------------------------------------------------------------------

ASKS = "says_"
"""How the rules are called that ask for a signal."""
_ASKED = {
    "ratio": "> 0% over 5 minutes", "mean": "> 0{unit} over 5 minutes", "quantile": "> 0{unit} over 5 minutes",
    "count": "< 1000000 in 5 minutes", "sum": "< 1000000000000 in 5 minutes", "share": "< 100% over 1 hour",
}  # fmt: skip
"""Conditions that every window fulfils, so that the rule tells what it judged."""


def _asking(signal: Signal, by: tuple[str, ...]) -> str | None:
    said = _ASKED.get(signal.aggregate)
    if said is None or signal.lag_ms:
        return None
    unit = " seconds" if signal.unit == "s" else ""
    name = ASKS + "_".join((signal.name, *by))
    condition = f"{signal.name} {said.format(unit=unit)}"
    return f"  {name}: {{condition: '{condition}', severity: low, by: [{', '.join(by)}], confidence: 0, min_events: 1}}"


def every_signal() -> RuleSet:
    """A rule about each signal, as a whole and in its groups."""
    wanted = [
        (one, by) for one in shipped().values() for by in dict.fromkeys(((), one.by, ("provider",), ("component",)))
    ]
    fitting = [(one, by) for one, by in wanted if one.table({*one.needed, *by}) is TABLES[one.tables[0]]]
    lines = [line for one, by in fitting if (line := _asking(one, by)) is not None]
    return rules("\n".join(("pack:", *lines)))


def judged(shop: Shop, of: RuleSet, namespace: str) -> Judge:
    """The rules, after they judged the present: what was before this moment they take for judged."""
    judge = Judge(of, now=NOW_S, namespace=namespace)
    floor = NOW_MS - NOW_MS % BUCKET_MS
    judge.engine.restore([], {"judged": dict.fromkeys(TABLES, floor)})
    for one in shop.present:
        judge.feed(one, epoch_ms(one["time"]) / 1000)
    judge.look()
    judge.wait(60)
    return judge
