"""Batches that are sent again and again hold payments that never were."""

from __future__ import annotations

from aiokafka.record.default_records import DefaultRecordBatch

from bench.torrent import DIFFERENT, Torrent
from schemas.decode import Decoder

PARTITIONS = 3


def test_every_payment_is_one_of_its_own_and_of_the_present() -> None:
    torrent = Torrent("nowhere", "payments", PARTITIONS, 4_000.0)
    decode = Decoder("payments", b"-" * 32).decode
    ids, transactions, count, latest = set(), set(), 0, 0
    for number in range(2 * PARTITIONS * DIFFERENT):
        whole = bytes(torrent._stamped(number)._build())
        batch = DefaultRecordBatch(whole)
        assert batch.validate_crc()
        moments = set()
        for record in DefaultRecordBatch(whole):
            event, ms, notes = decode(record.value, record.key, record.headers)
            assert notes is None
            assert record.key == event.data.transaction_id.encode()
            ids.add(event.id)
            transactions.add(event.data.transaction_id)
            moments.add(ms)
            count += 1
        (ms,) = moments
        assert ms >= latest
        latest = ms
    assert len(ids) == len(transactions) == count == 2 * PARTITIONS * DIFFERENT * torrent._records
