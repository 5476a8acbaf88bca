"""The partial rollup: what measure tells evaluate about one source partition.

Every message carries absolute cells, so it may come twice, late or out of order. What does not fit one message is split
into `parts`; positions and clocks count once the last part is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

Row = list[Any]
"""A cell: [count, times or 0, samples, recent or 0, stats]; see `rollups.cells.pack`."""
WireKey = Sequence[str | bool | int | None]


class TablePart(msgspec.Struct, frozen=True):
    """Cells of one table and bucket that changed. `first` and `last`: offsets of the first and last record that was
    ever folded into the bucket."""

    table: str
    bucket: int
    first: int
    last: int
    rows: Sequence[tuple[WireKey, Row]]


class Partial(msgspec.Struct, frozen=True):
    """One message of the rollups topic. Times in epoch ms; `source` is topic/topic id/partition."""

    source: str
    token: str
    next: int
    watermark: int | None
    newest: int | None
    behind: bool
    part: int = 0
    parts: int = 1
    tables: Sequence[TablePart] = ()
    v: int = 1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Partial)


def encode_partials(head: Partial, tables: Sequence[TablePart], limit: int) -> list[bytes]:
    """The messages that carry `tables` under `head`, each of about `limit` bytes at most."""
    groups: list[list[msgspec.Raw]] = [[]]
    size = 0
    for table in tables:
        raw = _encoder.encode(table)
        if groups[-1] and size + len(raw) > limit:
            groups.append([])
            size = 0
        groups[-1].append(msgspec.Raw(raw))
        size += len(raw)
    return [
        _encoder.encode(msgspec.structs.replace(head, part=part, parts=len(groups), tables=group))
        for part, group in enumerate(groups)
    ]


def decode_partial(value: bytes) -> Partial:
    """Raises ValueError (msgspec.DecodeError) for what is no partial rollup."""
    return _decoder.decode(value)
