"""TypeScript's compiler, which checks the types of the pages' modules: pinned, brought by npm where Node is there."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.support.fetch import CACHE, NotFetched, brought

_LOCK = Path(__file__).with_name("package-lock.json")
_LIMIT_S = 60.0


class NoTypeScript(RuntimeError):
    """This machine cannot run it; the text says what it lacks."""


def compiler() -> list[str]:
    """The command that runs it. Raises NoTypeScript."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoTypeScript("needs Node and npm")
    place = CACHE / "typescript" / hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]

    def command(fresh: Path) -> list[str]:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_LOCK.with_name(name), fresh / name)
        return [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]

    try:
        return [node, str(brought(place, command, _LIMIT_S) / "node_modules/typescript/bin/tsc")]
    except NotFetched as error:
        raise NoTypeScript(f"npm could not bring TypeScript: {error}") from None
