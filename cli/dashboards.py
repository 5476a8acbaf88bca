"""`tillwatch setup dashboards`: Grafana dashboards over `/metrics`."""

from __future__ import annotations

import json
from pathlib import Path

from cli import installation
from cli.terminal import fail, note, say

FOLDER = "grafana"


def set_up(to: Path | None, force: bool) -> int:
    """Writes them; one that was changed is kept unless `force`."""
    from console.grafana import dashboards

    settings = installation.settings()
    folder = to or settings.data / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, dashboard in dashboards().items():
            path = folder / f"tillwatch-{name}.json"
            text = json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
            if not path.exists():
                did = "written"
            elif path.read_text(encoding="utf-8") == text:
                did = "same"
            elif force:
                did = "replaced"
            else:
                say(f"{'kept':8} {path} (not what ships; --force replaces it)")
                continue
            if did != "same":
                path.write_text(text, encoding="utf-8")
            say(f"{did:8} {path}")
    except OSError as error:
        fail(f"{folder} cannot be written: {error.strerror}")
    note(f"Prometheus scrapes http://{settings.console}/metrics; import the files in Grafana, or provision the folder")
    if settings.metrics != "signals":
        note("the panels on signals stay empty until TILLWATCH_METRICS=signals is set for the console", style="yellow")
    return 0
