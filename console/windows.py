"""How long a window is, as it is asked for."""

from __future__ import annotations

from console.problems import Refused
from console.readings import FINE_MS, LONGEST_MS
from runtime.settings import duration_s


def length_ms(text: str) -> int:
    """Of `5m`, `1h` or `31d`: whole 10 s. Raises Refused."""
    try:
        seconds = duration_s(text)
    except ValueError as error:
        raise Refused(400, f"window: {error}") from None
    ms = round(float(str(seconds)) * 1000)
    if not FINE_MS <= ms <= LONGEST_MS or ms % FINE_MS:
        raise Refused(400, f"window={text[:20]!r}: expected whole 10 s, from 10s to 31d")
    return ms
