"""What tests need and the repository does not hold: brought by its own program the first time, then kept in `.cache`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"


class NotFetched(RuntimeError):
    """It is not to be had here; the text says why."""


def brought(place: Path, command: Callable[[Path], Sequence[str]], limit_s: float) -> Path:
    """`place`, a folder below `CACHE`: as it is kept, or as a command leaves the empty folder that it is given. Of two tests
    that fetch at once one keeps it. Raises NotFetched."""
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="fetching-", dir=place.parent))
    try:
        done = subprocess.run(command(fresh), cwd=fresh, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode:
            raise NotFetched((done.stdout + done.stderr).strip()[-500:])
        fresh.chmod(0o755)
        if not place.is_dir():
            fresh.rename(place)
    except subprocess.TimeoutExpired:
        raise NotFetched(f"not within {limit_s:.0f} s") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place
