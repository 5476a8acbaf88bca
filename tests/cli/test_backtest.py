"""`tillwatch rules backtest`: pages over a file, their score, and files that are no series."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

MONDAY = 1_793_570_400
HOURS = 24 * 16


def text(*, labels: bool, outage: tuple[int, int] = (300, 304), after: int = 0) -> str:
    """Hours of 900 to 1,100 payments, but for an outage."""
    rows = ["time,value,label" if labels else "time,value"]
    for hour in range(HOURS):
        bad = outage[0] <= hour < outage[1]
        value = after if bad else 1000 + (hour * 37 % 201 - 100)
        rows.append(f"{MONDAY + hour * 3600},{value}" + (f",{int(bad)}" if labels else ""))
    return "\n".join(rows) + "\n"


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "payments.csv"
    path.write_text(text(labels=True))
    return path


def test_pages_and_their_score_are_printed(run: Run, file: Path) -> None:
    done = run("rules", "backtest", "payments.csv")
    assert done.exit_code == 0, done.stderr
    assert "2026-11-14 13:00  2026-11-14 17:00" in done.stdout
    assert "1 page in 16.0 days of payments.csv, times in Africa/Johannesburg" in done.stdout
    assert "labelled: 1 of 1 detected, 60 min after its start in the middle; 0 false pages" in done.stdout


def test_json_holds_the_same_for_programs(run: Run, file: Path) -> None:
    told = json.loads(run("rules", "backtest", "payments.csv", "--json", "--zone", "UTC").stdout)
    (page,) = told["pages"]
    assert (page["opened"], page["closed"]) == ("2026-11-14T11:00:00.000Z", "2026-11-14T15:00:00.000Z")
    assert page["value"] == 0
    assert page["expected"] == pytest.approx(1000, rel=0.1)
    assert page["explanation"].startswith("Volume: 0 in 1 h, expected ")
    assert told["score"] == {
        "intervals": 1,
        "detected": 1,
        "missed": 0,
        "false_pages": 0,
        "false_pages_a_week": 0.0,
        "median_delay_s": 3600.0,
    }


def test_the_share_decides(run: Run, folder: Path) -> None:
    (folder / "slow.csv").write_text(text(labels=False, after=600))
    for below, pages in (("50%", 0), ("80%", 1)):
        told = json.loads(run("rules", "backtest", "slow.csv", "--below", below, "--json").stdout)
        assert len(told["pages"]) == pages
        assert told["score"] is None


def test_a_holiday_that_is_skipped_pages_nobody(run: Run, file: Path, folder: Path) -> None:
    (folder / "days.txt").write_text("2026-11-14 skip\n")
    told = json.loads(run("rules", "backtest", "payments.csv", "--holidays", "days.txt", "--json").stdout)
    assert told["pages"] == []


def test_a_page_that_is_open_at_the_end_says_so(run: Run, folder: Path) -> None:
    (folder / "down.csv").write_text(text(labels=False, outage=(HOURS - 3, HOURS)))
    assert "2026-11-17 22:00  open" in run("rules", "backtest", "down.csv").stdout
    assert json.loads(run("rules", "backtest", "down.csv", "--json").stdout)["pages"][0]["closed"] is None


def test_less_than_a_day_is_learning(run: Run, folder: Path) -> None:
    (folder / "short.csv").write_text("".join(f"{MONDAY + at * 60},5\n" for at in range(100)))
    done = run("rules", "backtest", "short.csv")
    assert done.exit_code == 0
    assert "LEARNING" in done.stdout


def test_what_is_odd_about_the_file_is_told_beside_the_answer(run: Run, folder: Path) -> None:
    (folder / "gap.csv").write_text("".join(f"{MONDAY + at * 60},5\n" for at in range(100) if at != 50))
    done = run("rules", "backtest", "gap.csv", "--json")
    assert "1 step missing before" in done.stderr
    assert json.loads(done.stdout)["remarks"] == ["1 step missing before 2026-11-01T22:51:00.000Z"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.csv"], "none.csv: No such file"),
        (["payments.csv", "--below", "half"], "a share of the baseline such as 50%"),
        (["payments.csv", "--below", "150%"], "a share of the baseline such as 50%"),
        (["payments.csv", "--zone", "Mars"], "no time zone 'Mars'"),
        (["payments.csv", "--holidays", "none.txt"], "none.txt: No such file"),
        (["payments.csv", "--holidays", "payments.csv"], "line 1: expected a date"),
        (["payments.csv", "--window", "15"], "15"),
        (["broken.csv"], "broken.csv: line 2: expected a number, not 'x'"),
        (["bytes.csv"], "is not text in UTF-8"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(
    run: Run, file: Path, folder: Path, arguments: list[str], told: str
) -> None:
    (folder / "broken.csv").write_text("0,1\n60,x\n")
    (folder / "bytes.csv").write_bytes(b"0,1\n60,\xff\n")
    done = run("rules", "backtest", *arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""
