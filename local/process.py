"""A child process that never outlives us: started, waited for until it is ready, stopped within a limit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal, Self

LOG_BYTES = 1024 * 1024
READY_WITHIN_S = 15.0
STOP_WITHIN_S = 8.0
_LOOK_EVERY_S = 0.02
_LINE_BYTES = 8192
_TAIL_LINES = 12

How = Literal["signal", "pipe"]
HOW: How = "signal" if sys.platform.startswith("linux") else "pipe"
"""How a child learns of our end; see `local.tether`."""

# The kernel ties a child to the thread that forked it, so one thread that lives as long as we do forks them all.
_nursery = ThreadPoolExecutor(1, "nursery")


class StartFailed(RuntimeError):
    """A process did not become ready; the text says why, with the last lines that it wrote."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def quiet_environment() -> dict[str, str]:
    """Our environment without what could set up a server behind our back."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ}


class Process:
    """One program as our child.

    It has a session of its own: Ctrl-C in a terminal reaches us alone, and we stop it in order. ready: a line that it
    prints, or a function that tells; None: ready as soon as it runs. env: its whole environment; None: ours. What it
    says goes to `log`, at most 1 MiB, and as much before that in `<log>.1`. forgets: it keeps nothing, so that to be
    killed when it takes its time is in order. outlives: it goes on where what it stands on ends, and waits for that.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        ready: str | Callable[[], bool] | None = None,
        ready_within_s: float = READY_WITHIN_S,
        stop_within_s: float = STOP_WITHIN_S,
        forgets: bool = False,
        outlives: bool = False,
        how: How = HOW,
    ) -> None:
        self.forgets, self.outlives = forgets, outlives
        self.name, self.argv, self.log, self.env = name, list(argv), log, env
        self.ready_within_s, self.stop_within_s = ready_within_s, stop_within_s
        self._ready, self._how = ready, how
        self._popen: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._pump: threading.Thread | None = None
        self._said_ready = threading.Event()
        self._told_to_end = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    # --- what it is doing ---------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError if it was never started."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = None if self._popen is None else self._popen.poll()
        if code is None:
            return "is running" if self._popen is not None else "was not started"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    @property
    def exit_code(self) -> int | None:
        """None while it runs and before it was started; minus the signal where one ended it."""
        return None if self._popen is None else self._popen.poll()

    def last_lines(self) -> list[str]:
        """The last few lines it wrote."""
        return list(self._tail)

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Starts it and returns once it is ready. Raises StartFailed, and then it does not run."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        self._collect()
        self._told_to_end = False
        self._said_ready.clear()
        self._tail.clear()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._popen = popen = _nursery.submit(self._spawn).result()
        assert popen.stdout is not None
        self._pump = threading.Thread(target=self._copy, args=(popen.stdout,), name=f"log of {self.name}", daemon=True)
        self._pump.start()
        try:
            self._await_ready(popen)
        except BaseException:
            self.kill()
            raise
        return self

    def _spawn(self) -> subprocess.Popen[bytes]:
        reader, writer = os.pipe() if self._how == "pipe" else (-1, None)
        tether = [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py"))]
        try:
            popen = subprocess.Popen(
                [*tether, self._how, str(os.getpid()), str(reader), *self.argv],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=() if writer is None else (reader,),
                start_new_session=True,
            )
        except BaseException:
            if writer is not None:
                os.close(writer)
            raise
        finally:
            if reader >= 0:
                os.close(reader)
        self._pipe = writer
        return popen

    def _await_ready(self, popen: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.ready_within_s
        while not self._is_ready():
            try:
                popen.wait(_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise self._failed(f"was not ready within {self.ready_within_s:g} s") from None
            else:
                if self._pump is not None:
                    self._pump.join(1)
                if self._said_ready.is_set():
                    return  # it was, if only for a moment
                raise self._failed(self.ending)

    def _is_ready(self) -> bool:
        if self._ready is None:
            return True
        return self._said_ready.is_set() if isinstance(self._ready, str) else self._ready()

    def _failed(self, why: str) -> StartFailed:
        lines = "".join(f"\n  {line}" for line in self._tail)
        return StartFailed(f"{self.name} {why}" + (f"; it said:{lines}" if lines else f" (log: {self.log})"))

    def terminate(self) -> None:
        """Sends SIGTERM, and does not wait. Only the first time: a second one cuts short what the first began."""
        if self._popen is not None and not self._told_to_end:
            self._told_to_end = True
            self._popen.terminate()

    def stop(self, within_s: float | None = None) -> int | None:
        """SIGTERM, and SIGKILL if it is still there after `within_s`; returns the exit code (None: never started)."""
        if self._popen is None:
            return None
        self.terminate()
        try:
            self._popen.wait(self.stop_within_s if within_s is None else within_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._collect()
        return self._popen.poll()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to write anything. Returns when it is gone."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(STOP_WITHIN_S)
            self._collect()

    def restart(self) -> Self:
        """Stops what runs and starts it again, as it was."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _collect(self) -> None:
        if self._pump is not None:
            self._pump.join(1)  # a grandchild may hold the output open; it is not waited for
            self._pump = None
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    # --- what it says -------------------------------------------------------------------------------------------------

    def _copy(self, stream: IO[bytes]) -> None:
        ready = self._ready.encode() if isinstance(self._ready, str) else None
        with stream, _BoundedLog(self.log) as log:
            while line := stream.readline(_LINE_BYTES):
                log.write(line)
                self._tail.append(line.decode(errors="replace").rstrip())
                if ready is not None and line.strip() == ready:
                    self._said_ready.set()


class _BoundedLog:
    """A file that begins anew when it is full; what it held before is in `<name>.1`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, line: bytes) -> None:
        try:
            if self._file.tell() + len(line) > LOG_BYTES:
                self._file.close()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self._file = self._path.open("ab")
            self._file.write(line)
            self._file.flush()
        except (OSError, ValueError):  # a full disk must not stop the program: its output is still read
            return
