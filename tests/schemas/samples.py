"""Events to test with: one of every type, and strategies that make any valid one from the models."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import strategies as st

from schemas.decode import Decoder
from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF, Data
from schemas.tables import fields_of, kind_of
from schemas.time import epoch_ms

MASK_KEY = b"a key of this test"
CARD = "4111111111111111"  # the number that card schemes publish for tests
HEADER = [("content-type", b"application/cloudevents+json; charset=UTF-8")]

_SAMPLES: dict[str, Any] = {
    "text": "checkout",
    "moment": "2026-11-23T07:59:58.283Z",
    "amount": 3,
    "duration": 12.5,
    "bool": True,
}


def subject_of(event_type: str) -> str:
    """The subject of a topic on which events of this type are allowed."""
    home = SUBJECT_OF[event_type]
    return "payments" if home == EVERYWHERE else home


def sample(event_type: str = "payment.failed", **changes: Any) -> dict[str, Any]:
    """A valid event with every field; `changes` replace or add data fields."""
    data = {
        name: get_args(info.annotation)[0] if kind_of(info) == "choice" else _SAMPLES[kind_of(info)]
        for name, info in fields_of(DATA_OF[event_type]).items()
    }
    return {
        "specversion": "1.0",
        "id": "evt_01",
        "source": "/checkout/za-1",
        "type": event_type,
        "time": "2026-11-23T08:00:00.123Z",
        "subject": "tx_9",
        "data": data | changes,
    }


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    """The event without an attribute, or without a data field named `data.x`."""
    if name.startswith("data."):
        return {**event, "data": {n: v for n, v in event["data"].items() if n != name[5:]}}
    return {n: v for n, v in event.items() if n != name}


def encoded(event: object) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def binary(event: dict[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """(value, headers) of the event in the binary mode of the CloudEvents Kafka binding."""
    attributes = [(f"ce_{name}", value.encode()) for name, value in event.items() if name != "data"]
    return encoded(event["data"]), [*attributes, ("content-type", b"application/json; charset=utf-8")]


def decoder(event_type: str = "payment.failed") -> Decoder:
    return Decoder(subject_of(event_type), MASK_KEY)


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
moments = st.builds(
    "2026-{:02d}-{:02d}{}{:02d}:{:02d}:{:02d}{}{}".format,
    st.integers(1, 12),
    st.integers(1, 28),
    st.sampled_from("Tt "),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.sampled_from(["", ".5", ".123", ".123456", ".999999999"]),
    st.sampled_from(["Z", "z", "+02:00", "-11:30"]),
)


def values_of(model: type[Data], name: str) -> st.SearchStrategy[Any]:
    """Valid values of a field."""
    info = fields_of(model)[name]
    bounds = {word: getattr(item, word) for item in info.metadata for word in ("ge", "le") if hasattr(item, word)}
    low, high = bounds.get("ge", 0), bounds.get("le", 0)
    return {
        "text": texts,
        "moment": moments,
        "amount": st.integers(low, high),
        "duration": st.integers(0, int(high)) | st.floats(low, high),
        "bool": st.booleans(),
        "choice": st.sampled_from(get_args(info.annotation) or [None]),
    }[kind_of(info)]


@st.composite
def events(draw: st.DrawFn, types: st.SearchStrategy[str] | None = None) -> dict[str, Any]:
    """Any valid event."""
    event_type = draw(types if types is not None else st.sampled_from(sorted(DATA_OF)))
    model = DATA_OF[event_type]
    data = {
        name: draw(values_of(model, name))
        for name, info in fields_of(model).items()
        if info.is_required() or draw(st.booleans())
    }
    event = {
        "specversion": "1.0",
        "id": draw(texts),
        "source": draw(texts),
        "type": event_type,
        "time": draw(moments),
        "data": data,
    }
    for name in ("subject", "datacontenttype", "dataschema"):
        if draw(st.booleans()):
            event[name] = draw(texts)
    return event


wild = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**12, 10**12 + 1, 2**63, 10**40, 1.0, -0.0, 0.5, 1e12, 1e300, "", "x" * 256, "x" * 257])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
    | st.sampled_from(["12", "true", "ZAR", "cpu", "\x00", "\x7f", "\x85", "😀" * 256, "😀" * 257]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
"""Any JSON value, with those that lie at the limits."""


@st.composite
def twisted(draw: st.DrawFn) -> dict[str, Any]:
    """A valid event in which up to three things are replaced by any JSON value, or taken away."""
    event = draw(events())
    for _ in range(draw(st.integers(0, 3))):
        holder = event["data"] if isinstance(event["data"], dict) and draw(st.booleans()) else event
        if not holder:
            continue
        name = draw(st.sampled_from(sorted(holder)))
        if name in ("data", "type") and draw(st.booleans()):
            continue
        if name != "data" and draw(st.integers(0, 3)) == 0:
            del holder[name]
            event.setdefault("data", {})
        else:
            holder[name] = draw(wild)
    return event


def as_decoded(data):
    """The data of an event as the decoder hands it out: moments are epoch ms."""
    return {name: epoch_ms(value) if name in ("initiated_at", "started_at") else value for name, value in data.items()}
