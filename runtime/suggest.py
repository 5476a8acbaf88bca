"""What to say of a name that is not known: the one that is probably meant, and how to quote it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_NAME = 80
"""Characters of a name, at most: a longer one is no misspelt name."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one probably stands for; large and small letters are the same."""
    if len(word) > LONGEST_NAME:
        return None
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return names[found[0]] if found else None


def quoted(text: str) -> str:
    """A text for people to read, in quotes and not too long."""
    return repr(text if len(text) <= 40 else text[:40] + "…")
