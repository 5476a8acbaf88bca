"""Payments: the first page, their own, as they happen, and what customers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from console import usual
from console.incidents import short_title, worst_first
from console.readings import Window
from console.words import NB, SYMBOLS, figure, grouped, percent
from rollups.tables import DAY, HOUR
from tests.console.right.asking import (
    PAYMENTS,
    Groups,
    Row,
    columns,
    count,
    mean,
    share,
)
from tests.console.right.figures import Figures
from tests.console.right.known import (
    PAID,
    WEEK,
    Comparison,
    Known,
    components,
    ending_now,
    lasted_s,
    line,
    numbered,
    places,
    seconds,
    signal_values,
    signed,
    stations,
    written,
)
from tests.console.right.shop import MINUTE
from tests.console.rows import NOW_MS


async def overview(known: Known, page: Figures) -> None:
    asked, five = known.asked, ending_now(5 * MINUTE)
    end = page.told["minutes_end"]
    hour = (end - HOUR, end)
    held = await asked.groups("payments_10s", hour, PAYMENTS, ("step",), ("provider",))
    now = await asked.groups("payments_10s", five, PAYMENTS, (), ("provider",))
    [row], minutes = now[()].values(), held[("step",)]
    closed = [minutes.get(start, {}).get("finished", 0) for start in range(hour[0], hour[1] - MINUTE, MINUTE)]
    success = line(hour, MINUTE, minutes, lambda one: one.get("success"))
    firing = known.paging
    page.are(
        {
            "success": success,
            "tiles": {
                "Success rate": {"figure": figure(row["success"], 100, 1), "trend": success},
                "Payments a minute": {
                    "figure": grouped(round(row["finished"] / 5)),
                    "trend": [*map(float, closed), None],
                    "note": f"Last hour {grouped(round(sum(closed) / len(closed)))} a minute",
                },
                "Latency, mean": {
                    "figure": figure(row["mean_s"], 1, 1),
                    "trend": line(hour, MINUTE, minutes, lambda one: one.get("mean_s")),
                },
                "Failing rules": {"figure": str(len({one["data"]["rule"] for one in firing}))},
            },
            "providers": {
                name: {
                    "success": figure(one.get("success"), 100, 1),
                    "latency": figure(one.get("mean_s"), 1, 1),
                    "per_minute": grouped(round(one["finished"] / 5)) if one else "–",
                }
                for name in held[("provider",)]
                for one in [now[("provider",)].get(name, {})]
            },
        }
    )
    rules = {
        name: known.judged(signal)
        for name, signal in (
            ("Success rate", "payment_success_rate"),
            ("Payments a minute", "payment_volume"),
            ("Latency, mean", "avg_payment_latency"),
        )
    }
    page.are(
        {
            "tiles": {
                "Success rate": {"figure": figure(rules["Success rate"], 100, 1)},
                "Payments a minute": {"figure": grouped(round(rules["Payments a minute"] / 5))},
                "Latency, mean": {"figure": figure(rules["Latency, mean"], 1, 1)},
            },
            "providers": {
                name: {"success": figure(known.judged("payment_success_rate", provider=name), 100, 1)}
                for name in now[("provider",)]
            },
        },
        "the rules",
    )
    page.says("tiles/Success rate/note", "Last 5 min", f"95{NB}%")
    page.says("tiles/Latency, mean/note", "Last 5 min", f"below 5{NB}s")
    probed = await components(known)
    page.says("why", f"{len(firing) - 1} more", f"{probed['up']} of {probed['probed']} components")
    page.says("sentence", percent(firing[0]["data"]["value"], 0))
    shown = sorted(known.firing, key=lambda one: bool(one["data"]["inhibited_by"]))[:6]
    page.are({"alerts": [{name: one["data"][name] for name in ("rule", "summary")} for one in shown]}, "the rules")
    page.are({"pipeline": stations(known)}, "the worker")
    page.are(
        {
            "incidents": [
                {"title": short_title(one), "number": one.number, "lasted_s": lasted_s(one)}
                for one in worst_first(known.incidents)[:5]
            ]
        },
        "the notifier",
    )


async def payments(known: Known, page: Figures) -> None:
    told = page.told
    view, now = (told["start"], told["end"]), (told["now_start"], told["now_end"])
    assert (told["step"], told["judged"], now) == (MINUTE, f"last 5{NB}min", ending_now(5 * MINUTE))
    asked, step = known.asked, MINUTE
    held = await asked.groups(
        "payments_10s",
        view,
        PAYMENTS,
        (),
        ("step",),
        ("provider",),
        ("provider", "step"),
        ("currency",),
        ("currency", "step"),
        ("fault", "reason"),
    )
    recent = await asked.groups("payments_10s", now, PAYMENTS, (), ("provider",), ("provider", "method"), ("currency",))
    weeks = await Weeks.read(known)
    [row], steps = recent[()].values(), held[("step",)]
    hours = usual.hours(Window(*view))
    earlier = (hours.start_ms - WEEK, hours.end_ms - WEEK)
    before = await asked.groups("payments_10s", earlier, PAYMENTS, (), ("currency",), ("fault", "reason"))
    scaled = (min(view[1], NOW_MS) - view[0]) / (hours.end_ms - hours.start_ms)
    last = weeks.of(now[0])[0]

    page.are({"failed": held[()][()]["failed"], "finished": held[()][()]["finished"], "others": 0})
    band = [weeks.band(start) for start in range(*view, step)]
    page.are({"success": {"lines": {"Success": line(view, step, steps, lambda one: one.get("success"))}} | edges(band)})
    volume = line(view, step, steps, lambda one: one.get("finished", 0), 0)
    counts = [usual.count([float(one["finished"]) for one in weeks.of(start)], step) for start in range(*view, step)]
    page.are({"volume": {"lines": {"Payments": volume}} | edges(counts)})
    percentiles = {q: latencies(known, view, steps, q) for q in (0.5, 0.95, 0.99)}
    page.are({"latency": {"lines": {f"p{q * 100:g}": values for q, values in percentiles.items()}}}, "the events")

    # tiles
    that_hour = usual.weeks_before(Window(*now))[0].window
    p95, p95_before = (
        known.percentile(PAID, "latency_ms", window, 0.95) or 0.0
        for window in (now, (that_hour.start_ms, that_hour.end_ms))
    )
    main = max(recent[("currency",)], key=lambda one: recent[("currency",)][one]["paid"])
    mean_of = {name: one["taken"] / one["paid"] / 100 for name, one in recent[("currency",)].items()}
    rates = {"Success rate": "success", "Failed, our side or theirs": "failure", "Declined by a bank": "decline"}
    money = line(
        view,
        step,
        {
            start: held["currency", "step"].get((main, start), {})
            | {"finished": steps.get(start, {}).get("finished", 0)}
            for start in range(*view, step)
        },
        lambda one: one["taken"] / one["paid"] / 100 if one.get("paid") else None,
    )
    tiles: dict[str, Any] = {
        name: {
            "figure": figure(row[what], 100, 1),
            "note": compared(
                f"{figure(last[what], 100, 1)}{NB}%", f"{signed((row[what] - last[what]) * 100, 1)}{NB}pt"
            ),
            "trend": line(view, step, steps, lambda one, what=what: one.get(what)),
            "before": [weeks.of(start)[0][what] for start in range(*view, step)],
        }
        for name, what in rates.items()
    }
    few, few_before = row["finished"] / 5, last["finished"] / 60
    tiles["Payments a minute"] = {
        "figure": written(few),
        "note": compared(written(few_before), f"{signed(100 * (few - few_before) / few_before, 0)}{NB}%"),
        "trend": volume,
        "before": [weeks.of(start)[0]["finished"] / 60 for start in range(*view, step)],
    }
    tiles["Latency, p95"] = {
        "figure": written(p95 / 1000),
        "trend": percentiles[0.95],
        "note": compared(f"{written(p95_before / 1000)}{NB}s", f"{signed((p95 - p95_before) / 1000, 1)}{NB}s"),
    }
    page.are({"tiles": tiles})
    page.are(
        {
            "tiles": {
                name: {"figure": figure(known.judged(signal), 100, 1)}
                for name, signal in (
                    ("Success rate", "payment_success_rate"),
                    ("Failed, our side or theirs", "payment_failure_rate"),
                    ("Declined by a bank", "payment_decline_rate"),
                )
            }
        },
        "the rules",
    )
    page.are(
        {
            "tiles": {
                "Payments a minute": {"figure": written(known.judged("payment_volume") / 5)},
                "Latency, p95": {"figure": written(known.judged("p95_payment_latency"))},
            }
        },
        "the rules",
    )
    was = weeks.mean(now[0], main)
    by_rules = known.judged("revenue_per_transaction", currency=main) / 100
    change = f"{signed(100 * (mean_of[main] - was) / was, 0)}{NB}%"
    a_payment = f"tiles/A payment, mean in {main}"
    page.are({f"{a_payment}/figure": in_money(mean_of[main], main), f"{a_payment}/trend": money})
    page.are({f"{a_payment}/note": compared(in_money(was, main), change)})
    page.are({f"{a_payment}/figure": in_money(by_rules, main)}, "the rules")
    slices = [
        one
        for rows in (await asked.groups("payments_10s", now, PAYMENTS, *SLICES)).values()
        for one in rows.values()
        if one["finished"]
    ]
    page.says("sentence", *(percent(one["failure"], 0) for one in slices))
    page.says(
        "why",
        f"last 5{NB}min",
        *(f"{grouped(one['ours'])} of {grouped(one['finished'])} failed" for one in slices),
        *(f"usually {percent(weeks.middle(now[0], 'failure', **named(one)))}" for one in slices),
        *(f"{numbered(one)} is open: {one.title}" for one in known.open),
    )

    # providers, and with methods
    for name, one in recent[("provider",)].items():
        rows = {start: held["provider", "step"].get((name, start), {}) for start in range(*view, step)}
        middle = weeks.middle(now[0], "success", provider=name)
        band = [weeks.band(start, provider=name) for start in range(*view, step)]
        note = (
            ""
            if middle is None
            else f"usual {figure(middle, 100, 1)}, {signed((one['success'] - middle) * 100, 1)}{NB}pt"
        )
        page.are(
            {
                "providers": {
                    name: {
                        "figure": percent(one["success"]),
                        "note": note,
                        "values": line(view, step, rows, lambda row: row.get("success")),
                    }
                    | edges(band)
                }
            }
        )
        page.are(
            {"providers": {name: {"figure": percent(known.judged("payment_success_rate", provider=name))}}}, "the rules"
        )
    heat = told["heat"]
    page.says("heat/against", f"last {usual.WEEKS} weeks")
    for of_provider in heat["rows"]:
        for nth, method in enumerate(heat["methods"]):
            at, one = (
                f"heat/rows/{of_provider['provider']}/cells",
                recent["provider", "method"].get((of_provider["provider"], method), {}),
            )
            if of_provider["cells"][nth] is not None:
                middle = weeks.middle(now[0], "success", provider=of_provider["provider"], method=method)
                rate = one.get("success")
                below = None if rate is None or middle is None else round((middle - rate) * 100, 1)
                page.are(
                    {f"{at}/{nth}/share": rate, f"{at}/{nth}/below": below, f"{at}/{nth}/count": one.get("finished", 0)}
                )

    # from checkout to the course
    opened = columns(
        created=count("step = 'created'"),
        granted=count("step = 'access_granted'"),
        approved=count("step = 'approved'"),
        approval_s=mean("processing_ms", 1000, "step = 'approved'"),
    )
    enrolled = await asked.groups(
        "enrollments_10s", view, opened.replace("step =", "verb ="), (), ("step",), rename={"step": "verb"}
    )
    enrolled_before = await asked.groups(
        "enrollments_10s", earlier, opened.replace("step =", "verb ="), (), rename={"step": "verb"}
    )
    [this], [that] = held[()].values(), before[()].values()
    course, course_before = enrolled[()][()], enrolled_before[()][()]
    stages = {"Started": "initiated", "Redirected": "redirected", "Paid": "paid"}
    numbers = [this[one] for one in stages.values()] + [course["created"], course["granted"]]
    were = [that[one] for one in stages.values()] + [course_before["created"], course_before["granted"]]
    page.are(
        {
            "funnel": {
                name: {
                    "count": n,
                    "share": n / numbers[0],
                    "of_before": n / numbers[at - 1] if at else None,
                    "usual": were[at] / were[0],
                }
                for at, (name, n) in enumerate(zip((*stages, "Enrolled", "Access granted"), numbers, strict=True))
            }
        }
    )
    page.says("leaving", percent(1 - numbers[2] / numbers[1]), percent(1 - were[2] / were[1]))
    page.are(
        {
            "reasons": {
                str(reason): {
                    "count": one["failed"],
                    "share": one["failed"] / this["finished"],
                    "before": round(before["fault", "reason"].get((fault, reason), {}).get("failed", 0) * scaled),
                }
                for (fault, reason), one in held["fault", "reason"].items()
                if reason is not None
            }
        }
    )
    page.are(
        {
            "revenue": {
                name: {
                    "taken": one["taken"],
                    "payments": one["paid"],
                    "mean": one["taken"] / one["paid"],
                    "before": round(before[("currency",)][name]["taken"] * scaled),
                    "trend": line(
                        view,
                        step,
                        {start: held["currency", "step"].get((name, start), {}) for start in range(*view, step)},
                        lambda row: float(row.get("taken", 0)),
                        0,
                    ),
                }
                for name, one in held[("currency",)].items()
            }
        }
    )

    def ratio(part: int, whole: int) -> str:
        return percent(part / whole) if part <= whole else f"{grouped(part)} of {grouped(whole)}"

    def by_step(rows: Mapping[int, Row], what: str) -> list[float | None]:
        return line(view, step, rows, lambda one: float(one.get(what, 0)), 0)

    approval = [known.percentile(["enrollment.approved"], "processing_ms", one, 0.95) or 0.0 for one in (view, earlier)]
    approvals = [
        None
        if start + step > NOW_MS
        or (value := known.percentile(["enrollment.approved"], "processing_ms", (start, start + step), 0.95)) is None
        else places(value / 1000)
        for start in range(*view, step)
    ]
    lag = await signal_values(known, now, ["webhook_lag"])
    felt = await asked.groups(
        "experience_10s",
        view,
        columns(
            answers=count("kind = 'feedback.given'"),
            points="sum(score * count) filter (kind = 'feedback.given')",
            happy=share("kind = 'feedback.given' and score >= 4", "kind = 'feedback.given'"),
            offered=share("kind = 'feature.checked' and available", "kind = 'feature.checked'"),
        ),
        (),
    )
    [mood] = felt[()].values()
    page.are(
        {
            "after": {
                "Enrolments created": {
                    "figure": grouped(course["created"]),
                    "before": grouped(round(course_before["created"] * scaled)),
                    "trend": by_step(enrolled[("step",)], "created"),
                },
                "Paid payments that are enrolled": {
                    "figure": ratio(course["created"], this["paid"]),
                    "before": ratio(course_before["created"], that["paid"]),
                },
                "Approval time, p95": {
                    "figure": seconds(approval[0] / 1000),
                    "before": seconds(approval[1] / 1000),
                    "note": f"mean {seconds(course['approval_s'])}",
                    "trend": approvals,
                },
                "Access granted": {
                    "figure": ratio(course["granted"], course["created"]),
                    "before": ratio(course_before["granted"], course_before["created"]),
                    "trend": by_step(enrolled[("step",)], "granted"),
                },
                "Webhook lag, mean": {"figure": seconds(lag[0]), "note": f"in the last 5{NB}min"},
                "Refunds": {
                    "figure": grouped(this["refunded"]),
                    "before": grouped(round(that["refunded"] * scaled)),
                    "trend": by_step(steps, "refunded"),
                },
                "Experience score, mean of 5": {
                    "figure": figure(int(mood["points"]) / mood["answers"], 1, 2),
                    "note": f"{percent(mood['happy'], 0)} gave 4 or 5; {grouped(mood['answers'])} answers",
                },
                "Ways to pay, available": {"figure": percent(mood["offered"], 2)},
            }
        }
    )
    page.are({"after": {"Webhook lag, mean": {"figure": seconds(known.judged("webhook_lag"))}}}, "the rules")


def latencies(known: Known, view: tuple[int, int], steps: Mapping[int, Row], q: float) -> list[float | None]:
    """A percentile of each minute, in seconds; of the open one where enough of it is there."""
    return [
        None
        if start + MINUTE > NOW_MS and steps.get(start, {}).get("finished", 0) < 20
        else in_seconds(known.percentile(PAID, "latency_ms", (start, start + MINUTE), q))
        for start in range(*view, MINUTE)
    ]


def in_seconds(ms: float | None) -> float | None:
    return None if ms is None else round(ms / 1000, 4)


def in_money(major: float, currency: str) -> str:
    return f"{SYMBOLS[currency]}{NB}{grouped(round(major))}"


def compared(was: str, change: str) -> str:
    return f"Last 5{NB}min; last week {was}, {change}"


SLICES = [kept for n in range(4) for kept in combinations(("provider", "method", "currency"), n)]


def named(row: Row) -> dict[str, str]:
    """The slice that a row is of."""
    return {name: row[name] for name in SLICES[-1] if row.get(name) is not None}


def edges(band: Sequence[usual.Edges | None]) -> dict[str, Any]:
    """What is usual, as lines have it."""
    if not any(band):
        return {"low": None, "high": None}
    return {
        side: [None if one is None else round(one[at], 4) for one in band] for at, side in enumerate(("low", "high"))
    }


@dataclass
class Weeks:
    """What SQL says of the hours of the weeks before."""

    held: Groups

    @classmethod
    async def read(cls, known: Known) -> Weeks:
        span = (NOW_MS - usual.WEEKS * WEEK - DAY, NOW_MS - 6 * DAY)
        return cls(
            await known.asked.groups("payments_1h", span, PAYMENTS, *((*kept, "step") for kept in SLICES), step=HOUR)
        )

    def of(self, ms: int, **named: str) -> list[Row]:
        """The hour of `ms` in each of them, the latest first."""
        rows, start = self.held[(*named, "step")], ms - ms % HOUR
        keys = ((*named.values(), start - WEEK * ago) for ago in range(1, usual.WEEKS + 1))
        return [row for key in keys if (row := rows.get(key if named else key[0]))]

    def share(self, ms: int, what: str, **named: str) -> usual.Share | None:
        rows = [row for row in self.of(ms, **named) if row[what] is not None]
        return usual.share((row[what] * row["finished"], row["finished"]) for row in rows)

    def middle(self, ms: int, what: str, **named: str) -> float | None:
        found = self.share(ms, what, **named)
        return None if found is None else found.middle

    def band(self, start: int, **named: str) -> usual.Edges | None:
        found = self.share(start, "success", **named)
        return None if found is None else found.band(MINUTE)

    def mean(self, ms: int, currency: str) -> float:
        row = self.of(ms, currency=currency)[0]
        return float(row["taken"] / row["paid"] / 100)


async def live(known: Known, page: Figures) -> None:
    [row] = (await known.asked.groups("payments_10s", ending_now(5 * MINUTE), PAYMENTS, ()))[()].values()
    [begun] = (await known.asked.groups("payment_cohorts_10s", ending_now(15 * MINUTE), PAYMENTS, ()))[()].values()
    page.are(
        {
            name: round(row[what] / 5, 1)
            for name, what in (("initiated", "initiated"), ("succeeded", "paid"), ("failed", "failed"))
        }
    )
    page.are({"initiated": round(known.judged("payments_initiated") / 5, 1)}, "the rules")
    unfinished = begun["initiated"] - begun["finished"]
    page.are({"unfinished": unfinished if unfinished >= 0 else None})


async def status_page(known: Known, page: Figures) -> None:
    names = {"card": "Card payments", "eft": "EFT payments", "qr": "QR payments"}
    today = NOW_MS - NOW_MS % DAY
    held = await known.asked.groups(
        "payments_1h", (today - 89 * DAY, today + DAY), PAYMENTS, ("method",), ("method", "step"), step=HOUR
    )
    page.are(
        {
            "services": {
                names[method]: {"working": places(1 - row["ours"] / row["finished"], 6)}
                for method, row in held[("method",)].items()
            }
        }
    )
    for method, name in names.items():
        days = []
        for start in range(today - 89 * DAY, today + DAY, DAY):
            hours = [
                row
                for (of_method, at), row in held["method", "step"].items()
                if of_method == method and start <= at < start + DAY and row["finished"]
            ]
            bad = [row["failure"] for row in hours if row["ours"] >= 5 and row["failure"] > 0.05]
            days.append("n" if not hours else "f" if any(one > 0.5 for one in bad) else "p" if bad else "")
        found = next(one["days"] for one in page.told["services"] if one["name"] == name)
        if found != days:
            page.wrong.append(f"days of {name}: {found}, SQL: {days}")


PAGES: dict[str, Comparison] = {
    "/api/v1/overview": overview,
    "/api/v1/pages/payments?range=1h": payments,
    "/api/v1/payments/live": live,
    "/status.json": status_page,
}
