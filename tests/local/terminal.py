"""A command of Tillwatch in a terminal of its own, as a person sees it and presses Ctrl-C in it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local.instance import RECORD
from tests.local.waiting import eventually, listens, lives

ROOT = Path(__file__).resolve().parents[2]
COLUMNS, ROWS = 140, 40
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**more: str) -> dict[str, str]:
    """Ours without settings, so that a command finds the code from any folder; consoles of several tests do not meet."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("TILLWATCH_")}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path, "TERM": "xterm", "TILLWATCH_CONSOLE": "127.0.0.1:0", **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "cli", *words]


def run(folder: Path, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(*words), cwd=folder, env=environment(**more), input=stdin, capture_output=True, text=True, timeout=60
    )


class Terminal:
    """A command that runs in `folder`; leaving the block kills it."""

    def __init__(self, folder: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.folder, self._words, self._env = folder, words, dict(env or {})
        self._read = ""
        self._at = 0

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._popen = subprocess.Popen(
            command(*self._words),
            cwd=self.folder,
            env=environment(**self._env),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=_take_the_terminal,  # so that Ctrl-C reaches it
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._keep_reading, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait(10)
        self._reader.join(5)
        os.close(self._master)

    def _keep_reading(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            self._read += data.decode(errors="replace")

    # --- what is seen -------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """All that was printed, without colours."""
        return _ESCAPES.sub("", self._read).replace("\r\n", "\n")

    def shows(self, words: str, within_s: float = 60) -> str:
        """Waits until `words` (a regular expression) are printed after what was waited for before; the line."""
        pattern = re.compile(rf"^.*(?:{words}).*$", re.MULTILINE)

        def there() -> bool:
            assert self._popen.poll() is None or pattern.search(self.text, self._at), f"it ended:\n{self.text}"
            return pattern.search(self.text, self._at) is not None

        try:
            eventually(there, words, within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None
        found = pattern.search(self.text, self._at)
        assert found is not None
        self._at = found.end()
        return found[0]

    # --- what runs ----------------------------------------------------------------------------------------------------

    @property
    def record(self) -> dict[str, object]:
        """What the instance says of itself."""
        found: dict[str, object] = json.loads((self.folder / "tillwatch-data" / RECORD).read_text())
        return found

    @property
    def pids(self) -> dict[str, int]:
        pids = self.record["pids"]
        assert isinstance(pids, dict)
        return pids

    @property
    def ports(self) -> list[int]:
        addresses = [str(self.record[name]) for name in ("kafka", "redis")]
        return [int(one.removeprefix("redis://").partition("/")[0].rpartition(":")[2]) for one in addresses]

    @property
    def pid(self) -> int:
        return self._popen.pid

    # --- what is done to it -------------------------------------------------------------------------------------------

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def ends(self, within_s: float = 10) -> int:
        """Waits for its end; the exit code."""
        try:
            code = self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within_s:g} s:\n{self.text}") from None
        self._reader.join(5)
        return code


class Left:
    """What a command had running, to see that nothing is left of it."""

    def __init__(self, terminal: Terminal) -> None:
        eventually(lambda: bool(terminal.record), "it says what runs")
        self.pids, self.ports = dict(terminal.pids), terminal.ports
        assert all(map(lives, self.pids.values())), self.pids
        assert all(map(listens, self.ports)), self.ports

    def nothing(self, within_s: float = 5) -> None:
        """Waits until no process and no port is left."""
        eventually(lambda: not any(map(lives, self.pids.values())), f"no process of {self.pids} is left", within_s)
        eventually(lambda: not any(map(listens, self.ports)), f"no port of {self.ports} is taken", within_s)


def _take_the_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
