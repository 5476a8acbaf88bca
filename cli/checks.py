"""Checks of the settings against the world: each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.terminal import counted
from runtime.log import masked

if TYPE_CHECKING:
    from runtime.settings import Settings

OK, WRONG, NOTE = "ok", "wrong", "note"
CLOCK_AHEAD_S = 60
MASK_KEY_CHARS = 16


@dataclass(frozen=True, slots=True)
class Check:
    """One finding about `what` (a setting or a server). `state`: ok, wrong, or note."""

    what: str
    state: str
    text: str


def of_environment(environment: Mapping[str, str]) -> list[Check]:
    """Variables that look like settings and are none."""
    from runtime.settings import Settings

    known = [f"TILLWATCH_{name.upper()}" for name in Settings.model_fields]
    findings = []
    for name in sorted(environment):
        if name.startswith("TILLWATCH_") and name.upper() not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            findings.append(Check(name, WRONG, f"there is no such setting{hint}"))
    return findings


async def of_kafka(settings: Settings) -> list[Check]:
    """Kafka and the topics."""
    from aiokafka.errors import KafkaError

    from runtime.kafka import KafkaUnreachable, topic_logs

    if settings.kafka is None:
        return [Check("TILLWATCH_KAFKA", NOTE, "not set: the embedded broker, once 'tillwatch up' runs")]
    names = settings.names
    wanted = (*names.event_topics, names.rollups, names.alerts, names.incidents, names.deadletters)
    try:
        found = await topic_logs(settings.kafka, wanted)
    except (KafkaUnreachable, KafkaError, OSError, ValueError) as error:
        return [Check("TILLWATCH_KAFKA", WRONG, masked(str(error)) or type(error).__name__)]
    findings = [Check("TILLWATCH_KAFKA", OK, f"{masked(settings.kafka)} answers")]
    missing = [topic for topic in wanted if topic not in found]
    if missing:
        text = f"{len(missing)} of {len(wanted)} do not exist ({missing[0]}, ...): run 'tillwatch setup topics'"
        return [*findings, Check("topics", WRONG, text)]
    counts = {found[topic].partitions for topic in names.event_topics}
    span = str(*counts) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    findings.append(Check("topics", OK, f"all {len(wanted)} exist, the event topics with {span} partitions"))
    for topic in (names.rollups, names.alerts):
        if found[topic].partitions != 1:
            text = (
                f"has {found[topic].partitions} partitions and must have 1: delete it and run 'tillwatch setup topics'"
            )
            findings.append(Check(topic, WRONG, text))
    return findings


async def of_redis(settings: Settings) -> list[Check]:
    """Redis, and that it keeps what it is given."""
    from redis.exceptions import RedisError

    from runtime.redis import RedisUnusable, check, connect

    if settings.redis is None:
        return [Check("TILLWATCH_REDIS", NOTE, "not set: the embedded store, once 'tillwatch up' runs")]
    try:
        redis = connect(settings)
    except ValueError as error:
        return [Check("TILLWATCH_REDIS", WRONG, masked(str(error)))]
    try:
        await check(redis)
        await redis.set(f"{settings.namespace}:check", "1", ex=1)
    except (RedisUnusable, RedisError, OSError) as error:
        return [Check("TILLWATCH_REDIS", WRONG, masked(str(error)) or type(error).__name__)]
    finally:
        await redis.aclose()
    return [
        Check(
            "TILLWATCH_REDIS", OK, f"{masked(settings.redis.get_secret_value())} answers, takes writes and never evicts"
        )
    ]


def of_rules(settings: Settings) -> list[Check]:
    """The rule packs."""
    from rules.loader import Unreadable, load

    where = "the shipped packs" if settings.rules is None else str(settings.rules)
    try:
        found = load(None if settings.rules is None else [settings.rules], settings.bucket_ms)
    except Unreadable as error:
        return [Check("TILLWATCH_RULES", WRONG, str(error))]
    if found.problems:
        others = len(found.problems) - 1
        more = f" (and {others} more: 'tillwatch rules lint {where}')" if others else ""
        return [Check("TILLWATCH_RULES", WRONG, f"{found.problems[0]}{more}")]
    return [Check("TILLWATCH_RULES", OK, f"{where}: {len(found.rules)} rules")]


def of_teams(settings: Settings) -> list[Check]:
    """People and teams."""
    from notifier.people.directory import DirectoryError, load

    if settings.teams is None:
        return [Check("TILLWATCH_TEAMS", NOTE, "not set: every page goes to the built-in outbox")]
    try:
        found = load(settings.teams)
    except DirectoryError as error:
        others = len(error.faults) - 1
        more = f" (and {others} more: 'tillwatch oncall check')" if others else ""
        return [Check("TILLWATCH_TEAMS", WRONG, f"{error.faults[0]}{more}")]
    text = f"{settings.teams}: {counted(len(found.teams), 'team')}, {counted(len(found.people), 'person', 'people')}"
    return [Check("TILLWATCH_TEAMS", OK, text)]


def of_actions(settings: Settings) -> list[Check]:
    """What is called automatically."""
    from notifier.actions.book import load
    from notifier.people.directory import DirectoryError

    if settings.actions is None:
        return []
    try:
        found = load(settings.actions)
    except DirectoryError as error:
        others = len(error.faults) - 1
        more = f" (and {others} more: 'tillwatch actions check')" if others else ""
        return [Check("TILLWATCH_ACTIONS", WRONG, f"{error.faults[0]}{more}")]
    return [Check("TILLWATCH_ACTIONS", OK, f"{settings.actions}: {counted(len(found), 'action')}")]


def of_machine(settings: Settings) -> list[Check]:
    """The clock, the data folder and the key of the masks."""
    findings = []
    if settings.clock != "wall":
        from runtime.clock import clock_from

        try:
            ahead_s = clock_from(settings.clock).now() - time.time()
        except ValueError as error:
            findings.append(Check("TILLWATCH_CLOCK", WRONG, str(error).removeprefix("TILLWATCH_CLOCK: ")))
        else:
            wrong = ahead_s > CLOCK_AHEAD_S
            text = f"{settings.clock} is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the wall clock"
            text += f"; more than {CLOCK_AHEAD_S} s ahead cannot work" if wrong else " (for simulation, demo and tests)"
            findings.append(Check("TILLWATCH_CLOCK", WRONG if wrong else NOTE, text))
    if settings.kafka is None or settings.redis is None:
        parent = next(path for path in (settings.data.absolute(), *settings.data.absolute().parents) if path.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            findings.append(Check("TILLWATCH_DATA", WRONG, f"{settings.data}: no folder can be written there"))
        else:
            findings.append(Check("TILLWATCH_DATA", OK, f"{settings.data} can be written"))
    if settings.mask_key is None:
        text = "not set: the hashes that replace card numbers in identifiers can be found out by trying all of them"
        findings.append(Check("TILLWATCH_MASK_KEY", NOTE, text))
    elif len(settings.mask_key.get_secret_value()) < MASK_KEY_CHARS:
        findings.append(Check("TILLWATCH_MASK_KEY", WRONG, f"too short: at least {MASK_KEY_CHARS} random characters"))
    else:
        findings.append(Check("TILLWATCH_MASK_KEY", OK, "set"))
    return findings
