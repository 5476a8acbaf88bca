"""One run of a program: no shell, an environment of its own, a limit of time for it and its children, and the end of what it
wrote.

The program begins a session and a process group. At its limit the group gets SIGTERM, soon after SIGKILL; what is left of the
group when the program ends is ended, too. A child that begins a session of its own (a daemon) is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 2.0
"""From SIGTERM to SIGKILL."""
DRAIN_S = 1.0
"""How long it is waited for the rest of what was written, where somebody who was let go still holds the other end."""
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended. code: minus the number of a signal where that ended it. output: the end of what it wrote to stdout and
    stderr; more: whether there was more. late: its time was over."""

    code: int
    output: bytes
    more: bool
    took_s: float
    late: bool

    @property
    def how(self) -> str:
        """`exit code 3`, `ended by SIGKILL`."""
        if self.code >= 0:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-self.code).name}"
        return f"ended by signal {-self.code}"


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, most: int) -> None:
        self._most, self.held, self.more = most, b"", False

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(_CHUNK):
            held = self.held + chunk
            self.more = self.more or len(held) > self._most
            self.held = held[-self._most :]


async def run(
    arguments: Sequence[str],
    stdin: bytes,
    environment: Mapping[str, str],
    folder: Path,
    limit_s: float,
    most: int,
) -> Exit:
    """Runs a program to its end. most: bytes of what it writes that are kept. Raises OSError where it cannot be started,
    ValueError for a NUL in what it gets; cancelled, it kills the group."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    # Neither end is a pipe of asyncio's: a child that holds one would hold up the end of the program.
    reading, writing = os.pipe()
    try:
        with tempfile.TemporaryFile() as said:
            said.write(stdin)
            said.seek(0)
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=said,
                stdout=writing,
                stderr=writing,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    tail, late = _Tail(most), False
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", 0))
    listening = asyncio.create_task(tail.read(stream))
    try:
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            late = True
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await process.wait()
        code = await _killed(process)
        await asyncio.wait([listening], timeout=DRAIN_S)
        return Exit(code, tail.held, tail.more, loop.time() - began, late)
    finally:
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
        listening.cancel()
        transport.close()


async def _killed(process: asyncio.subprocess.Process) -> int:
    """Ends what is left of the group, and tells how the program ended."""
    _signal(process, signal.SIGKILL)
    return await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the whole group. Its number is the program's; while anybody is in it nobody else gets that."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
