"""Logging: one line an entry, to stderr, with secrets masked."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TextIO

_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@]*@", re.IGNORECASE)
_QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio")
_CHATTY = tuple(f"{os.sep}site-packages{os.sep}{name}{os.sep}" for name in ("mode", "faust"))
MASK = "***"


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without user and password of any URL in it, and without these secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _USERINFO.sub(rf"\g<scheme>{MASK}@", text)


class _Formatter(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...], redact: Callable[[str], str]) -> None:
        super().__init__()
        self._secrets, self._redact = secrets, redact

    def _clean(self, text: str) -> str:
        return self._redact(masked(text, self._secrets))

    def _parts(self, record: logging.LogRecord) -> tuple[str, str, str | None]:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        raised = record.exc_info[1] if record.exc_info else None
        trace = "".join(traceback.format_exception(raised)) if raised is not None else None
        return at, self._clean(record.getMessage()), None if trace is None else self._clean(trace)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Faust tells the comings and goings of its services under the name of the module that subclasses them: ours."""
    return record.levelno >= logging.WARNING or not any(part in record.pathname for part in _CHATTY)


class TextFormatter(_Formatter):
    """`2026-11-23T08:00:00.123Z INFO agents.measure: text`; line breaks in the text become ` | `."""

    def format(self, record: logging.LogRecord) -> str:
        at, message, trace = self._parts(record)
        line = f"{at} {record.levelname} {record.name}: {message}"
        if trace is not None:
            line += "\n" + trace.strip()
        return re.sub(r"\s*[\r\n]+\s*", " | ", line)


class JsonFormatter(_Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `message`, and `trace` where something was raised."""

    def format(self, record: logging.LogRecord) -> str:
        at, message, trace = self._parts(record)
        line = {"at": at, "level": record.levelname, "logger": record.name, "message": message}
        return json.dumps(line if trace is None else line | {"trace": trace}, ensure_ascii=False)


def set_up(
    level: str = "INFO",
    *,
    json_lines: bool = False,
    secrets: Iterable[str] = (),
    redact: Callable[[str], str] = str,
    stream: TextIO | None = None,
) -> None:
    """Sends every log entry from `level` on to stderr, one line each, in place of what was set up before.

    Libraries are heard from WARNING on, unless `level` is DEBUG. `redact` is applied to every text after the secrets
    are masked. Raises ValueError for an unknown level.
    """
    formatter = JsonFormatter if json_lines else TextFormatter
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter(tuple(secret for secret in secrets if secret), redact))
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [handler]
    debugging = root.level <= logging.DEBUG
    if not debugging:
        handler.addFilter(_worth_saying)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if debugging else logging.WARNING)
