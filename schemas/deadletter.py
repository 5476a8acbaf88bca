"""Dead letters: the record as it came (card numbers masked), with the reason and its place in headers."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.decode import MAX_BYTES
from schemas.masking import Masker, may_hold_card
from schemas.time import rfc3339

KEPT_BYTES = 64 * 1024
"""What is kept of a value beyond 1 MiB."""

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

    def masked(item: bytes | None) -> bytes | None:
        return masker.raw(item) if item and may_hold_card(item) else item

    length = len(value or b"")
    kept = value[:KEPT_BYTES] if value is not None and length > MAX_BYTES else value
    told = {
        "tw_reason": reason,
        "tw_detail": detail,
        "tw_topic": topic,
        "tw_partition": str(partition),
        "tw_offset": str(offset),
        "tw_time": rfc3339(broker_ms),
        "tw_length": str(length),
    }
    ours = [(name, text.encode("utf-8", "replace")) for name, text in told.items()]
    theirs = [(name, masked(item) or b"") for name, item in headers if name not in told]
    return masked(key), masked(kept), [*theirs, *ours]
