"""Log lines: one each, with secrets masked."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from runtime import log


@pytest.fixture(autouse=True)
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _logged(
    text: str, *, json_lines: bool = False, secrets: tuple[str, ...] = (), error: Exception | None = None
) -> str:
    stream = io.StringIO()
    log.set_up(json_lines=json_lines, secrets=secrets, stream=stream)
    logging.getLogger("agents.measure").error(text, exc_info=error)
    return stream.getvalue()


def test_an_entry_is_one_line_even_when_its_text_is_two_and_something_was_raised() -> None:
    assert _logged("first\nsecond", error=ValueError("third")).count("\n") == 1


def test_a_password_in_a_url_is_masked() -> None:
    line = _logged("cannot reach redis://till:hunter2@redis-1:6379/0")
    assert "hunter2" not in line
    assert "redis://***@redis-1:6379/0" in line


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    line = _logged("refused", secrets=("s3cret",), error=ValueError("AUTH s3cret"))
    assert "s3cret" not in line


def test_json_lines_are_json() -> None:
    line = json.loads(_logged('said "no"', json_lines=True))
    assert line["message"] == 'said "no"'
    assert line["level"] == "ERROR"
    assert line["logger"] == "agents.measure"


def test_every_text_goes_through_the_redaction_of_the_caller() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream, redact=lambda text: text.replace("4111", "****"))
    logging.getLogger("x").warning("card 4111")
    assert "card ****" in stream.getvalue()


def test_libraries_are_heard_from_warning_on_unless_debugging() -> None:
    stream = io.StringIO()
    log.set_up("info", stream=stream)
    logging.getLogger("aiokafka.consumer").info("metadata")
    log.set_up("debug", stream=stream)
    logging.getLogger("aiokafka.consumer").info("more metadata")
    assert [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()] == ["more metadata"]


def test_what_faust_says_in_our_name_is_not_taken_for_ours() -> None:
    stream = io.StringIO()
    log.set_up(stream=stream)
    logger = logging.getLogger("agents.transport")
    for path in ("/venv/site-packages/mode/services.py", "/app/agents/transport.py"):
        logger.handle(logger.makeRecord(logger.name, logging.INFO, path, 1, f"said in {path}", (), None))
    assert [line.rsplit("said in ", 1)[1] for line in stream.getvalue().splitlines()] == ["/app/agents/transport.py"]
