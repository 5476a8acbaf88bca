"""Security, system health and the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from console import usual
from console.readings import Window
from console.words import NB, counted, duration, figure, grouped, percent
from rollups.tables import DAY, HOUR
from schemas.time import epoch_ms
from tests.console.conftest import RULES
from tests.console.right.asking import (
    FINISHED,
    OURS,
    columns,
    count,
    mean,
    share,
)
from tests.console.right.figures import Figures, called
from tests.console.right.known import (
    LATEST,
    WEEK,
    Comparison,
    Known,
    components,
    ending_now,
    line,
    places,
    stations,
)
from tests.console.right.of_key_figures import SECURITY_SIGNALS
from tests.console.right.shop import MINUTE
from tests.console.rows import NOW_MS, OPEN_MS


async def security(known: Known, page: Figures) -> None:
    told, asked = page.told, known.asked
    view, per = (told["start"], told["end"]), told["bar"] // MINUTE
    by_kind = await asked.groups("security_10s", view, columns(n=count()), ("kind", "step"), ("step",))
    hooks = await asked.groups("webhooks_10s", view, columns(n=count(), invalid=count(INVALID)), ("step",))
    hours = usual.hours(Window(*view))
    earlier = (hours.start_ms - WEEK, hours.end_ms - WEEK)
    kinds_before = await asked.groups("security_10s", earlier, columns(n=count()), ("kind",))
    [invalid_before] = (await asked.groups("webhooks_10s", earlier, columns(n=count(INVALID)), ()))[()].values()
    first = min(*by_kind[("step",)], *hooks[("step",)])
    scaled = (min(view[1], NOW_MS) - view[0]) / (hours.end_ms - hours.start_ms)
    totals: dict[str, int] = {}
    befores: dict[str, int] = {}
    for one in told["kinds"]:
        kind = KINDS[one["name"]]
        steps = [
            None
            if not first <= start < NOW_MS
            else hooks[("step",)].get(start, {}).get("invalid", 0)
            if kind is None
            else by_kind["kind", "step"].get((kind, start), {}).get("n", 0)
            for start in range(*view, MINUTE)
        ]
        within = (one["window_s"] or MINUTE / 1000) * 1000 // MINUTE
        sums = [
            None if n is None else sum(filter(None, steps[max(0, at - int(within) + 1) : at + 1]))
            for at, n in enumerate(steps)
        ]
        pieces = [[n for n in sums[at : at + per] if n is not None] for at in range(0, len(sums), per)]
        gather = sum if one["window_s"] is None else max
        totals[one["name"]] = sum(filter(None, steps))
        was = invalid_before["n"] if kind is None else kinds_before[("kind",)].get(kind, {}).get("n", 0)
        befores[one["name"]] = round(was * scaled)
        page.are(
            {
                "kinds": {
                    one["name"]: {
                        "bars": [gather(piece) if piece else None for piece in pieces],
                        "total": totals[one["name"]],
                        "before": befores[one["name"]],
                        "recent": sum([n for n in steps if n is not None][-5:]),
                    }
                }
            }
        )
        tile = next((tile for tile in told["tiles"] if tile["name"] == one["name"]), None)
        if tile is not None:
            page.are(
                {
                    "tiles": {
                        one["name"]: {
                            "figure": grouped(totals[one["name"]]),
                            "trend": [None if n is None else float(n) for n in one["bars"]],
                            "note": f"In the time shown; last week about {grouped(befores[one['name']])}",
                        }
                    }
                }
            )

    # what fires, and who did most of it
    minute = NOW_MS - NOW_MS % MINUTE
    who = await asked.groups(
        "actors_10s", (minute - 59 * MINUTE, minute + MINUTE), columns(n=count()), ("kind", "actor")
    )
    for name, case in zip(called(told["cases"]), told["cases"], strict=True):
        alert = next(
            one["data"]
            for one in known.firing
            if (one["data"]["rule"], one["data"]["group"]) == (case["rule"], case["group"])
        )
        at, signals = f"cases/{name}", {part.signal.name for part in known.rule(case["rule"]).parts}
        wanted = {SECURITY_KINDS[signal] for signal in signals if signal in SECURITY_KINDS}
        found = [[actor, row["n"]] for (kind, actor), row in who["kind", "actor"].items() if kind in wanted]
        page.are({f"{at}/value": alert["value"], f"{at}/summary": alert["summary"]}, "the rules")
        page.are({f"{at}/total": sum(n for _, n in found)})
        page.are(
            {f"{at}/actors/{nth}": one for nth, one in enumerate(sorted(found, key=lambda one: (-one[1], one[0])))}
        )
        page.are({at: {"group": alert["group"]}}, "the rules")
    ours = [
        one
        for one in known.incidents
        if {*one.rules} & known.about([*SECURITY_SIGNALS.values(), "security_violations", "failed_policy_checks"])
    ]
    under_way = sorted(ours, key=lambda one: (not one.open, -one.since_ms))[:8]
    page.are({"under_way": [{"title": one.title, "number": one.number} for one in under_way]}, "the notifier")
    waiting = sum(one.open and one.acknowledged_ms is None for one in ours)

    # signatures and compliance
    providers = await asked.groups(
        "webhooks_10s",
        view,
        columns(
            received=count("outcome = 'received'"),
            invalid=count(INVALID),
            refused=count(f"outcome = 'rejected' and not ({INVALID})"),
        ),
        ("provider",),
    )
    page.are(
        {
            "signatures": {
                name: {what: row[what] for what in ("received", "invalid", "refused")}
                for name, row in providers[("provider",)].items()
            }
        }
    )
    checks = await asked.groups(
        "security_10s",
        view,
        columns(total=count(), passed=count("passed"), violated=count("kind = 'authz.violated'")),
        (),
        ("policy",),
    )
    taken = await asked.groups(
        "pipeline_10s", view, columns(event=count("kind = 'event'"), letter=count("kind = 'dead_letter'")), ()
    )
    [came] = taken[()].values()
    policies = {name: row for name, row in checks[("policy",)].items() if name is not None}
    passed, total_checks = (sum(row[what] for row in policies.values()) for what in ("passed", "total"))
    everything = came["event"] + came["letter"]
    page.are(
        {
            "compliance": {
                name: {"passed": row["passed"], "total": row["total"], "share": row["passed"] / row["total"]}
                for name, row in policies.items()
            }
            | {
                "No card number in any event": {"passed": came["event"], "total": came["event"], "share": 1.0},
                "Every event that came could be used": {
                    "passed": came["event"],
                    "total": everything,
                    "share": came["event"] / everything,
                    "word": f"{grouped(came['letter'])} refused",
                },
                "Attempts at what somebody may not do": {
                    "total": checks[()][()]["violated"],
                    "word": counted(checks[()][()]["violated"], "attempt") + " refused",
                },
            },
            "tiles": {
                "Policy checks that pass": {
                    "figure": figure(passed / total_checks, 100, 1),
                    "note": f"{grouped(passed)} of {grouped(total_checks)}",
                }
            },
        }
    )
    worst = next(one["data"] for one in known.firing if one["data"]["rule"] == told["cases"][0]["rule"])
    page.says("sentence", f"{worst['value']:g}", f"limit is {worst['threshold']:g}")
    recent = next(one["recent"] for one in told["kinds"] if one["name"] == "Invalid webhook signatures")
    most = told["cases"][0]
    page.says(
        "why",
        counted(recent, "invalid webhook signature"),
        "last 5 min",
        counted(waiting, "incident"),
        f"{grouped(most['actors'][0][1] if most['actors'] else 0)} of {grouped(most['total'])}",
    )


INVALID = "outcome = 'rejected' and reason = 'invalid_signature'"
SECURITY_KINDS = {
    "security_violations": "security.violated",
    "security_incidents": "security.incident",
    "failed_auth_attempts": "auth.failed",
    "authorization_violations": "authz.violated",
    "suspicious_activities": "api.suspicious",
    "blocked_requests": "request.blocked",
}
KINDS = {
    "Security violations": "security.violated",
    "Security incidents": "security.incident",
    "Failed sign-ins": "auth.failed",
    "Invalid webhook signatures": None,
    "Authorization violations": "authz.violated",
    "Suspicious API use": "api.suspicious",
    "Flagged data access": "data_access.flagged",
    "Blocked requests": "request.blocked",
}
TIMED = {
    "Requests": ("requests", ["request.served"]),
    "Queries": ("queries", ["query.run"]),
    "Calls to others": ("calls", ["call.made"]),
}
HOOKS = [f"webhook.{verb}" for verb in ("received", "processed", "failed", "rejected", "duplicate")]


async def system(known: Known, page: Figures) -> None:
    told, asked = page.told, known.asked
    view, five = (told["start"], told["end"]), ending_now(5 * MINUTE)
    assert told["step"] == MINUTE
    hour = NOW_MS - NOW_MS % HOUR
    up = columns(up=share("status = 'up'"), response=mean("response_ms"), latest="max(epoch_ms(bucket))")
    shown = await asked.groups("health_10s", view, up, ("component",), ("component", "step"))
    month = await asked.groups(
        "health_1h", (hour + HOUR - 30 * DAY, hour + HOUR), up, (), ("component",), ("step",), step=HOUR
    )
    day = await asked.groups("health_1h", (hour - DAY, hour + HOUR), up, (), ("component",))
    raised = columns(n=count("kind = 'error.raised'"), critical=count("kind = 'error.raised' and critical"))
    of_hour = await asked.groups("errors_10s", ending_now(HOUR), raised, ("component",))
    of_day = await asked.groups(
        "errors_1h", (hour - 23 * HOUR, hour + HOUR), raised, ("component", "step"), ("category",), ("step",), step=HOUR
    )
    page.are(
        {
            "components": {
                name: {
                    "checked_s": (NOW_MS - row["latest"]) / 1000,
                    "day": day[("component",)][name]["up"],
                    "month": month[("component",)][name]["up"],
                    "trend": [
                        places(shown["component", "step"].get((name, start), {}).get("response"), 1)
                        for start in range(*view, MINUTE)
                    ],
                    "errors": of_hour[("component",)].get(name, {}).get("n", 0),
                }
                for name, row in shown[("component",)].items()
            }
        }
    )
    page.are(
        {
            f"components/{name}/p95_ms": places(
                known.percentile(["health.checked"], "response_ms", view, 0.95, component=name), 1
            )
            for name in shown[("component",)]
        },
        "the events",
    )
    for component in told["components"]:
        down, probes = await probes_of(known, component["name"])
        page.says(f"components/{component['name']}/note", f"{down} of {counted(probes, 'probe')}")
    health = await asked.get("/api/health")
    page.are({"health": {key: value for key, value in health.items() if key != "as_of"}}, "/api/health")

    calls = await asked.groups(
        "calls_10s", five, columns(n=count(), failed=share("outcome = 'connection_failed'")), ("target",)
    )
    load = await asked.groups("resources_10s", five, columns(value=mean("value")), ("host", "resource"))
    page.are(
        {
            "dependencies": {
                name: {"calls": row["n"], "failed": row["failed"]} for name, row in calls[("target",)].items()
            }
        }
    )
    page.are(
        {
            f"dependencies/{name}/p95_s": places(
                (known.percentile(["call.made"], "latency_ms", five, 0.95, target=name) or 0) / 1000, 3
            )
            for name in calls[("target",)]
        },
        "the events",
    )
    page.are(
        {
            f"hosts/{host}/loads/{what}/value": places(row["value"], 1)
            for (host, what), row in load["host", "resource"].items()
        }
    )
    for said, (table, types) in TIMED.items():
        held = await asked.groups(
            f"{table}_10s", view, columns(bad=share("outcome != 'ok'"), value=mean("latency_ms")), ("step",)
        )
        page.are({f"failing/lines/{said}": line(view, MINUTE, held[("step",)], lambda one: one.get("bad"), 0)})
        values = each_minute(known, types, "latency_ms", view)
        page.are({f"latency/lines/{said}": values}, "the events")
        if said == "Requests":
            page.are({"tiles": {"Requests, p95": {"trend": values}}}, "the events")
        if said == "Queries":
            page.are(
                {
                    "tiles": {
                        "Database query, mean": {
                            "trend": [
                                places(one, 1)
                                for one in line(view, MINUTE, held[("step",)], lambda one: one.get("value"), 0)
                            ]
                        }
                    }
                }
            )
    by_hour = of_day["component", "step"]
    page.are({"categories": {name: row["n"] for name, row in of_day[("category",)].items() if row["n"]}})
    known_hours = range(min(of_day[("step",)]), hour + HOUR, HOUR)
    lead = [None] * (24 - len(known_hours))
    page.are(
        {
            "faults": {
                name: {
                    "hours": [*lead, *(by_hour.get((name, start), {}).get("n", 0) for start in known_hours)],
                    "hour": of_hour[("component",)].get(name, {}).get("n", 0),
                    "critical": of_hour[("component",)].get(name, {}).get("critical", 0),
                }
                for name in {name for (name, _), row in by_hour.items() if row["n"]}
            }
        }
    )

    # tiles
    before = (hour - WEEK - (five[0] < hour) * HOUR, hour - WEEK + HOUR)
    p95, lag95 = (
        timed(places(known.percentile(types, measure, five, 0.95), 1))
        for types, measure in ((["request.served"], "latency_ms"), (HOOKS, "lag_ms"))
    )
    was95, was_lag = (
        with_unit(places(known.percentile(types, measure, before, 0.95), 1))
        for types, measure in ((["request.served"], "latency_ms"), (HOOKS, "lag_ms"))
    )
    query = columns(value=mean("latency_ms"))
    [now_query], [was_query] = [
        (await asked.groups("queries_10s", one, query, ()))[()].values() for one in (five, before)
    ]
    [now_errors], [was_errors] = [
        (await asked.groups("errors_10s", one, raised, ()))[()].values() for one in (five, before)
    ]
    page.are(
        {
            "tiles": {
                "Uptime, 30 days": {
                    "figure": figure(month[()][()]["up"], 100, 2),
                    "note": f"24 h {percent(day[()][()]['up'], 2)}",
                    "trend": [row["up"] for _, row in sorted(month[("step",)].items())][-60:],
                },
                "Requests, p95": {"figure": p95, "note": f"Last 5 min; last week {was95}"},
                "Webhook lag, p95": {
                    "figure": lag95,
                    "note": f"Last 5 min; last week {was_lag}",
                    "trend": each_minute(known, HOOKS, "lag_ms", view),
                },
                "Database query, mean": {
                    "figure": timed(places(now_query["value"], 1)),
                    "note": f"Last 5 min; last week {with_unit(places(was_query['value'], 1))}",
                },
                "Errors a minute": {
                    "figure": figure(now_errors["n"] / 5, 1, 1),
                    "note": f"Last 5 min; last week {figure(was_errors['n'] * MINUTE / (before[1] - before[0]), 1, 1)}",
                    "trend": [float(of_day[("step",)].get(start, {}).get("n", 0)) for start in known_hours],
                },
            }
        }
    )
    page.are(
        {
            "tiles": {
                "Database query, mean": {"figure": timed(known.judged("avg_query_time") * 1000)},
                "Requests, p95": {"figure": timed(known.judged("p95_response_time") * 1000)},
                "Errors a minute": {"figure": figure(known.judged("errors_raised") / 5, 1, 1)},
            }
        },
        "the rules",
    )
    states = [one["state"] for one in told["components"]]
    loads = [all(one["state"] == "ok" for one in host["loads"].values()) for host in told["hosts"]]
    page.says(
        "why",
        f"{states.count('ok')} of {counted(len(states), 'component')}",
        f"{sum(one['state'] == 'ok' for one in told['dependencies'])} of "
        f"{counted(len(told['dependencies']), 'service')}",
        f"{sum(loads)} of {counted(len(loads), 'machine')}",
    )
    page.says("sentence")


def each_minute(known: Known, types: Sequence[str], measure: str, view: tuple[int, int]) -> list[float | None]:
    """The 95th percentile of each minute that is over."""
    return [
        None if start + MINUTE > NOW_MS else places(known.percentile(types, measure, (start, start + MINUTE), 0.95), 1)
        for start in range(*view, MINUTE)
    ]


def timed(ms: float | None) -> str:
    assert ms is not None
    return figure(ms, 1, 0) if ms < 1000 else figure(ms / 1000, 1, 1)


def with_unit(ms: float | None) -> str:
    return f"{timed(ms)}{NB}{'ms' if ms is not None and ms < 1000 else 's'}"


async def probes_of(known: Known, component: str) -> tuple[int, int]:
    """(how many of a component's latest probes are down, of how many)."""
    each = "concat(instance, '/', place)"
    wanted = f"count(distinct {each}) as probes, count(distinct {each}) filter (status = 'down') as down"
    [row] = await known.asked.sql(f"select {wanted} {LATEST} and component = '{component}'")
    return row["down"], row["probes"]


async def health(known: Known, page: Figures) -> None:
    asked, minute = known.asked, (OPEN_MS - 50_000, OPEN_MS + 10_000)
    [served] = (await asked.groups("requests_10s", minute, columns(value=mean("latency_ms")), ()))[()].values()
    start = ending_now(DAY)[0]
    [day] = (
        await asked.groups(
            "health_10s", (start - start % MINUTE, OPEN_MS + 10_000), columns(up=share("status = 'up'")), ()
        )
    )[()].values()
    page.are({"response_time": places(served["value"], 3), "uptime_percentage": places(100 * day["up"], 3)})
    found = await components(known)
    good = {
        "database": ("queries", "true", "outcome = 'connection_failed'"),
        "api": ("calls", "true", "outcome = 'connection_failed'"),
        "webhook": ("webhooks", "outcome in ('processed', 'duplicate', 'failed')", "outcome = 'failed'"),
        "payment": ("payments", FINISHED, OURS),
    }
    for name, (table, done, bad) in good.items():
        [row] = (
            await asked.groups(
                f"{table}_10s", minute, columns(done=count(done), bad=count(bad), latest="max(epoch_ms(bucket))"), ()
            )
        )[()].values()
        page.are({"checks": {name: {"age_s": (NOW_MS - row["latest"]) / 1000}}})
        down, probes = await probes_of(known, PROBED.get(name, ""))
        page.says(
            f"checks/{name}/detail",
            f"{row['done']} {table} in the last minute",
            f"{row['bad']} failed",
            f"{probes - down} of {probes} probes up",
        )
    page.are({"checks": {"components": {"age_s": (NOW_MS - found["oldest"]) / 1000}}})
    page.says("checks/components/detail", f"{found['up']} of {found['probed']} components")
    page.says("checks/pipeline/detail", "1 working")


PROBED = {"payment": "checkout", "database": "database", "api": "gateway"}
"""The component whose probes count for a part."""


async def pipeline(known: Known, page: Figures) -> None:
    told, asked = page.told, known.asked
    view = (
        told["events"]["ends"] - MINUTE,
        told["events"]["ends"] + (len(told["events"]["lines"]["events a second"]) - 1) * MINUTE,
    )
    wanted = columns(
        event=count("kind = 'event'"),
        letter=count("kind = 'dead_letter'"),
        repeat=count("kind = 'repeat'"),
        n=count(),
        latest="max(epoch_ms(bucket))",
    )
    held = await asked.groups(
        "pipeline_10s",
        view,
        wanted,
        (),
        ("step",),
        ("kind",),
        ("kind", "type"),
        ("kind", "source"),
        ("kind", "source", "step"),
    )
    steps = held[("step",)]
    events = [
        None if one is None else places(one / 60, 3)
        for one in line(view, MINUTE, steps, lambda one: one.get("event", 0), 0)
    ]
    page.are(
        {
            "events": {"lines": {"events a second": events}},
            "refused": {
                "lines": {
                    "dead letters": line(view, MINUTE, steps, lambda one: one.get("letter", 0), 0),
                    "repeats": line(view, MINUTE, steps, lambda one: one.get("repeat", 0), 0),
                }
            },
        }
    )
    for one in told["sources"]:
        rows = {
            start: row
            for (kind, source, start), row in held["kind", "source", "step"].items()
            if (kind, source) == ("event", one["source"])
        }
        values = line(view, MINUTE, rows, lambda row: float(row.get("event", 0)), 0)
        page.are(
            {
                "sources": {
                    one["source"]: {
                        "events": held["kind", "source"]["event", one["source"]]["event"],
                        "age_s": max(NOW_MS - max(rows) - MINUTE, 0) / 1000,
                        "per_minute": [
                            None if start < min(rows) else value
                            for start, value in zip(range(*view, MINUTE), values, strict=True)
                        ],
                    }
                }
            }
        )
    assert {one["source"] for one in told["sources"]} == {
        source for kind, source in held["kind", "source"] if kind == "event"
    }
    page.are(
        {"letters": {what: row["n"] for (kind, what), row in held["kind", "type"].items() if kind == "dead_letter"}}
    )
    beside = {
        "repeat": "events that came twice",
        "unknown_field": "events with fields that are not known",
        "extension": "events with extensions",
    }
    page.are({"drift": {beside[kind]: row["n"] for kind, row in held[("kind",)].items() if kind in beside}})
    letters = held[()][()]["letter"]
    page.are(
        {
            "tiles": {
                "Events": {"figure": grouped(round([one for one in events if one is not None][-1])), "trend": events},
                "Dead letters": {"figure": grouped(letters)},
            }
        }
    )
    parts = known.status["partitions"]
    page.are(
        {
            "workers": {
                "worker-a": {
                    "partitions": len(parts),
                    "lag": sum(one["end"] - one["next"] for one in parts),
                    "flushed_s": 0.0,
                }
            },
            "topics": {
                one["topic"].split(".")[1]: {
                    "partitions": 1,
                    "read": one["next"],
                    "lag": one["end"] - one["next"],
                    "watermark_s": (NOW_MS - one["watermark_ms"]) / 1000,
                }
                for one in parts
            },
            "tiles": {"Lag": {"figure": grouped(sum(one["end"] - one["next"] for one in parts))}},
            "stations": stations(known, len(told["sources"])),
        },
        "the worker",
    )
    delays = [
        round((epoch_ms(one["data"]["detected_at"]) - epoch_ms(one["data"]["first_bad_at"])) / 1000, 2)
        for one in known.told
    ]
    page.are(
        {
            "detected_s": delays,
            "tiles": {
                "Event to alert": {
                    "figure": duration(sorted(delays)[len(delays) // 2]),
                    "note": f"median of the last {len(delays)} alerts, from the first bad event",
                }
            },
        },
        "the rules",
    )
    page.says("sentence", "1 worker", f"{len(RULES.rules)} rules", f"{grouped(letters)} records")
    page.says("why", "2 partitions", "2 topics", counted(len(told["sources"]), "source"))


PAGES: dict[str, Comparison] = {
    "/api/v1/pages/security?range=24h": security,
    "/api/v1/pages/system?range=1h": system,
    "/api/health": health,
    "/api/v1/pages/pipeline?range=1h": pipeline,
}
