"""The description of the API, made from the routes: `python -m console.openapi [--check]`.

Writes `console/openapi.json`, and its shapes as types for the modules of the pages. With `--check` nothing is written;
differences are printed, and exit 1.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.api import application
from console.typescript import declarations

FILE = Path(__file__).with_name("openapi.json")
TYPES = Path(__file__).with_name("pages") / "types" / "api.d.ts"


def documents() -> Mapping[Path, str]:
    """What each file should hold: OpenAPI 3.1 of all routes, and the types of its shapes."""
    document = application().openapi()
    return {
        FILE: json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        TYPES: declarations(document),
    }


def difference(file: Path, made: str) -> list[str]:
    """Lines of a unified diff from what the file holds to what it should; empty if there is none."""
    held = file.read_text(encoding="utf-8") if file.exists() else ""
    due = f"{file.name} (from the routes)"
    return list(difflib.unified_diff(held.splitlines(), made.splitlines(), file.name, due, lineterm=""))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m console.openapi", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    made = documents()
    if not parser.parse_args(arguments).check:
        for file, text in made.items():
            file.write_text(text, encoding="utf-8")
        return 0
    stale = {file: lines for file, text in made.items() if (lines := difference(file, text))}
    for file, lines in stale.items():
        print("\n".join(lines))
        print(f"{file.name} differs from the routes: run 'python -m console.openapi'", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
