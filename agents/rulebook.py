"""The rules in force, read again when their files change: a worker takes them over without a restart."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from rules.loader import CALENDAR, RuleSet, Unreadable, load

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
_Print = tuple[tuple[str, int, int], ...]


class Rulebook:
    """The packs of one file or folder. A change with any error in it is told, and what was in force stays."""

    def __init__(self, path: Path, bucket_ms: int) -> None:
        self._path, self._bucket_ms = path, bucket_ms
        self._print = self._look()

    def _look(self) -> _Print:
        """Names, sizes and times of the files."""
        found = []
        folder = self._path if self._path.is_dir() else self._path.parent
        packs = folder.glob("*.yaml") if self._path.is_dir() else [self._path]
        for file in [*sorted(packs), folder / CALENDAR]:
            try:
                stat = file.stat()
            except OSError:
                continue
            found.append((str(file), stat.st_size, stat.st_mtime_ns))
        return tuple(found)

    async def changed(self) -> RuleSet:
        """Waits for the next change that can be put in force, and returns it."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            seen = self._look()
            if seen == self._print:
                continue
            self._print = seen
            rules = await asyncio.to_thread(self._load)
            if rules is not None:
                return rules

    def _load(self) -> RuleSet | None:
        try:
            found = load([self._path], self._bucket_ms)
        except Unreadable as error:
            log.error("%s; the rules that were in force stay", error)
            return None
        for problem in found.problems:
            log.error("%s", problem)
        if found.problems:
            log.error("%s has errors; the rules that were in force stay", self._path)
            return None
        return found
