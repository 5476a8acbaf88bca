"""What people do: incidents, rules, checklists and reports."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from statistics import median
from typing import Any

from console.incidents import title_of, worst_first
from console.words import NB, counted, duration, figure, grouped, percent
from rollups.tables import DAY, HOUR
from rules.engine import GRAVEST
from rules.signals import shipped
from schemas.incident import SYSTEM, Incident
from schemas.time import epoch_ms
from tests.console.conftest import RULES
from tests.console.right.asking import (
    PAYMENTS,
    columns,
    count,
    during,
    share,
)
from tests.console.right.figures import Figures, leaves, numeric
from tests.console.right.known import (
    PAID,
    TAKEN_S,
    Comparison,
    Known,
    condition,
    ending_now,
    lasted_s,
    numbered,
    places,
    signal_values,
    signed,
)
from tests.console.right.shop import MINUTE
from tests.console.rows import NOW_MS


async def incidents(known: Known, page: Figures) -> None:
    over = [one for one in known.incidents if not one.open]
    for name, found in (("open", worst_first(known.open)), ("last", over)):
        rows = [
            {
                "title": title_of(one),
                "number": one.number,
                "lasted_s": lasted_s(one),
                "alerts": len(one.members),
                "active_alerts": len(one.active),
            }
            for one in found
        ]
        page.are({name: rows}, "the notifier")
    summaries = {one["data"]["summary"] for one in known.told}
    assert {title_of(one) for one in known.open} <= summaries, "what the rules said"
    operations(known, page, "figures/")
    figures = page.told["figures"]
    times = {"To detect": "mttd_s", "To answer": "mtta_s", "To resolve": "mttr_s"}
    for name, what in times.items():
        number, _, unit = duration(figures[what]).partition(NB)
        page.are(
            {
                "tiles": {
                    name: {
                        "figure": number,
                        "unit": unit.replace(NB, " "),
                        "note": f"mean of {counted(figures['counts'][what], 'incident')}",
                    }
                }
            }
        )
    rates = {
        "Answered in time": ("response_time_compliance", "incident"),
        "Resolved": ("incident_resolution_rate", "incident"),
        "False alarms": ("false_positive_rate", "judgement"),
    }
    for name, (what, noun) in rates.items():
        page.are(
            {
                "tiles": {
                    name: {
                        "figure": figure(figures[what], 100, 0),
                        "note": f"of {counted(figures['counts'][what], noun)}",
                    }
                }
            }
        )
    page.says("sentence", counted(len(known.open), "incident"))
    page.says("why", f"{sum(one.status == 'triggered' for one in known.open)} of {len(known.open)}")


def operations(known: Known, page: Figures, at: str = "") -> None:
    """By what people did, and when: the first was taken after 4 minutes, was over, and was a false alarm."""
    told = [one for one in known.incidents if one.said_ms is not None]
    [first] = [one for one in told if not one.open]
    assert first.resolved_ms is not None
    detected = [one.onset.detected_ms - one.since_ms for one in told if one.onset is not None]
    counts = dict.fromkeys(("mttd_s", "incident_resolution_rate"), len(told))
    counts |= dict.fromkeys(
        ("mtta_s", "mttr_s", "alert_accuracy", "false_positive_rate", "response_time_compliance"), 1
    )
    values = {
        "mttd_s": round(sum(detected) / len(detected) / 1000, 1),
        "mtta_s": TAKEN_S,
        "alert_accuracy": 0.0,
        "false_positive_rate": 1.0,
        "mttr_s": (first.resolved_ms - first.opened_ms) / 1000,
        "response_time_compliance": 1.0,
        "incident_resolution_rate": round(1 / len(told), 4),
    }
    page.are({f"{at}{name}": value for name, value in values.items()}, "the notifier")
    page.are({f"{at}counts/{name}": n for name, n in counts.items()}, "the notifier")


async def operation_figures(known: Known, page: Figures) -> None:
    operations(known, page)


async def room(known: Known, page: Figures) -> None:
    """The evidence of an incident is what its rule judged, and what the tables hold."""
    told = page.told["incident"]["evidence"]
    alert = next(
        one["data"]
        for one in known.told
        if one["data"]["rule"] == told["rule"] and one["data"]["group"] == told["group"]
    )
    rule = known.rule(told["rule"])
    [part] = rule.parts
    where, bad = (
        condition((*part.query.where, *((name, (value,)) for name, value in told["group"].items()))),
        condition(part.query.of),
    )
    window = (epoch_ms(told["window"]["start"]), epoch_ms(told["window"]["end"]))
    table = f"{part.query.table}_10s"
    page.are({"incident/evidence/value": alert["value"], "incident/evidence/summary": alert["summary"]}, "the rules")
    [row] = await known.asked.sql(
        f"select {share(bad)} as value, {count()} as n, {count(bad)} as k from {table} where {during(*window)} and {where}"
    )
    page.are({"incident/evidence/value": row["value"]})
    for nth, one in enumerate(told["slices"]):
        of_slice = condition((name, (value,)) for name, value in one["dimensions"].items())
        [part_of] = await known.asked.sql(
            f"select {count()} as n, {count(bad)} as k from {table} where {during(*window)} and {where} and {of_slice}"
        )
        page.are(
            {
                f"incident/evidence/slices/{nth}/{name}": value
                for name, value in (
                    ("all", part_of["n"]),
                    ("wrong", part_of["k"]),
                    ("share", round(part_of["k"] / row["k"], 4)),
                )
            }
        )
    chart, width = told["chart"], 10_000
    first = epoch_ms(chart["start"])
    span = (first, first + len(chart["points"]) * width)
    rows = {
        one["at"]: one
        for one in await known.asked.sql(
            f"select epoch_ms(bucket) as at, {share(bad)} as value, {count()} as n from {table} "
            f"where {during(first - 30 * MINUTE, span[1])} and {where} group by bucket"
        )
    }
    at = "incident/evidence/chart"
    page.are(
        {
            f"{at}/points": [places(rows.get(start, {}).get("value")) for start in range(*span, width)],
            f"{at}/counts": [rows.get(start, {}).get("n", 0) for start in range(*span, width)],
        }
    )
    before = sorted(round(one["value"], 4) for start, one in rows.items() if start < first + 5 * MINUTE)
    cut = int(len(before) * 0.05)
    page.are({f"{at}/usual": [before[cut], before[-1 - cut]]})
    page.says("sentence", percent(alert["value"], 0))
    [incident] = [one for one in known.incidents if one.number == 2]
    page.are(
        {
            f"incident/{name}": value
            for name, value in (
                ("number", 2),
                ("lasted_s", lasted_s(incident)),
                ("alerts", len(incident.members)),
                ("active_alerts", len(incident.active)),
                ("timeline_more", 0),
                ("members_more", 0),
                ("title", alert["summary"]),
            )
        },
        "the notifier",
    )
    page.says("why", numbered(incident), f"(P{alert['level'][1:]})")
    page.are({"incident/evidence/slip/words": alert["arithmetic"]}, "the rules")
    bound = [
        line["value"] for line in told["slip"]["lines"] if "bound" in line["label"] or line["label"] == "threshold"
    ]
    for nth in range(len(told["slip"]["lines"])):
        page.says(
            f"incident/evidence/slip/lines/{nth}/value",
            grouped(row["n"]),
            grouped(row["k"]),
            percent(row["value"]),
            *(one for one in bound if one.replace(NB, " ") in alert["arithmetic"]),
        )
    heard = next(one.at_ms for one in incident.timeline if one.kind == "delivered")
    clocks = {"detected": epoch_ms(alert["detected_at"]), "paged": heard}
    page.are({f"incident/clocks/{what}_after_s": (at - incident.since_ms) / 1000 for what, at in clocks.items()})


def silences(known: Known, rule: str) -> tuple[int, float]:
    """How often a rule had no data, and for how long until anything else was told (s)."""
    times, lasted = 0, 0
    alerts = [one for one in reversed(known.told) if one["data"]["rule"] == rule]
    for mark in {one["data"]["fingerprint"] for one in alerts}:
        said = [one for one in alerts if one["data"]["fingerprint"] == mark]
        times += sum(one["type"].endswith(".no_data") for one in said)
        for one, then in pairwise(said):
            if one["type"].endswith(".no_data"):
                lasted += epoch_ms(then["time"]) - epoch_ms(one["time"])
    return times, lasted / 1000


def records(known: Known) -> dict[str, Any]:
    """What came of the incidents that each rule had a part in, by their alerts and by what stands in their timelines."""
    found = {}
    for rule in {alert.full_rule for one in known.incidents for alert in one.members}:
        had = [one for one in known.incidents if rule in {alert.full_rule for alert in one.members} and paged(one)]
        ages = [NOW_MS - one.opened_ms for one in had]
        found[rule] = {
            "month": score(known, rule, [one for one, age in zip(had, ages, strict=True) if age < 30 * DAY]),
            "quarter": score(known, rule, [one for one, age in zip(had, ages, strict=True) if age < 90 * DAY]),
            "daily": [sum(day * DAY <= age < (day + 1) * DAY for age in ages) for day in reversed(range(30))],
            "latest": sorted((one.number for one in had), reverse=True)[:5],
        }
    return found


def paged(one: Incident) -> bool:
    return any(happened.kind == "delivered" for happened in one.timeline)


def score(known: Known, rule: str, had: Sequence[Incident]) -> dict[str, Any]:
    ends = [(one, one.timeline[last_of(one, "resolved")].at_ms) for one in had if not one.open]
    judged = [one.judgements[rule] for one in had if rule in one.judgements]
    detected = [took for one in had if (took := detecting(known, rule, one)) is not None]
    return {
        "incidents": len(had),
        "taken": sum(any(happened.kind == "acknowledged" for happened in one.timeline) for one in had),
        "over": len(ends),
        "by_itself": sum(
            end - one.opened_ms <= 10 * MINUTE and not any(by_people(one, until=end)) for one, end in ends
        ),
        "again": sum(map(flapped, had)),
        "right": judged.count("right"),
        "wrong": judged.count("wrong"),
        "precision": round(judged.count("right") / len(judged), 4) if judged else None,
        "detected": len(detected),
        "detect_s": round(median(detected) / 1000, 1) if detected else None,
        "lasted_s": round(median(end - one.since_ms for one, end in ends) / 1000, 1) if ends else None,
    }


def last_of(one: Incident, kind: str) -> int:
    return max(nth for nth, happened in enumerate(one.timeline) if happened.kind == kind)


def by_people(one: Incident, until: int) -> list[bool]:
    return [happened.author != SYSTEM for happened in one.timeline if happened.at_ms <= until]


def flapped(one: Incident) -> bool:
    turns = [(happened.kind, happened.author) for happened in one.timeline if happened.kind in ("resolved", "reopened")]
    return (("resolved", SYSTEM), ("reopened", SYSTEM)) in pairwise(turns)


def detecting(known: Known, rule: str, one: Incident) -> int | None:
    """How long it took to detect what opened an incident, or the gravest that came to it, where it is of this rule (ms)."""
    told = {alert["id"]: alert["data"] for alert in known.told}
    for onset in (one.onset, one.gravest):
        if onset is None or f"{onset.pack}/{onset.rule}" != rule:
            continue
        if onset.alert not in told:  # it was over before: the only alert of its incident, which began with it
            assert len(one.members) == 1
            return onset.detected_ms - one.since_ms
        data = told[onset.alert]
        return None if data["first_bad_at"] is None else epoch_ms(data["detected_at"]) - epoch_ms(data["first_bad_at"])
    return None


async def rules_page(known: Known, page: Figures) -> None:
    """How often each fired, by the alerts that were told; nothing of it is in a table."""
    fired: dict[str, int] = {}
    for one in known.told:
        fired[one["data"]["rule"]] = fired.get(one["data"]["rule"], 0) + str(one["type"]).endswith(".firing")
    explained = {
        name: sum(bool(one["data"].get("inhibited_by")) for one in known.told if one["data"]["rule"] == name)
        for name in fired
    }
    page.are(
        {
            "history": {
                name: {"episodes": n, "explained": explained[name], "withdrawn": 0, "brief": 0}
                for name, n in fired.items()
            }
        },
        "the rules",
    )
    silent = {name: silences(known, name) for name in fired}
    page.are({"history": {name: {"no_data": n, "no_data_s": s} for name, (n, s) in silent.items()}}, "the rules")
    page.are({"records": {"rules": records(known)}}, "the notifier")
    gravest: dict[str, str] = {}
    for one in known.status["rules"]["states"]:
        gravest[one["rule"]] = min(one["state"], gravest.get(one["rule"], GRAVEST[-1]), key=GRAVEST.index)
    firing, learning = (sum(state == wanted for state in gravest.values()) for wanted in ("firing", "learning"))
    page.are(
        {
            "tiles": {
                "Firing": {"figure": str(firing)},
                "No data": {"figure": "0"},
                "Episodes": {"figure": str(sum(fired.values()))},
                "Brief": {"figure": "0"},
            }
        },
        "the rules",
    )
    page.says("tiles/Brief/note", "2 minutes")
    page.says("sentence", f"{counted(firing, 'rule')} of {len(RULES.rules)}", f"{firing - 3} more")
    page.says("why", counted(len({one.pack for one in RULES.rules}), "pack"), counted(learning, "rule"))


async def checklists(known: Known, page: Figures) -> None:
    day = ending_now(DAY)
    day = (day[0] - day[0] % MINUTE, day[1])
    names = (
        "payment_success_rate",
        "payment_failure_rate",
        "avg_payment_latency",
        "dead_letters",
        "invalid_webhook_signatures",
        "security_violations",
        "reconciliation_differences",
    )
    found = dict(zip(names, await signal_values(known, day, names), strict=True))
    [compared] = (await known.asked.groups("reconciliations_10s", day, columns(n=count()), ()))[()].values()
    mark = min(one for one in known.status["table_watermarks"].values() if one is not None)
    words = {
        "targets": (percent(found[names[0]]), percent(found[names[1]]), f"{found[names[2]]:.1f}{NB}s"),
        **{
            key: (f"{grouped(found[name])} ",)
            for key, name in zip(("dead_letters", "signatures", "violations"), names[3:], strict=False)
        },
        "reconciliation": (counted(found[names[-1]], "difference"), counted(compared["n"], "comparison")),
        "pipeline": (duration((NOW_MS - mark) / 1000),),
    }
    spans, incidents_of = ("24 hours", "28 days", "14 days", "7 days"), [f"#{one.number}" for one in known.incidents]
    for many in page.told["lists"]:
        page.are({"lists": {many["name"]: {"done": sum(one["state"] == "done" for one in many["items"])}}})
        for one in many["items"]:
            if one["key"] != "memory":
                at = f"lists/{many['name']}/items/{one['key']}/evidence"
                page.says(at, *spans, *incidents_of, *words.get(one["key"], ()))
    left = [len(many["items"]) - many["done"] for many in page.told["lists"]]
    attention = sum(one["state"] == "attention" for many in page.told["lists"] for one in many["items"])
    page.says("sentence", f"{attention} thing", counted(left[0], "thing"))
    page.says("why", *spans, *incidents_of, *chain(*words.values()), *(f"{n} left" for n in left))


async def report(known: Known, page: Figures) -> None:
    told, asked = page.told, known.asked
    span, before = ((epoch_ms(told[name]["start"]), epoch_ms(told[name]["end"])) for name in ("period", "before"))
    figures = [*told["payments"], *told["system"]]
    names = [one["signal"] for one in figures if shipped()[one["signal"]].aggregate != "quantile"]
    values, were = await signal_values(known, span, names), await signal_values(known, before, names)
    for part in ("payments", "system"):
        here = [one["signal"] for one in told[part] if one["signal"] in names]
        page.are(
            {part: {name: {"value": values[names.index(name)], "before": were[names.index(name)]} for name in here}}
        )
    page.are(
        {
            f"payments/p95_payment_latency/{what}": (known.percentile(PAID, "latency_ms", window, 0.95) or 0) / 1000
            for what, window in (("value", span), ("before", before))
        },
        "the events",
    )
    sets = [(), ("currency",), ("provider",), ("fault", "reason"), ("step",)]
    held = await asked.groups("payments_10s", span, PAYMENTS, *sets, step=HOUR)
    was = await asked.groups("payments_10s", before, PAYMENTS, *sets)
    page.are(
        {
            "revenue": {
                name: {"amount": row["taken"], "before": was[("currency",)].get(name, {}).get("taken", 0)}
                for name, row in held[("currency",)].items()
            }
        }
    )
    page.are(
        {
            "providers": {
                name: {
                    "payments": row["finished"],
                    "success_rate": row["success"],
                    "success_before": was[("provider",)].get(name, {}).get("success"),
                    "failed": row["ours"],
                    "declined": round(row["decline"] * row["finished"]),
                    "average_latency": row["mean_s"],
                }
                for name, row in held[("provider",)].items()
                if row["finished"]
            }
        }
    )
    failed = held[()][()]["failed"]
    page.are(
        {
            "reasons": {
                str(reason): {"count": row["failed"], "share": row["failed"] / failed}
                for (_, reason), row in held["fault", "reason"].items()
                if reason
            }
        }
    )
    for nth, start in enumerate(range(*span, HOUR)):
        row, p95 = held[("step",)].get(start, {}), known.percentile(PAID, "latency_ms", (start, start + HOUR), 0.95)
        page.are(
            {
                f"steps/{nth}": {
                    "payments": row.get("finished", 0),
                    "success_rate": row.get("success"),
                    "p95_latency": None if p95 is None else p95 / 1000,
                }
            }
        )
    nobody = [path for path, leaf in leaves(told).items() if path.startswith("operations") and numeric(leaf)]
    page.are({"incidents_more": 0} | dict.fromkeys(nobody, 0), "the notifier")
    by_name = {one["signal"]: one for one in figures}
    known_words = [
        percent(by_name[name][what])
        for name in by_name
        for what in ("value", "before")
        if by_name[name]["unit"] == "ratio" and by_name[name][what] is not None
    ]
    change = by_name["payment_success_rate"]
    volume = by_name["payment_volume"]
    words = [
        *known_words,
        f"95{NB}%",
        f"95.0{NB}%",
        f"5.0{NB}%",
        f"80.0{NB}%",
        f"{signed((change['value'] - change['before']) * 100, 1)}{NB}pt",
        f"{grouped(round(volume['value']))} payments",
        f"{signed((volume['value'] - volume['before']) / volume['before'] * 100, 0)}{NB}%",
        f"80{NB}%",
        f"below 5{NB}",
    ]
    page.says("sentence", *words)
    page.says("why", *words)
    for nth, text in enumerate(told["review"]):
        one = [
            f"{round(by_name[name]['value'])} "
            for name in ("dead_letters", "reconciliation_differences", "invalid_webhook_signatures")
        ]
        success = [
            part
            for name, row in held[("provider",)].items()
            if row["success"] is not None and was[("provider",)].get(name, {}).get("success") is not None
            for part in (
                f"success {percent(row['success'])}",
                f"{signed((row['success'] - was[('provider',)][name]['success']) * 100, 1)}{NB}pt",
            )
        ]
        rest = text
        for word in sorted(
            (
                *one,
                *success,
                *words,
                *map(numbered, known.incidents),
                counted(len(known.open), "incident"),
                f"{len(known.open)} of them",
            ),
            key=len,
            reverse=True,
        ):
            rest = rest.replace(word, "")
        if any(map(str.isdigit, rest)):
            page.wrong.append(f"review {nth}: {text!r} has {rest!r}")
    page.are({"review": told["review"]})


PAGES: dict[str, Comparison] = {
    "/api/v1/pages/incidents": incidents,
    "/api/v1/kpis/operations": operation_figures,
    "/api/v1/pages/incident/2": room,
    "/api/v1/pages/rules": rules_page,
    "/api/v1/checklists": checklists,
    "/api/v1/reports/daily": report,
}
