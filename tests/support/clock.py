"""The clock of worker processes, as a test moves it."""

from __future__ import annotations

import os
from pathlib import Path


class ClockFile:
    """A file that holds the present, for `TILLWATCH_CLOCK`. `began`: epoch seconds."""

    def __init__(self, path: Path, began: float) -> None:
        self._path = path
        self.began = began
        self.set(began)

    def set(self, now: float) -> None:
        """The present is `now`."""
        beside = self._path.with_suffix(".new")
        beside.write_text(f"{now:.3f}")
        os.replace(beside, self._path)

    @property
    def setting(self) -> str:
        return f"file:{self._path}"
