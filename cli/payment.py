"""`tillwatch payment`: what a payment integration needs to be watched, and where to look at it."""

from __future__ import annotations

import asyncio
import webbrowser
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli import installation
from cli.terminal import FAILED, counted, note, print_json, say

if TYPE_CHECKING:
    from runtime.kafka import TopicOutcome
    from runtime.settings import Settings

SUBJECTS = ("payments", "enrollments", "webhooks")
"""Topics that a payment integration writes to."""
PAGE = "payments"
PARTITIONS = 8


def enable(as_json: bool) -> int:
    """Creates the topics that are missing, checks the rules, and says what to publish first. 1 where something is wrong."""
    from cli.packs import rule_set
    from schemas.tables import TABLES

    settings = installation.settings()
    topics = asyncio.run(_topics(settings))
    wanted = {settings.names.events(subject) for subject in SUBJECTS}
    tables = {name for name, table in TABLES.items() if table.home in SUBJECTS}
    rules = [rule for rule in rule_set(settings).rules if rule.tables & tables]
    in_force = [rule.name for rule in rules if rule.enabled]
    arrived = asyncio.run(_arrived(settings))
    event = first_event(installation.clock(settings).now())
    if as_json:
        print_json(
            {
                "topics": [{"topic": one.topic, "did": one.did} for one in topics if one.topic in wanted],
                "rules": in_force,
                "settings": _settings(settings),
                "first_event": event,
                "payments_last_hour": arrived,
            }
        )
        return 0 if in_force else FAILED
    for one in topics:
        if one.topic in wanted:
            say(f"{one.did:8} {one.topic} ({counted(one.partitions, 'partition')})")
    made = [one.topic for one in topics if one.did == "created" and one.topic not in wanted]
    if made:
        say(f"created  {counted(len(made), 'more topic')} that the rest of Tillwatch needs")
    if in_force:
        more = ", …" if len(in_force) > 6 else ""
        say(f"in force {counted(len(in_force), 'rule')} on payments: {', '.join(in_force[:6])}{more}")
    else:
        note("no rule in force looks at payments: 'tillwatch setup alerts' copies those that ship", style="yellow")
    say("\nYour services publish with:", style="bold")
    for name, value in _settings(settings).items():
        say(f"  {name} = {value}")
    say("\nA first event, to try it out (JSON on one line, in a file or from your service):", style="bold")
    say(_line(event))
    say("\n  tillwatch produce first.jsonl", style="dim")
    say(
        f"\n{counted(arrived, 'payment')} finished in the last hour."
        if arrived
        else "\nNo payment has finished in the last hour; 'tillwatch deadletters' tells of events that could not be used.",
        style="green" if arrived else "yellow",
    )
    return 0 if in_force else FAILED


def first_event(now_s: float) -> dict[str, Any]:
    """A payment that succeeded now."""
    from schemas.time import rfc3339

    mark = f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%S}"
    return {
        "specversion": "1.0",
        "id": f"first-{mark}",
        "source": "/your-shop/checkout",
        "type": "payment.succeeded",
        "time": rfc3339(int(now_s * 1000)),
        "data": {
            "transaction_id": f"try-{mark}",
            "provider": "ikhokha",
            "method": "card",
            "merchant": "your-shop",
            "amount": 14_900,
            "currency": "ZAR",
            "latency_ms": 1830,
        },
    }


def dashboard(show: bool) -> int:
    """Prints the address of the page, and opens it where asked to."""
    settings = installation.settings()
    place = settings.console.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    address = f"http://{place}/{PAGE}"
    say(address)
    if settings.console_port == 0:
        note("the console takes any free port (TILLWATCH_CONSOLE): it prints its address when it begins", style="yellow")
        return FAILED
    if show and not webbrowser.open(address):
        note("no browser could be opened here", style="yellow")
        return FAILED
    return 0


def _line(event: dict[str, Any]) -> str:
    import json

    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _settings(settings: Settings) -> dict[str, str]:
    from runtime.kafka import address

    return {
        "bootstrap servers": address(settings),
        **{f"topic of {subject}": settings.names.events(subject) for subject in SUBJECTS},
        "key": "the transaction_id, so that what belongs together stays in order",
        "value": "one CloudEvent 1.0 in JSON (content-type application/cloudevents+json)",
    }


async def _topics(settings: Settings) -> list[TopicOutcome]:
    """Creates what is missing. Topics that are there keep their partitions: how many is for `setup topics` to say."""
    from runtime.kafka import address, create_topics, topic_logs

    names = settings.names
    there = await topic_logs(address(settings), (*names.event_topics, names.deadletters))
    fewest = min((one.partitions for one in there.values()), default=PARTITIONS)
    return await create_topics(settings, fewest)


async def _arrived(settings: Settings) -> int:
    """Payments that finished in the last hour."""
    from console import kpis
    from console.readings import Readings, window_of
    from console.series import Series
    from rollups.tables import HOUR
    from runtime.redis import check, connect

    redis = connect(settings)
    try:
        await check(redis)
        readings = Readings(redis, settings.names, installation.clock(settings))
        series = Series(readings.tables, readings.now_ms)
        held = await series.totals(kpis.cut_of("payments"), window_of(readings.now_ms(), HOUR))
        return round(kpis.value("payment_volume", {"payments": held}) or 0)
    finally:
        await redis.aclose()
