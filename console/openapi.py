"""The description of the API, made from the routes: `python -m console.openapi [--check]`.

Writes `console/openapi.json`. With `--check` nothing is written; a difference is printed, and exit 1.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from console.api import application

FILE = Path(__file__).with_name("openapi.json")


def document() -> str:
    """OpenAPI 3.1 of all routes."""
    return json.dumps(application().openapi(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def difference(file: Path = FILE) -> list[str]:
    """Lines of a unified diff from what the file holds to what it should; empty if there is none."""
    held = file.read_text(encoding="utf-8") if file.exists() else ""
    made = f"{file.name} (from the routes)"
    return list(difflib.unified_diff(held.splitlines(), document().splitlines(), file.name, made, lineterm=""))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m console.openapi", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    if not parser.parse_args(arguments).check:
        FILE.write_text(document(), encoding="utf-8")
        return 0
    lines = difference()
    if lines:
        print("\n".join(lines))
        print(f"{FILE.name} differs from the routes: run 'python -m console.openapi'", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
