"""The built-in outbox: one file a message, shown as its recipient would see it."""

from __future__ import annotations

import stat
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from notifier.channels import outbox
from notifier.channels.base import Unreachable
from notifier.channels.settings import Around
from runtime.clock import ManualClock
from tests.support.messages import KEY, MESSAGE, message


def made(folder: Path, shows: outbox.View = "text", clock: ManualClock | None = None) -> outbox.Outbox:
    around = Around(outbox=folder / "outbox", clock=clock or ManualClock(1_790_000_000))
    return outbox.Outbox(shows, outbox.Settings(kind="outbox", shows=shows), around)


def terminal(folder: Path) -> str:
    written = StringIO()
    Console(file=written, width=100).print(outbox.rendered(outbox.read(folder / "outbox")))
    return written.getvalue()


async def test_a_message_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    receipt = await made(tmp_path).send(MESSAGE, "outbox")
    assert receipt.confirmed and receipt.id == f"01790000000000-text-{KEY}.json"
    (path,) = (tmp_path / "outbox").iterdir()
    assert path.name == receipt.id and stat.S_IMODE(path.stat().st_mode) == 0o600
    (shown,) = outbox.read(tmp_path / "outbox")
    assert (shown.at_ms, shown.channel, shown.recipient) == (1_790_000_000_000, "text", "Thandi Nkosi")


async def test_the_same_message_again_is_the_same_file(tmp_path: Path) -> None:
    clock = ManualClock(1_790_000_000)
    first = await made(tmp_path, clock=clock).send(MESSAGE, "outbox")
    clock.advance(60)
    assert await made(tmp_path, clock=clock).send(MESSAGE, "outbox") == first
    assert len(outbox.read(tmp_path / "outbox")) == 1


async def test_a_message_that_a_killed_process_left_half_written_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / f".01789999999000-text-{KEY}.json").write_text('{"at_ms": 17899')
    receipt = await made(tmp_path).send(MESSAGE, "outbox")
    assert [path.name for path in folder.iterdir()] == [receipt.id]
    assert len(outbox.read(folder)) == 1


async def test_the_oldest_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT", 3)
    clock = ManualClock(1_790_000_000)
    for number in range(5):
        clock.advance(1)
        await made(tmp_path, clock=clock).send(message(key=f"{number:064x}", title=f"page {number}"), "outbox")
    assert [shown.text.splitlines()[0][-6:] for shown in outbox.read(tmp_path / "outbox")] == ["page 2", "page 3", "page 4"]


@pytest.mark.parametrize(
    ("shows", "words"),
    [
        ("phone", "“Tillwatch. critical incident 41. Payments failing."),
        ("sms", "Acknowledge: https://pages.example/answer/TOKEN-ack"),
        ("email", "Subject: P0 #41: Payments failing"),
        ("slack", "[Acknowledge] [Resolve] [Escalate]"),
        ("webhook", '"type": "tillwatch.page"'),
        ("text", "provider=acme: 92 % of them"),
    ],
)
async def test_the_terminal_shows_what_the_recipient_would_see(tmp_path: Path, shows: outbox.View, words: str) -> None:
    await made(tmp_path, shows).send(MESSAGE, "outbox")
    seen = terminal(tmp_path)
    assert f"{shows} → Thandi Nkosi" in seen and "page, 2026-" in seen and words in seen


async def test_no_event_writes_to_the_terminal_but_words(tmp_path: Path) -> None:
    evil = "[red]x[/red] \x1b[2J\x1b]0;owned\x07 \u202eevil"
    await made(tmp_path).send(message(title=evil, summary=evil, recipient=evil), "outbox")
    seen = terminal(tmp_path)
    assert "[red]x[/red]" in seen and not {"\x1b", "\x07", "\u202e"} & set(seen)


async def test_a_file_that_is_none_is_left_out(tmp_path: Path) -> None:
    await made(tmp_path).send(MESSAGE, "outbox")
    (tmp_path / "outbox" / "01790000000001-text-x.json").write_text('{"at_ms": 1')
    (tmp_path / "outbox" / "01790000000002-text-x.json").write_text("[]")
    assert [shown.recipient for shown in outbox.read(tmp_path / "outbox")] == ["Thandi Nkosi"]
    assert outbox.read(tmp_path / "nowhere") == []


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in its place")
    with pytest.raises(Unreachable, match="the outbox cannot be written"):
        await made(tmp_path).send(MESSAGE, "outbox")
