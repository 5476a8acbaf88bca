"""The partial rollup: what measure tells evaluate about one source partition.

Every message carries absolute cells, so it may come twice, late or out of order. What does not fit one message is split
into `parts`; positions and clocks count once the last part is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

WireKey = tuple[str | bool | int | None, ...]


StatRow = tuple[int, int | str, int, int, msgspec.Raw]
"""A measure of a row: how many events carried it, sum (beyond 63 bits a string of digits), least, greatest, and the bins of
its sketch, [bin, hits, bin, hits, …] or 0."""


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A cell: count, times or 0, samples, recent or 0, and for each measure of the table its stat or 0, as
    `rollups.cells.pack` makes it."""

    # What may never be asked for (a later version takes the cell's place, no rule reads the table) stays JSON until it is.
    count: int
    times: msgspec.Raw
    samples: msgspec.Raw
    recent: list[int] | int
    stats: tuple[StatRow | int, ...]


class PackedPage(msgspec.Struct):
    """One bucket as Redis has it: the rows of each table, and the offsets of the first and last fold into it."""

    first: int | None = None
    last: int = -1
    tables: dict[str, list[tuple[WireKey, Row]]] = {}


class _Part(msgspec.Struct, frozen=True):
    table: str
    bucket: int
    first: int
    last: int


class TablePart(_Part, frozen=True):
    """Cells of one table and bucket that changed. `first` and `last`: offsets of the first and last record that was
    ever folded into the bucket."""

    rows: list[tuple[WireKey, Row]]


class PackedPart(_Part, frozen=True):
    """A `TablePart` to be sent, whose rows are JSON already."""

    rows: msgspec.Raw


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


def encode_partials(head: Partial, tables: Sequence[PackedPart], limit: int) -> list[bytes]:
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
