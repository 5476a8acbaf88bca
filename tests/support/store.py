"""The embedded store as a patient: killed, emptied, frozen, short of memory, or back without its last writes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Self

from redis import Redis

from local.store import EmbeddedStore


class KillableStore(EmbeddedStore):
    """A store that can lose what a real one can lose. `kill()` and `start()`: away and back, with all that it had."""

    def __init__(self, data: Path) -> None:
        super().__init__(None, data)
        self._files, self._kept = data / "store", data / "store-as-marked"

    def start(self) -> Self:
        super().start()
        with self.client() as client:  # a rewrite would replace files while `mark` copies them
            client.config_set("auto-aof-rewrite-percentage", "0")
        return self

    def client(self) -> Redis:
        """A client that blocks, for tests to look and meddle."""
        return Redis.from_url(self.url, socket_timeout=5)

    def mark(self) -> None:
        """Remembers what has been acknowledged until now."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self._files, self._kept)

    def fall_back(self) -> Self:
        """Killed, and back as it was at the mark: what was acknowledged since is lost."""
        self.kill()
        shutil.rmtree(self._files)
        shutil.copytree(self._kept, self._files)
        return self.start()

    def empty(self) -> None:
        """Loses everything, and stays."""
        with self.client() as client:
            client.flushall()

    def limit_memory(self, free_bytes: int | None) -> None:
        """Refuses writes once so much more is in use; None: no limit."""
        with self.client() as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", "0" if free_bytes is None else str(used + free_bytes))

    def freeze(self) -> None:
        """Stops answering, with every connection open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
