"""Believable traffic of a payment integration: a pure, seeded generator of events."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

from local import cast
from local.agenda import Agenda, Happening, hash_of
from local.scenarios import Conditions, Scenario
from schemas.events import SUBJECT_OF
from schemas.time import rfc3339

Value = str | int | float | bool
Data = dict[str, Value]
Event = dict[str, object]
Emission = tuple[str, str, Event]
"""Subject (the topic's), key, and the CloudEvent."""

_DAY_S, _HOUR_S = 86_400, 3_600
_OFFSET_S = 2 * _HOUR_S  # South Africa's clock
_WEEK = (1.0, 1.0, 1.02, 1.05, 1.14, 0.95, 0.84)
_PEAK = 1.8

ABANDONED = 0.05
TECHNICAL, UNKNOWN, FRAUD = 0.006, 0.002, 0.003
HEALTH_EVERY_MS, RESOURCE_EVERY_MS, ALIVE_EVERY_MS = 10_000, 5_000, 10_000
FEATURE_EVERY_MS, POLICY_EVERY_MS = 30_000, 300_000


def daily_shape(second: float) -> float:
    """How much goes on at this time of day and week, where 1 is the average of the week."""
    local = second + _OFFSET_S
    hour = local % _DAY_S / _HOUR_S
    day = 1 + 0.62 * math.cos(math.tau * (hour - 15) / 24) + 0.18 * math.cos(2 * math.tau * (hour - 20) / 24)
    return day * _WEEK[(int(local // _DAY_S) + 3) % 7]  # the epoch began on a Thursday


class Simulator:
    """A payment integration with several services, from `start_s` (epoch seconds) on.

    rate: payments begun a second, averaged over a week; each makes some fifteen events, and the machines seven a second
    besides. The same arguments give the same events, and a scenario changes only what it touches: whatever it leaves
    alone keeps its ids, times and values.
    """

    def __init__(self, seed: int, start_s: float, rate: float = 10.0, scenarios: Iterable[Scenario] = ()) -> None:
        if not 0 < rate < 100_000:
            raise ValueError(f"the rate must be above 0 and below 100,000 payments a second, not {rate}")
        self.seed, self.start_s, self.rate = seed, start_s, rate
        self.scenarios = tuple(scenarios)

    def plan(self, scenarios: Iterable[Scenario]) -> None:
        """Adds scenarios that lie ahead, also while events are handed out."""
        self.scenarios += tuple(scenarios)

    def events(self, from_s: float, to_s: float = math.inf) -> Iterator[Emission]:
        """The events of `from_s ≤ time < to_s` (epoch seconds) in order of time; without `to_s` it never ends."""
        return _Run(self).emissions(from_s * 1000, to_s * 1000)


class _Run:
    """One pass over the events."""

    def __init__(self, simulator: Simulator) -> None:
        self._start_ms = math.ceil(simulator.start_s * 1000)
        self._simulator, self._now = simulator, Conditions(())
        self._rate = simulator.rate
        seed = hash_of(simulator.seed, simulator.start_s)
        self._name = f"r{seed:016x}"[:9]  # and letters between all digits: no id looks like a card number
        self._agenda = Agenda(seed, self._start_ms)
        self._sent: Counter[str] = Counter()
        self._emitted: list[Emission] = []
        self._begin()

    def emissions(self, from_ms: float, to_ms: float) -> Iterator[Emission]:
        for ms, act in self._agenda.until(to_ms):
            if len(self._simulator.scenarios) > len(self._now.scenarios):
                self._take_up(self._simulator.scenarios)
            act(ms)
            if self._emitted:
                if ms >= from_ms:
                    yield from self._emitted
                self._emitted.clear()

    def _send(
        self, ms: float, name: str, source: str, event_type: str, key: str, data: Data, subject: str = ""
    ) -> None:
        """Puts an event on the agenda. `subject`: the CloudEvent's, if it has one."""

        def send(ms: int) -> None:
            if not self._now.silent(source, ms):
                self._sent[source] += 1
                self._emit(ms, SUBJECT_OF[event_type], name, source, event_type, key, data, subject)

        self._agenda.put(ms, send)

    def _emit(
        self, ms: int, topic: str, name: str, source: str, event_type: str, key: str, data: Data, subject: str = ""
    ) -> None:
        event: Event = {
            "specversion": "1.0",
            "id": f"evt_{self._name}x{name}",
            "source": source,
            "type": event_type,
            "time": rfc3339(ms),
            "data": data,
        }
        if subject:
            event["subject"] = subject
        self._emitted.append((topic, key, event))

    def _begin(self) -> None:
        def customers(ms: int) -> float:
            return daily_shape(ms / 1000) / _PEAK * self._now.customers(ms)

        peak = self._rate * _PEAK
        self._agenda.arrivals("p", peak, self._payment, thin=customers)
        self._agenda.arrivals("b", peak * 2, self._browse, thin=customers)
        self._agenda.arrivals("a", 1 / 150, self._wrong_password)
        self._agenda.arrivals("k", 1 / 900, self._blocked)
        self._agenda.arrivals("g", 1 / 1200, self._nosy)
        self._agenda.arrivals("j", 1 / 1800, self._scan)
        self._agenda.arrivals("w", 1 / 2400, self._unsigned)
        self._agenda.arrivals("e", 1 / 40, self._error)
        self._agenda.arrivals("n", 1 / 1800, self._lost_connection)
        self._agenda.arrivals("d", 1 / _HOUR_S, self._change)
        for component, instances in cast.PROBED.items():
            for instance in instances:
                for place in cast.PLACES:
                    self._agenda.every(
                        HEALTH_EVERY_MS, f"h{component}-{instance}-{place}", self._probe(component, instance, place)
                    )
        for host in cast.HOSTS:
            for resource in cast.RESOURCES:
                self._agenda.every(RESOURCE_EVERY_MS, f"s{host}-{resource}", self._sample(host, resource))
        for source, subject in cast.SOURCES.items():
            self._agenda.every(ALIVE_EVERY_MS, f"l{source.strip('/').replace('/', '-')}", self._alive(source, subject))
        for feature in cast.FEATURES:
            self._agenda.every(FEATURE_EVERY_MS, f"f{feature}", self._feature(feature))
        self._agenda.every(POLICY_EVERY_MS, "t", self._policy)
        self._take_up(self._simulator.scenarios)

    def _take_up(self, scenarios: tuple[Scenario, ...]) -> None:
        known, self._now = len(self._now.scenarios), Conditions(scenarios)
        for number, scenario in enumerate(scenarios[known:], known):
            span = scenario.start_s, scenario.end_s
            if scenario.name == "brute_force":
                self._agenda.arrivals(
                    f"x{number}", scenario.number("rate"), self._guess(scenario.text("actor")), span_s=span
                )
            elif scenario.name == "bad_webhook_signatures":
                self._agenda.arrivals(
                    f"x{number}", scenario.number("rate"), self._forge(scenario.text("provider")), span_s=span
                )

    # --- a payment and what it entails -------------------------------------------------------------------------------

    def _payment(self, ms: int, rng: Random, name: str) -> None:
        tx = f"tx_{self._name}x{name}"
        provider = cast.PROVIDERS.draw(rng)
        method = cast.METHODS_OF[provider].draw(rng)
        how = cast.METHODS[method]
        source = cast.CHECKOUTS.draw(rng)
        payment: Data = {
            "transaction_id": tx,
            "provider": provider,
            "method": method,
            "merchant": cast.MERCHANTS.draw(rng),
            "amount": round(cast.PRICES.draw(rng) * rng.choice((1, 1, 1, 1, 2, 3))),
            "currency": cast.CURRENCIES.draw(rng),
        }
        # Every draw is made in any case, so that a scenario changes this flow's outcome and nothing else of it.
        page_ms = rng.lognormvariate(math.log(120), 0.5)
        leaves = rng.random() < ABANDONED
        think_ms = min(rng.lognormvariate(math.log(5_000), 0.6), 60_000)
        latency_ms = min(rng.lognormvariate(math.log(how.latency_ms), how.spread), 90_000)
        luck, outage_luck, database_luck = rng.random(), rng.random(), rng.random()
        decline, breakdown, outage_reason = (
            mix.draw(rng) for mix in (cast.DECLINES, cast.BREAKDOWNS, cast.OUTAGE_REASONS)
        )
        outage_ms = 200 + rng.random() * (400 if outage_reason == "provider_unavailable" else 8_000)
        after = Random(rng.getrandbits(64))

        self._serve(ms, f"{name}q0", source, "POST /checkout", page_ms, after, database_luck)
        self._send(ms, f"{name}p0", source, "payment.initiated", tx, payment, tx)
        self._visit(ms, name, after, think_ms + latency_ms)
        self._send(ms + page_ms, f"{name}p1", source, "payment.redirected", tx, payment, tx)
        if leaves:
            return
        submitted = ms + page_ms + think_ms
        if outage_luck < self._now.outage(provider, int(submitted)):
            fault, reason, latency_ms, called = "technical", outage_reason, outage_ms, "connection_failed"
        elif database_luck < self._now.refused(int(submitted)):
            fault, reason, called = "technical", "order_not_saved", "ok"
        else:
            called = "ok"
            latency_ms *= self._now.slowness(provider, int(submitted))
            fault, reason = _verdict(luck, how.declines, decline, breakdown)
            if fault == "technical":
                called = "error"
        finished = submitted + latency_ms
        paid: Data = payment | {"latency_ms": round(latency_ms, 1), "initiated_at": rfc3339(ms)}
        self._send(
            finished,
            f"{name}c",
            source,
            "call.made",
            "checkout",
            {"component": "checkout", "target": provider, "outcome": called, "latency_ms": round(latency_ms * 0.9, 1)},
        )
        if fault:
            self._send(
                finished, f"{name}p2", source, "payment.failed", tx, {**paid, "fault": fault, "reason": reason}, tx
            )
            if fault in ("technical", "unknown"):
                self._raise(finished, name, source, "payment", "checkout", reason, after)
        else:
            self._send(finished, f"{name}p2", source, "payment.succeeded", tx, paid, tx)
        if called != "connection_failed":  # a provider that is away sends none
            told = self._webhook(finished, name, tx, provider, after)
            if not fault:
                self._paid(told, name, tx, source, paid, after)

    def _webhook(self, finished: float, name: str, tx: str, provider: str, rng: Random) -> float:
        """The provider's message about it, and when it was processed."""
        lag_ms = min(rng.lognormvariate(math.log(700), 0.7), 60_000)
        took_ms = rng.lognormvariate(math.log(60), 0.5)
        data: Data = {"webhook_id": f"wh_{self._name}x{name}", "provider": provider}
        at = finished + lag_ms
        self._send(at, f"{name}w0", cast.WEBHOOKS, "webhook.received", tx, {**data, "lag_ms": round(lag_ms, 1)}, tx)
        if rng.random() < 0.002:
            self._send(
                at + took_ms, f"{name}w1", cast.WEBHOOKS, "webhook.failed", tx, {**data, "reason": "handler_error"}, tx
            )
            at += 10_000  # it is sent once more, and works
        self._send(at + took_ms, f"{name}w2", cast.WEBHOOKS, "webhook.processed", tx, data, tx)
        if rng.random() < 0.015:
            again = at + rng.uniform(1_000, 20_000)
            self._send(again, f"{name}w3", cast.WEBHOOKS, "webhook.duplicate", tx, data, tx)
        return at + took_ms

    def _paid(self, told: float, name: str, tx: str, source: str, payment: Data, rng: Random) -> None:
        course = cast.COURSES.draw(rng)
        at = told
        for step, median_ms in (("created", 150), ("approved", 900), ("access_granted", 400)):
            took_ms = rng.lognormvariate(math.log(median_ms), 0.6)
            at += took_ms
            self._send(
                at,
                f"{name}n{step[0:2]}",
                cast.ENROLLMENTS,
                f"enrollment.{step}",
                tx,
                {
                    "course": course,
                    "enrollment_id": f"en_{self._name}x{name}",
                    "transaction_id": tx,
                    "processing_ms": round(took_ms, 1),
                },
                tx,
            )
        if rng.random() < 0.03:
            self._send(
                at + rng.uniform(2_000, 60_000),
                f"{name}v",
                source,
                "feedback.given",
                "checkout",
                {"component": "checkout", "score": cast.SCORES.draw(rng)},
            )
        if rng.random() < 0.05:
            self._send(
                at + 60_000,
                f"{name}r",
                cast.LEDGER,
                "reconciliation.checked",
                tx,
                {
                    "outcome": "match",
                    "transaction_id": tx,
                    "provider": payment["provider"],
                    "amount": payment["amount"],
                    "currency": payment["currency"],
                },
                tx,
            )
        if rng.random() < 0.005:
            back = at + rng.lognormvariate(math.log(600_000), 0.8)
            self._send(back, f"{name}p3", source, "payment.refunded", tx, payment, tx)

    def _visit(self, ms: int, name: str, rng: Random, stay_ms: float) -> None:
        visit: Data = {"component": "checkout", "session_id": f"se_{self._name}x{name}"}
        source, stay_ms = cast.LOGIN, stay_ms + rng.uniform(1_000, 30_000)
        if rng.random() < 0.3:
            self._send(ms, f"{name}s0", source, "session.started", "checkout", visit)
            self._send(
                ms + stay_ms,
                f"{name}s1",
                source,
                "session.ended",
                "checkout",
                {**visit, "duration_ms": round(stay_ms, 1)},
            )

    # --- the platform ------------------------------------------------------------------------------------------------

    def _serve(
        self, ms: int, name: str, source: str, route: str, took_ms: float, rng: Random, database_luck: float
    ) -> None:
        """One request, and the query it makes."""
        query_ms = min(rng.lognormvariate(math.log(7), 0.8), took_ms * 0.8)
        asks, served = "ok", "ok" if rng.random() >= 0.002 else "error"
        if database_luck < self._now.refused(ms):
            asks, served = "connection_failed", "error"
            self._raise(ms, name, source, "application", "checkout", "database_unavailable", rng, critical=True)
        self._send(
            ms + query_ms,
            f"{name}y",
            source,
            "query.run",
            "checkout",
            {"component": "checkout", "target": cast.DATABASE, "outcome": asks, "latency_ms": round(query_ms, 2)},
        )
        self._send(
            ms + took_ms,
            f"{name}z",
            source,
            "request.served",
            "checkout",
            {"component": "checkout", "target": route, "outcome": served, "latency_ms": round(took_ms, 1)},
        )

    def _browse(self, ms: int, rng: Random, name: str) -> None:
        took_ms = rng.lognormvariate(math.log(80), 0.6)
        self._serve(ms, name, cast.CHECKOUTS.draw(rng), cast.ROUTES.draw(rng), took_ms, rng, rng.random())

    def _lost_connection(self, ms: int, rng: Random, name: str) -> None:
        self._send(
            ms,
            name,
            cast.CHECKOUTS.draw(rng),
            "call.made",
            "checkout",
            {
                "component": "checkout",
                "target": cast.PROVIDERS.draw(rng),
                "outcome": "connection_failed",
                "latency_ms": 3_000,
            },
        )

    def _raise(
        self,
        ms: float,
        name: str,
        source: str,
        category: str,
        component: str,
        message: str,
        rng: Random,
        critical: bool = False,
    ) -> None:
        error: Data = {
            "error_id": f"er_{self._name}x{name}",
            "category": category,
            "component": component,
            "critical": critical,
        }
        self._send(ms, f"{name}e0", source, "error.raised", component, {**error, "message": message})
        if rng.random() < 0.9:
            self._send(ms + rng.uniform(30_000, 300_000), f"{name}e1", source, "error.resolved", component, error)

    def _error(self, ms: int, rng: Random, name: str) -> None:
        category = rng.choices(("application", "webhook", "configuration"), (0.7, 0.295, 0.005))[0]
        component = "webhook-worker" if category == "webhook" else "checkout"
        source = cast.WEBHOOKS if category == "webhook" else cast.CHECKOUTS.draw(rng)
        self._raise(ms, name, source, category, component, "unexpected_answer", rng)

    def _probe(self, component: str, instance: str, place: str) -> Happening:
        def probe(ms: int, rng: Random, name: str) -> None:
            blip, took_ms = rng.random() < 0.0005, rng.lognormvariate(math.log(45), 0.5)
            away = self._now.outage(component, ms) >= 0.5 or (
                component == cast.DATABASE and self._now.refused(ms) >= 0.5
            )
            status: Data = {"status": "down"} if away or blip else {"status": "up", "response_ms": round(took_ms, 1)}
            self._send(
                ms,
                name,
                f"/prober/{place}",
                "health.checked",
                component,
                {"component": component, "instance": instance, "place": place, **status},
            )

        return probe

    def _sample(self, host: str, resource: str) -> Happening:
        level = cast.RESOURCES[resource] + self._agenda.chance("level", host, resource).uniform(-6, 6)

        def sample(ms: int, rng: Random, name: str) -> None:
            noise = rng.gauss(0, 1.2)
            value = level + noise
            if resource in ("cpu", "network"):
                value += 10 * (daily_shape(ms / 1000) - 1) + 3 * noise
            if resource == "memory":
                value = self._now.memory(host, value, ms)
            value = round(min(max(value, 0.5), 99.5), 2)
            self._send(
                ms,
                name,
                cast.HOSTD,
                "resource.sampled",
                host,
                {"host": host, "resource": resource, "value": value, "interval_s": RESOURCE_EVERY_MS / 1000},
            )

        return sample

    def _alive(self, source: str, subject: str) -> Happening:
        started_at = rfc3339(self._start_ms)

        def alive(ms: int, rng: Random, name: str) -> None:
            if not self._now.silent(source, ms):
                data: Data = {"sent": self._sent[source], "started_at": started_at}
                self._emit(ms, subject, name, source, "source.alive", source, data)

        return alive

    def _feature(self, feature: str) -> Happening:
        def check(ms: int, rng: Random, name: str) -> None:
            self._send(
                ms,
                name,
                "/prober/jnb",
                "feature.checked",
                "checkout",
                {"component": "checkout", "feature": feature, "available": rng.random() >= 0.001},
            )

        return check

    def _change(self, ms: int, rng: Random, name: str) -> None:
        component = rng.choice(("checkout", "webhook-worker", "enrollment-api"))
        kind = rng.choices(("deploy.released", "config.changed", "flag.flipped"), (0.7, 0.2, 0.1))[0]
        version = f"{rng.randrange(4, 6)}.{rng.randrange(30)}.{rng.randrange(9)}"
        author = rng.choice(("thandi", "pieter", "lerato"))
        self._send(
            ms, name, cast.DEPLOYER, kind, component, {"component": component, "version": version, "author": author}
        )

    # --- security ----------------------------------------------------------------------------------------------------

    def _wrong_password(self, ms: int, rng: Random, name: str) -> None:
        self._denied(ms, name, f"customer-{rng.randrange(5_000)}")

    def _denied(self, ms: int, name: str, actor: str) -> None:
        self._send(
            ms,
            name,
            cast.LOGIN,
            "auth.failed",
            actor,
            {"actor": actor, "component": "login", "reason": "wrong_password"},
        )

    def _guess(self, actor: str) -> Happening:
        return lambda ms, rng, name: self._denied(ms, name, actor)

    def _blocked(self, ms: int, rng: Random, name: str) -> None:
        actor = f"198.51.100.{rng.randrange(1, 255)}"
        self._send(
            ms,
            name,
            cast.LOGIN,
            "request.blocked",
            actor,
            {"actor": actor, "component": "login", "reason": "rate_limit"},
        )

    def _nosy(self, ms: int, rng: Random, name: str) -> None:
        actor = f"customer-{rng.randrange(5_000)}"
        data: Data = {"actor": actor, "component": "enrollment-api", "reason": "not_enrolled"}
        self._send(ms, name, cast.ENROLLMENTS, "authz.violated", actor, data)

    def _scan(self, ms: int, rng: Random, name: str) -> None:
        actor = f"192.0.2.{rng.randrange(1, 255)}"
        data: Data = {"actor": actor, "component": "checkout", "reason": "unknown_route"}
        self._send(ms, name, cast.CHECKOUTS.draw(rng), "api.suspicious", actor, data)

    def _unsigned(self, ms: int, rng: Random, name: str) -> None:
        """Somebody tries the address of the webhooks."""
        self._forge(cast.PROVIDERS.draw(rng))(ms, rng, name)

    def _forge(self, provider: str) -> Happening:
        def forge(ms: int, rng: Random, name: str) -> None:
            webhook = f"wh_{self._name}x{name}"
            self._send(
                ms,
                name,
                cast.WEBHOOKS,
                "webhook.rejected",
                webhook,
                {"webhook_id": webhook, "provider": provider, "reason": "invalid_signature"},
            )

        return forge

    def _policy(self, ms: int, rng: Random, name: str) -> None:
        self._send(
            ms,
            name,
            cast.DEPLOYER,
            "policy.checked",
            "checkout",
            {"component": "checkout", "policy": "tls-1.2", "passed": True},
        )


def _verdict(luck: float, declines: float, decline: str, breakdown: str) -> tuple[str, str]:
    """Fault and reason of a finished payment; both empty where it succeeded."""
    for fault, share, reason in (
        ("technical", TECHNICAL, breakdown),
        ("unknown", UNKNOWN, "no_answer"),
        ("fraud", FRAUD, "risk_score"),
        ("business", declines, decline),
    ):
        if luck < share:
            return fault, reason
        luck -= share
    return "", ""
