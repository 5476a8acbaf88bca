"""Series in files, as commands read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.terminal import USAGE, fail

if TYPE_CHECKING:
    from rules.baseline.history import History


def read_series(file: Path) -> History:
    """The even series of a CSV file; what cannot be read ends with 2."""
    from rules.baseline.history import read

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return read(lines)
    except OSError as error:
        fail(f"{file}: {error.strerror}", USAGE)
    except UnicodeDecodeError:
        fail(f"{file} is not text in UTF-8", USAGE)
    except ValueError as error:
        fail(f"{file}: {error}", USAGE)
