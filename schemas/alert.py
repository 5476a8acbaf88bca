"""The alert event: what the notification topic carries whenever the verdict on a rule and group changes.

A CloudEvent in structured mode whose key is the fingerprint. Ids and fingerprints are hashes of what any judge finds
again in the log, so an alert that is sent twice is recognised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    computed_field,
)

from schemas.severity import SEVERITIES, Level, SeverityName
from schemas.time import epoch_ms, rfc3339

Transition = Literal["firing", "updated", "resolved", "retracted", "no_data"]
TRANSITIONS: tuple[Transition, ...] = get_args(Transition)
Status = Literal["inactive", "firing", "resolved", "no_data", "unknown"]
Value = str | bool | int | None
Group = Mapping[str, Value]
"""Dimension → value. Empty for a rule without `by`."""

TYPE_PREFIX = "tillwatch.alert."


def _from_wire(value: object) -> object:
    return epoch_ms(value) if isinstance(value, str) else value


Instant = Annotated[
    int,
    BeforeValidator(_from_wire),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds"}),
]
"""Epoch milliseconds in memory, RFC 3339 UTC in JSON."""
Number = int | float


class Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, serialize_by_alias=True, validate_by_name=True
    )


class Window(Part):
    """What was judged: from `start` (inclusive) to `end` (exclusive), in event time."""

    start: Instant
    end: Instant


class Slice(Part):
    """A part of the group that stands out, and its share (0 to 1) of what is wrong."""

    dimensions: dict[str, Value]
    share: float


class OffsetRange(Part):
    """Records of one source partition that the verdict rests on; both ends belong to it."""

    topic: str
    partition: int
    from_: int = Field(alias="from")
    to: int


class Evidence(Part):
    """Where to look: ranges of source records, and ids of sample events."""

    offsets: tuple[OffsetRange, ...] = ()
    samples: tuple[str, ...] = ()


class JudgedAt(Part):
    """The position of the verdict in the rollups topic: every record before `offset` was known."""

    offset: int


class AlertData(Part):
    """The verdict on one rule and group.

    Times are epoch milliseconds in memory. `unit`: `ratio` (percents are fractions too), `s`, `count` or `minor/ZAR`.
    `value` is None where there is none (no data).
    """

    fingerprint: str
    rule: str
    pack: str
    rule_version: str
    severity: SeverityName
    status: Status = Field(description="the state after the transition")
    group: dict[str, Value]
    value: Number | None
    threshold: Number | None
    unit: str = Field(examples=["ratio", "s", "count", "minor/ZAR"])
    window: Window
    first_bad_at: Instant | None = Field(
        description="the time of the earliest event with which the condition, judged on all events up to it, is true"
    )
    detected_at: Instant
    late: bool = False
    historical: bool = False
    flapping: bool = False
    summary: str
    arithmetic: str
    slice: tuple[Slice, ...] = ()
    evidence: Evidence = Evidence()
    channels: tuple[str, ...] = ()
    owner: str | None = None
    runbook: str | None = None
    inhibited_by: str | None = Field(None, description="the alert that makes this one page nobody")
    judged_at: JudgedAt

    @computed_field  # type: ignore[prop-decorator]
    @property
    def level(self) -> Level:
        """The severity as P0 (critical) to P3 (low)."""
        return SEVERITIES[self.severity].level


class AlertEvent(Part):
    """The CloudEvent around the verdict; `subject` is the fingerprint, `time` when it was judged."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str = Field(pattern=rf"^tillwatch\.alert\.({'|'.join(TRANSITIONS)})$")
    time: Instant
    subject: str
    datacontenttype: Literal["application/json"] = "application/json"
    data: AlertData

    @property
    def transition(self) -> str:
        return self.type.removeprefix(TYPE_PREFIX)


def alert_event(
    namespace: str, transition: Transition, data: AlertData, *, episode_ms: int, n: int, time_ms: int
) -> AlertEvent:
    """The event that announces `transition`. `n` counts `updated` within the episode that began at `episode_ms`."""
    return AlertEvent(
        id=alert_id(namespace, f"{data.pack}/{data.rule}", data.group, episode_ms, transition, n),
        source=f"/tillwatch/{namespace}",
        type=TYPE_PREFIX + transition,
        time=time_ms,
        subject=data.fingerprint,
        data=data,
    )


def ended(event: AlertEvent, now_ms: int, words: str) -> AlertEvent:
    """The resolution of an alert for a reason that lies outside of the data; its id follows from that of `event`."""
    data = event.data.model_copy(
        update={"status": "resolved", "detected_at": now_ms, "summary": f"Over: {words}.", "arithmetic": words, "slice": ()}
    )
    return event.model_copy(
        update={
            "id": _digest(["ended", event.id, words]),
            "type": TYPE_PREFIX + "resolved",
            "time": now_ms,
            "data": data,
        }
    )


def alert_id(namespace: str, rule: str, group: Group, episode_ms: int, transition: str, n: int) -> str:
    """The id of an alert event: 64 hex digits, the same for every judge.

    rule: `pack/rule`, since two packs may use a name each. episode_ms: start of the bucket of `first_bad_at`.
    """
    return _digest(["alert", namespace, rule, _canonical(group), episode_ms, transition, n])


def fingerprint(namespace: str, pack: str, rule: str, group: Group) -> str:
    """What names one rule and group through all of its episodes: 64 hex digits."""
    return _digest(["fingerprint", namespace, pack, rule, _canonical(group)])


def _canonical(group: Group) -> list[tuple[str, Value]]:
    return sorted(group.items(), key=lambda item: item[0])


def _digest(parts: list[Any]) -> str:
    # JSON tells "1" from 1 from true, and where one part ends and the next begins.
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
