"""Dead letters: the record as it came (card numbers masked), with the reason and its place in headers."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.decode import MAX_BYTES
from schemas.masking import Masker, is_identifier
from schemas.time import rfc3339

KEPT_BYTES = 64 * 1024
"""What is kept of a value beyond 1 MiB."""

REASONS = (
    "null_value",
    "too_large",
    "not_json",
    "not_an_event",
    "unknown_type",
    "wrong_topic",
    "invalid_field",
    "from_future",
    "too_late",
)
"""Every reason, in the order in which a record is looked at."""

HEADERS = {
    "tw_reason": "why it could not be used",
    "tw_detail": "where and what, for people",
    "tw_topic": "the topic that it came from",
    "tw_partition": "its partition there",
    "tw_offset": "its offset there",
    "tw_time": "the broker's timestamp of it, RFC 3339 UTC",
    "tw_length": "the bytes of its value as it came",
}
"""What is told about a record, beside the headers that it had."""

Letter = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


def letter(
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    *,
    reason: str,
    detail: str,
    topic: str,
    partition: int,
    offset: int,
    broker_ms: int,
    masker: Masker,
) -> Letter:
    """(key, value, headers) of the dead letter. Topic, partition and offset are its identity: it may come twice.

    Of a value beyond 1 MiB the first 64 KiB are kept; `tw_length` is the length that it had. `tw_time` is the broker's
    timestamp of the record.
    """

    def header(name: str, item: bytes | None) -> tuple[str, bytes]:
        # In binary mode the attributes are headers: ce_id names one thing as `id` does.
        mask = masker.raw_identifier if is_identifier(name.lower().removeprefix("ce_")) else masker.raw
        return masker.text(name), mask(item or b"")

    length = len(value or b"")
    told = (reason, detail, topic, str(partition), str(offset), rfc3339(broker_ms), str(length))
    ours = [(name, text.encode("utf-8", "replace")) for name, text in zip(HEADERS, told, strict=True)]
    theirs = [header(name, item) for name, item in headers if name not in HEADERS]
    return (
        None if key is None else masker.raw_identifier(key),
        None if value is None else masker.raw(value, KEPT_BYTES if length > MAX_BYTES else None),
        [*theirs, *ours],
    )
