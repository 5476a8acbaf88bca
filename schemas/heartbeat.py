"""The heartbeat that workers write into every partition: it tells 'idle' from 'dead', and is never data."""

from __future__ import annotations

import secrets

import msgspec

from schemas.time import rfc3339


def heartbeat(source: str, ms: int) -> bytes:
    """A heartbeat event of the present `ms` (epoch ms)."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": secrets.token_hex(8),
            "source": source,
            "type": "pipeline.heartbeat",
            "time": rfc3339(ms),
            "data": {},
        }
    )
