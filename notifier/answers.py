"""From an answer by link, button or key to a command, and back to a sentence for whoever answered."""

from __future__ import annotations

from notifier.callbacks import Answered
from notifier.store import Counter
from schemas.incident import Command, CommandKind

WITHIN_S = 8.0
"""Less than a request may take."""
KINDS: dict[str, CommandKind] = {
    "ack": "ack",
    "resolve": "resolve",
    "escalate": "escalate",
    "approve": "approve",
    "refuse": "refuse",
}


async def answer(counter: Counter, told: Answered) -> str:
    """Hands it in. Raises what redis raises where that is away; then nothing was done."""
    kind, _, name = told.action.partition("/")
    text = f"{told.page} by {told.via}" if name else f"by {told.via}"
    command = Command(told.id, KINDS[kind], told.by or told.issued_to, told.incident, text)
    found = await counter.send(command, WITHIN_S)
    if found is None:
        return "It is noted, and will be done in a moment."
    return f"Incident {found.text}." if found.done else f"{found.text}."
