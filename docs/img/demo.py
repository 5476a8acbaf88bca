"""Draws what the demonstration printed as a terminal: docs/img/demo.svg.

FORCE_COLOR=1 tillwatch demo --for 84s | python docs/img/demo.py > docs/img/demo.svg
"""

from __future__ import annotations

import io
import re
import sys
import textwrap

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 100
INDENT = 10
"""Columns of the time in front of a line."""
THEME = TerminalTheme(
    (18, 22, 28),
    (222, 226, 230),
    [
        *[(18, 22, 28), (255, 107, 107), (105, 219, 124), (255, 212, 59)],
        *[(116, 192, 252), (218, 119, 242), (102, 217, 232), (222, 226, 230)],
    ],
)
"""Of its own: the picture reads the same on a light and on a dark page."""


def picture(printed: str) -> str:
    """The SVG of what was printed, with its colours. It loads nothing from anywhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ make demo", style="bold"))
    for line in printed.splitlines():
        text = Text.from_ansi(line)
        style = text.spans[0].style if text.spans else ""
        plain = re.sub(r"(?<=once=)\S+", "…", text.plain.replace(" %", "\N{NO-BREAK SPACE}%"))
        for part in textwrap.wrap(plain, COLUMNS, subsequent_indent=" " * INDENT) or [""]:
            console.print(Text(part, style=style), soft_wrap=True)
    svg = console.export_svg(title="tillwatch demo", theme=THEME, unique_id="demo")
    return re.sub(r"\s*@font-face \{[^}]*\}", "", svg)


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read()))
