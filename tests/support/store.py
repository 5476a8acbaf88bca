"""The embedded store as a patient: killed, emptied, frozen, short of memory, or back without its last writes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Self

from redis import Redis

from local.process import free_port
from local.store import EmbeddedStore
from tests.support.wait import eventually


class KillableStore(EmbeddedStore):
    """A store that can lose what a real one can lose. `kill()` and `start()`: away and back, with all that it had."""

    def __init__(self, data: Path) -> None:
        super().__init__(None, data)
        self.folder = data
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

    def wipe(self) -> None:
        """Not running: forgets what it had."""
        for folder in (self._files, self._kept):
            shutil.rmtree(folder, ignore_errors=True)
        self._files.mkdir(parents=True)

    def end(self) -> None:
        """kill -9, frozen or not, if it runs."""
        if self.running:
            self.thaw()
            self.kill()

    def empty(self) -> None:
        """Loses everything, and stays."""
        with self.client() as client:
            client.flushall()

    def limit_memory(self, free_bytes: int | None) -> None:
        """Refuses writes once so much more is in use; None: no limit."""
        with self.client() as client:
            used = int(client.info("memory")["used_memory"])
            client.config_set("maxmemory", "0" if free_bytes is None else str(used + free_bytes))

    def refuse_writes(self) -> None:
        """Answers, but is the replica of a store that is nowhere: read-only."""
        with self.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))

    def follow(self, other: EmbeddedStore) -> None:
        """Becomes the replica of another store; returns once it has all that the other had."""
        with self.client() as client:
            client.replicaof("127.0.0.1", str(other.port))
            eventually(lambda: client.info("replication").get("master_link_status") == "up", "the replica has caught up")

    def rewrite(self) -> None:
        """Writes its file anew from memory. Where the disk was full, a Valkey 9.1 that was a replica has left half a command in
        it, and could not read it again."""
        with self.client() as client:
            client.bgrewriteaof()
            eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file is written anew")

    def lead(self) -> None:
        """Is nobody's replica any more, and takes writes."""
        with self.client() as client:
            client.replicaof("NO", "ONE")

    def freeze(self) -> None:
        """Stops answering, with every connection open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
