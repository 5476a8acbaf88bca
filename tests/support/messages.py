"""Messages and channels of tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from notifier.channels.base import Message, Receipt

KEY = "5e" * 32
INCIDENT = "1c" * 16
SINCE_MS = 1_790_000_000_000

MESSAGE = Message(
    key=KEY,
    kind="page",
    incident=INCIDENT,
    number=41,
    title="Payments failing",
    severity="critical",
    level="P0",
    status="firing",
    summary="12.0 % of payments failed in 5 minutes (over 5 %)",
    lines=("41 of 342 failed", "provider=acme: 92 % of them", "deploy shop 1.4.2 three minutes before"),
    since_ms=SINCE_MS,
    recipient="Thandi Nkosi",
    url="https://console.example/incidents/41",
    runbook="https://console.example/runbooks/payment_failing",
    answer={
        "ack": "https://pages.example/answer/TOKEN-ack",
        "resolve": "https://pages.example/answer/TOKEN-resolve",
        "escalate": "https://pages.example/answer/TOKEN-escalate",
    },
)


def message(**changes: Any) -> Message:
    """The message, changed."""
    return replace(MESSAGE, **changes)


class Scripted:
    """A channel that does one thing after another, the last of them for ever: a receipt to return, an error to raise, or a
    function to wait for."""

    def __init__(self, name: str, *script: Any, now: Callable[[], float] | None = None) -> None:
        self.name, self._script, self._now = name, list(script) or [Receipt("r-1", "taken", confirmed=True)], now
        self.calls: list[float] = []
        self.addresses: list[str] = []
        self.threads: list[str | None] = []

    async def send(self, message: Message, address: str) -> Receipt:
        self.calls.append(self._now() if self._now else 0.0)
        self.addresses.append(address)
        self.threads.append(message.thread)
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if callable(step):
            step = await step()
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Receipt)
        return step

    async def close(self) -> None:
        pass
