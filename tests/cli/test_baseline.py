"""`tillwatch baseline import`: history from a file, for whoever leads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agents import imports
from runtime.redis import connect
from runtime.settings import Settings, load_settings
from tests.cli.conftest import Run
from tests.support.store import KillableStore

HOURS = 24 * 40
FIRST = 1_793_570_400
NOWHERE = {"TILLWATCH_REDIS": "redis://127.0.0.1:9", "TILLWATCH_KAFKA": "127.0.0.1:9"}


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "payments.csv"
    path.write_text("time,value\n" + "".join(f"{FIRST + 3_600 * hour},{900 + hour % 24}\n" for hour in range(HOURS)))
    return path


def imported(settings: Settings) -> list[imports.Imported]:
    async def ask() -> list[imports.Imported]:
        redis = connect(settings)
        try:
            return await imports.load(redis, settings.names)
        finally:
            await redis.aclose()

    return asyncio.run(ask())


@pytest.mark.integration
def test_five_weeks_are_kept_and_the_rule_is_named(run: Run, file: Path, store: KillableStore) -> None:
    where = {"TILLWATCH_REDIS": store.url, "TILLWATCH_KAFKA": "127.0.0.1:9", "TILLWATCH_NAMESPACE": "imp"}
    done = run("baseline", "import", "payments.csv", "--signal", "payment_volume", "--json", **where)
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["rules"], told["step_s"]) == (841, ["payment_volume_drop"], 3600)
    settings = load_settings(redis=store.url, kafka="127.0.0.1:9", namespace="imp")
    (one,) = imported(settings)
    assert (one.signal, one.group, one.step_ms, one.rows[-1]) == (
        "payment_volume", {}, 3_600_000, ((FIRST + 3_600 * (HOURS - 1)) * 1_000, 900 + (HOURS - 1) % 24)
    )  # fmt: skip

    again = run("baseline", "import", "payments.csv", "--signal", "payment_volume", "--group", "provider=ozow", **where)
    assert again.exit_code == 0
    assert "no rule compares payment_volume of provider ozow with its baseline" in again.stderr
    assert [found.group for found in imported(settings)] == [{}, {"provider": "ozow"}]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--signal", "payment_volum"], "no signal 'payment_volum' (did you mean payment_volume?)"),
        (["--signal", "payment_failure_rate"], "a baseline is learned of counts and totals; payment_failure_rate is a ratio"),
        (["--signal", "payment_volume", "--group", "provder=ozow"], "no dimension 'provder'"),
        (["--signal", "payment_volume", "--group", "ozow"], "--group takes a dimension and its value such as"),
    ],
)
def test_what_means_nothing_is_told(run: Run, file: Path, arguments: list[str], text: str) -> None:
    done = run("baseline", "import", "payments.csv", *arguments, **NOWHERE)
    assert done.exit_code == 2
    assert text in done.stderr


def test_a_file_that_is_no_count_is_told(run: Run, folder: Path) -> None:
    (folder / "rates.csv").write_text("time,value\n" + "".join(f"{FIRST + 3_600 * hour},0.5\n" for hour in range(9)))
    done = run("baseline", "import", "rates.csv", "--signal", "payment_volume", **NOWHERE)
    assert done.exit_code == 2
    assert "its values are whole numbers" in done.stderr
