"""Adding an override to `teams.toml`: at its end, so that what a person wrote stays as it is."""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from notifier.people.directory import LARGEST, Directory, DirectoryError, Fault, read


def append(path: Path, *, who: Sequence[str], team: str, level: str, begin: datetime, end: datetime) -> Directory:
    """Writes an override and returns the directory with it. Raises DirectoryError where it, or what is there, cannot be used,
    and OSError; then the file is as it was."""
    said = (
        f"\n[[overrides]]\nwho = {json.dumps(list(who))}\nteam = {json.dumps(team)}\nlevel = {json.dumps(level)}\n"
        f"from = {begin.isoformat(timespec='seconds')}\nto = {end.isoformat(timespec='seconds')}\n"
    )
    more = said.encode()
    with path.open("r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryError([Fault(str(path), 0, "", "another command is writing to it: try again")]) from None
        content = file.read(LARGEST + 1)
        read(str(path), content)  # what is wrong already is told as that
        try:
            tomllib.loads((content + more).decode("utf-8-sig"))
        except tomllib.TOMLDecodeError:
            fault = Fault(
                str(path), 0, "overrides", "nothing can be added: write each as a table [[overrides]] of its own"
            )
            raise DirectoryError([fault]) from None
        found = read(str(path), content + more)
        try:
            if file.write(more) != len(more):
                raise OSError(28, "no space left for it", str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(len(content))
            raise
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise DirectoryError([Fault(str(path), 0, "", "was replaced meanwhile: try again")])
        return found
