"""Key figures and signals."""

from __future__ import annotations

from typing import Any

from rollups.tables import DAY
from rules.signals import shipped
from tests.console.right.asking import (
    PAYMENTS,
    columns,
    count,
    mean,
    share,
)
from tests.console.right.figures import Figures
from tests.console.right.known import (
    PAID,
    Comparison,
    Known,
    condition,
    ending_now,
    signal_sql,
    signal_values,
    window_of,
)
from tests.console.right.shop import MINUTE


async def payment_figures(known: Known, page: Figures) -> None:
    asked, window = known.asked, window_of(page.told)
    held = await asked.groups("payments_10s", window, PAYMENTS, (), ("currency",))
    day = await asked.groups("payments_10s", ending_now(DAY), PAYMENTS, ())
    begun = await asked.groups(
        "payment_cohorts_10s", window, columns(rate=share("outcome = 'succeeded'", "outcome = 'initiated'")), ()
    )
    [row] = held[()].values()
    page.are(
        {
            "success_rate": row["success"],
            "failure_rate": row["failure"],
            "decline_rate": row["decline"],
            "average_latency": row["mean_s"],
            "conversion_rate": begun[()][()]["rate"],
            "daily_volume": day[()][()]["finished"],
            "revenue": {currency: one["taken"] for currency, one in held[("currency",)].items()},
        }
    )
    page.are(
        {
            "success_rate": known.judged("payment_success_rate"),
            "failure_rate": known.judged("payment_failure_rate"),
            "decline_rate": known.judged("payment_decline_rate"),
            "average_latency": known.judged("avg_payment_latency"),
            "revenue": {currency: known.judged("revenue", currency=currency) for currency in held[("currency",)]},
        },
        "the rules",
    )


async def error_figures(known: Known, page: Figures) -> None:
    window = window_of(page.told)
    wanted = columns(
        raised=count("kind = 'error.raised'"),
        critical=count("kind = 'error.raised' and critical"),
        resolved=count("kind = 'error.resolved'"),
    )
    held = await known.asked.groups("errors_10s", window, wanted, (), ("category",))
    served = await known.asked.groups("requests_10s", window, columns(rate=share("outcome != 'ok'")), ())
    row = held[()][()]
    page.are(
        {
            "error_rate": served[()][()]["rate"],
            "error_count": row["raised"],
            "critical_errors": row["critical"],
            "resolved_errors": row["resolved"],
            "error_categories": {
                one: held[("category",)].get(one, {}).get("raised", 0) for one in page.told["error_categories"]
            },
        }
    )
    page.are(
        {
            "error_rate": known.judged("error_rate"),
            "error_count": known.judged("errors_raised"),
            "critical_errors": known.judged("critical_errors"),
            "resolved_errors": known.judged("resolved_errors"),
        },
        "the rules",
    )


SECURITY_SIGNALS = {
    "authentication_failures": "failed_auth_attempts",
    "authorization_violations": "authorization_violations",
    "webhook_security_violations": "invalid_webhook_signatures",
    "suspicious_activities": "suspicious_activities",
    "blocked_requests": "blocked_requests",
    "security_incidents": "security_incidents",
}


async def security_figures(known: Known, page: Figures) -> None:
    window = window_of(page.told)
    page.are(dict(zip(SECURITY_SIGNALS, await signal_values(known, window, SECURITY_SIGNALS.values()), strict=True)))
    page.are({name: known.judged(signal) for name, signal in SECURITY_SIGNALS.items()}, "the rules")


async def performance_figures(known: Known, page: Figures) -> None:
    window = window_of(page.told)
    timed = {
        "response_time": "avg_response_time",
        "database_query_time": "avg_query_time",
        "network_latency": "avg_api_latency",
    }
    page.are(
        {
            f"{name}/value": value
            for name, value in zip(timed, await signal_values(known, window, timed.values()), strict=True)
        }
    )
    page.are({f"{name}/value": known.judged(signal) for name, signal in timed.items()}, "the rules")
    [served] = await signal_values(known, window, ["throughput"])
    page.are({"throughput/value": served / 300})
    page.are({"throughput/value": known.judged("throughput") / 300}, "the rules")
    load = await known.asked.groups("resources_10s", window, columns(value=mean("value", 100)), ("host", "resource"))
    for name in ("cpu", "memory", "disk"):
        page.are(
            {name: {"value": max(row["value"] for (_, what), row in load["host", "resource"].items() if what == name)}}
        )


async def signals(known: Known, page: Figures) -> None:
    """Each signal over its own window, as a whole and in its groups."""
    asked: list[str] = []
    places_of: list[tuple[str, str, dict[str, Any]]] = []
    for one in page.told["signals"]:
        signal, window = shipped()[one["signal"]], window_of(one)
        for nth, held in enumerate(one["values"]):
            path, group = f"signals/{one['signal']}/values/{nth}/value", held["group"]
            key = (one["signal"], frozenset(group.items()))
            if key in known.values and (signal.aggregate == "share" or window == ending_now(5 * MINUTE)):
                page.are({path: known.values[key]}, "the rules")
            if signal.aggregate != "quantile":
                of_group = condition((name, (value,)) for name, value in group.items())
                asked.append(f"({signal_sql(signal, window, of_group)})")
                places_of.append((path, one["signal"], group))
        if signal.aggregate == "quantile":
            kinds = PAID if signal.tables == ("payments",) else ["request.served"]
            page.are(
                {
                    f"signals/{one['signal']}/values/{nth}/value": (
                        known.percentile(kinds, "latency_ms", window, signal.q, **held["group"]) or 0
                    )
                    / 1000
                    for nth, held in enumerate(one["values"])
                },
                "the events",
            )
    [row] = await known.asked.sql(
        f"select {', '.join(f'{statement} as c{nth}' for nth, statement in enumerate(asked))}"
    )
    page.are({path: row[f"c{nth}"] for nth, (path, _, _) in enumerate(places_of)})
    page.are({f"signals/{one['signal']}/groups_more": 0 for one in page.told["signals"]})


PAGES: dict[str, Comparison] = {
    "/api/v1/kpis/payments?window=5m": payment_figures,
    "/api/v1/kpis/errors?window=5m": error_figures,
    "/api/v1/kpis/security?window=5m": security_figures,
    "/api/v1/kpis/performance?window=5m": performance_figures,
    "/api/v1/signals": signals,
}
