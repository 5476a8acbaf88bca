"""A worker or notifier process that tests kill, freeze and stop."""

from __future__ import annotations

import os
import re
import signal
import sys
from datetime import datetime
from pathlib import Path

from local.machine import environment
from local.process import Process
from runtime.settings import Settings

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
_LEADING = re.compile(r"^(\S+) INFO notifier\.service: leading, with ", re.MULTILINE)


def led_since(output: str) -> float:
    """When a notifier began to lead last (epoch seconds), as its output tells; 0 where it never did."""
    said = _LEADING.findall(output)
    return datetime.fromisoformat(said[-1]).timestamp() if said else 0.0


class Worker(Process):
    """`tillwatch worker`, or another command, with exactly these settings; `start()` returns at its line `ready`.

    only: one part of a worker alone. more: further variables of its environment, such as
    `TILLWATCH_FAULT="after_script:0.1"`. Its output is in `folder`. `kill()` is kill -9.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        name: str = "worker",
        *,
        command: str = "worker",
        only: str | None = None,
        ready_within_s: float = READY_WITHIN_S,
        **more: str,
    ) -> None:
        super().__init__(
            name,
            [sys.executable, "-P", "-m", "cli", command, *(("--only", only) if only else ())],
            folder / f"{name}.log",
            env=environment(settings) | more,
            ready="ready",
            ready_within_s=ready_within_s,
            stop_within_s=STOP_WITHIN_S,
        )

    def term(self) -> int:
        """SIGTERM; the exit code. Raises AssertionError if it has not ended within 10 s (the contract)."""
        code = self.stop()
        assert code is not None, f"{self.name} was not started"
        assert code != -signal.SIGKILL, f"{self.name} did not end within {STOP_WITHIN_S:g} s of SIGTERM:\n{self.output}"
        return code

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def freeze(self) -> None:
        """SIGSTOP: for the others it is as if it were dead, for itself no time passes."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
