"""What runs in a data folder: one instance at a time, written down so that other commands find it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import SecretStr, TypeAdapter, ValidationError

from local.broker import cluster_at
from local.store import pid_at
from runtime.settings import Settings

RECORD = "local.json"
LOCK = "local.lock"


class InUse(RuntimeError):
    """Another instance holds the data folder; the text says which process."""


@dataclass(frozen=True, slots=True)
class Local:
    """The embedded servers that run now. An address is None where a real server is used instead."""

    kafka: str | None
    redis: str | None
    cluster_id: str | None
    pids: Mapping[str, int]
    started_at: str
    console: str | None = None
    """Where the console listens."""

    def answers(self) -> bool:
        """Whether these very servers answer, not others that took their ports."""
        broker = self.kafka is None or cluster_at(_port(self.kafka)) == self.cluster_id
        return broker and (self.redis is None or pid_at(_port(self.redis)) == self.pids.get("store"))


_FORM = TypeAdapter(Local)


class Instance:
    """The right to run in a data folder, from entering to leaving; the kernel takes it back from the dead.

    Raises InUse on entering.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._data.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise InUse(f"{self._data} is in use by process {holder}: stop that first, or set TILLWATCH_DATA") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        self._record.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._record.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _record(self) -> Path:
        return self._data / RECORD

    def tell(self, local: Local) -> None:
        """Writes down what runs, atomically."""
        draft = self._record.with_name(RECORD + ".new")
        draft.write_text(json.dumps(asdict(local), indent=1) + "\n")
        draft.replace(self._record)


def find(settings: Settings) -> Local | None:
    """The embedded servers of the data folder, if they answer now."""
    try:
        local = _FORM.validate_json((settings.data / RECORD).read_bytes())
        return local if local.answers() else None
    except (OSError, ValidationError, ValueError):
        return None


def resolve(settings: Settings) -> Settings:
    """The settings, with the embedded servers that run now in place of the addresses that are not set."""
    if settings.kafka is not None and settings.redis is not None:
        return settings
    local = find(settings)
    if local is None:
        return settings
    found: dict[str, object] = {}
    if settings.kafka is None and local.kafka is not None:
        found["kafka"] = local.kafka
    if settings.redis is None and local.redis is not None:
        found["redis"] = SecretStr(local.redis)
    return settings.model_copy(update=found)


def now() -> str:
    """The present for `started_at`: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _port(address: str) -> int:
    """Of `127.0.0.1:9092` or `redis://127.0.0.1:6379/0`. Raises ValueError."""
    return int(address.removeprefix("redis://").partition("/")[0].rpartition(":")[2])
