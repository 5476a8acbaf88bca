"""Who gets reports, and when: the table `[reports]` of `teams.toml`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any, Literal, get_args

from notifier.people.reading import Table, written
from runtime.schedule import time_of

ReportKind = Literal["daily", "weekly", "monthly"]
REPORT_KINDS: tuple[ReportKind, ...] = get_args(ReportKind)
AT = time(6)
"""Tables take events that are up to six hours late: from then on yesterday is what it will be."""
TO_MOST = 50
_ADDRESS = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[^\s@]{1,255}")


@dataclass(frozen=True, slots=True)
class Reports:
    """at: when, in the calendar's zone, a report of what ended at midnight is made; to: e-mail addresses that it is sent to, by
    `channel`; kinds: those that are sent. All are written into the data folder."""

    at: time = AT
    to: tuple[str, ...] = ()
    channel: str = "email"
    kinds: tuple[ReportKind, ...] = REPORT_KINDS


def reports(top: Table, channels: Mapping[str, Mapping[str, Any]]) -> Reports:
    """What the file says of them; its faults go where all do."""
    usual = Reports()
    for table in top.entries("reports", "a table [reports]"):
        to = table.texts("to", 'e-mail addresses such as ["finance@shop.example"]')
        for number, address in enumerate(to):
            if not _ADDRESS.fullmatch(address.strip()):
                table.wrong("to", f"expected e-mail addresses, got {written(address)} at place {number + 1}")
        if len(to) > TO_MOST:
            table.wrong("to", f"expected at most {TO_MOST} addresses: one of a list reaches all who are on it")
        channel = table.text("channel", "a channel such as email") or usual.channel
        mailing = [name for name, said in channels.items() if said.get("kind", name) in ("email", "outbox")]
        if to:
            table.known("channel", channel, mailing, "channel for e-mail")
        kinds = _kinds(table, usual.kinds)
        at = table.text_as("at", "a time of day such as 06:00", time_of) or usual.at
        table.end()
        return Reports(at, tuple(one.strip() for one in to), channel, kinds)
    return usual


def _kinds(table: Table, usual: Collection[ReportKind]) -> tuple[ReportKind, ...]:
    if not table.has("kinds"):
        return tuple(usual)
    named = table.names("kinds", REPORT_KINDS, "report")
    return tuple(kind for kind in REPORT_KINDS if kind in named)
