"""Adding an override to a file that somebody else may be writing to."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notifier.overrides import append
from notifier.people.directory import Directory, DirectoryError

TEAMS = '[people.thandi]\ncontacts = {email = "thandi@example.com"}\n[teams.payments]\nprimary = "thandi"\n'
BEGIN = datetime(2026, 1, 12, 10, tzinfo=UTC)


def add(path: Path) -> Directory:
    return append(path, who=["thandi"], team="payments", level="primary", begin=BEGIN, end=BEGIN + timedelta(hours=1))


def test_what_is_wrong_already_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "teams.toml"
    path.write_text(f"{TEAMS}x = [\n")
    with pytest.raises(DirectoryError, match="not TOML"):
        add(path)
    assert path.read_text() == f"{TEAMS}x = [\n"


def test_a_file_that_an_editor_replaced_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "teams.toml"
    path.write_text(TEAMS)

    def replaced(fd: int) -> None:
        (tmp_path / "new").write_text("# new\n")
        (tmp_path / "new").replace(path)

    monkeypatch.setattr(os, "fsync", replaced)
    with pytest.raises(DirectoryError, match="was replaced meanwhile: try again"):
        add(path)
    assert path.read_text() == "# new\n"


def test_what_was_added_is_in_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "teams.toml"
    path.write_text(TEAMS)
    [override] = add(path).teams["payments"].levels["primary"].overrides
    assert (override.people, override.begin) == (("thandi",), BEGIN)
    assert len(add(path).teams["payments"].levels["primary"].overrides) == 2
