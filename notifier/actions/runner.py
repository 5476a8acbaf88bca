"""Calling an action: a program that is run, or a signed webhook that is posted, within its limits; what came of it in words.

What an event says reaches a program as JSON on stdin, in `TILLWATCH_…` variables, and as whole arguments where a placeholder
asks for it; never through a shell. The notifier's own settings do not reach it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from notifier.actions import command
from notifier.actions.calls import Ran
from notifier.actions.registered import Registered, Unfillable
from notifier.channels.base import Refused, Unreachable, cut, line
from notifier.channels.guard import Guard
from notifier.channels.webhook import key_of, post
from runtime.clock import Clock
from schemas.incident import Action, ActionState, Incident, incident_event
from schemas.time import rfc3339

log = logging.getLogger(__name__)

ATTEMPTS = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Variables of the notifier's that every program gets."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHAR_BYTES = 4
_MARGIN_BYTES = 64
"""So that a number which was cut off at its beginning, and is not known for what it is, is not among what is kept."""


class Runner:
    """Calls actions. registered: those of the file as it is now; redact: takes out of a text what must not be kept."""

    def __init__(
        self,
        registered: Callable[[], Mapping[str, Registered]],
        clock: Clock,
        redact: Callable[[str], str] = str,
        random: Random | None = None,
    ) -> None:
        self._registered, self._clock, self._redact, self._random = registered, clock, redact, random or Random()

    async def call(self, incident: Incident, call: Action) -> Ran:
        """Calls it once, and tells what came of it. Takes at most its time limit and a few seconds; raises nothing but
        CancelledError, after which a program is killed."""
        one = self._registered().get(call.name)
        try:
            if one is None:
                state, said = _failed("no action of this name is registered any more")
            elif one.fingerprint != call.registered:
                state, said = _failed("what it calls is not what was registered when it was planned")
            elif call.trial:
                state, said = "done", f"dry run: it would call {one.shown(call.about)}"
            elif one.webhook is not None:
                state, said = await self._webhook(one, one.webhook, incident, call)
            else:
                state, said = await self._command(one, incident, call)
        except Unfillable as error:
            state, said = _failed(str(error))
        detail = line(self._redact(said))
        level = logging.INFO if state == "done" else logging.WARNING
        log.log(level, "action %s %.12s: %s: %s", call.name, call.key, state, detail)
        return Ran(incident.id, call.key, state, detail)

    # --- a program --------------------------------------------------------------------------------------------------------

    async def _command(self, one: Registered, incident: Incident, call: Action) -> tuple[ActionState, str]:
        said = body(incident, call, int(self._clock.now()))
        try:
            ended = await command.run(
                one.arguments(call.about),
                said,
                environment(one, call),
                one.folder,
                one.time_limit_s,
                one.output * _CHAR_BYTES + _MARGIN_BYTES,
            )
        except (OSError, ValueError) as error:
            why = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
            return _failed(f"it cannot be started: {why}")
        # Redacted before it is cut, so that no part of what must not be kept is left.
        output = line(self._redact(ended.output.decode("utf-8", "replace")))
        if ended.more or len(output) > one.output:
            output = f"…{output[-one.output :]}" if one.output else ""
        told = f": {output}" if output else ""
        if ended.late:
            return "timed_out", f"{ended.how} after {ended.took_s:.1f} s, it had {one.time_limit_s:g} s{told}"
        return "done" if ended.code == 0 else "failed", f"{ended.how} after {ended.took_s:.1f} s{told}"

    # --- a webhook --------------------------------------------------------------------------------------------------------

    async def _webhook(self, one: Registered, url: str, incident: Incident, call: Action) -> tuple[ActionState, str]:
        loop = asyncio.get_running_loop()
        keys, guard, last = [key_of(secret) for secret in one.secrets], Guard(one.allow), "no answer"
        deadline = loop.time() + one.time_limit_s
        try:
            async with asyncio.timeout(one.time_limit_s):
                for number in range(ATTEMPTS):
                    now = int(self._clock.now())
                    try:
                        answer = await post(url, call.key, now, body(incident, call, now), keys, guard)
                    except Unreachable as error:
                        last = str(error)
                        wait = self._random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number))
                        wait = max(wait, error.retry_after_s or 0.0)
                        if number + 1 == ATTEMPTS or loop.time() + wait >= deadline:
                            return _failed(f"{last}, after {number + 1} attempt{'s' if number else ''}")
                        await asyncio.sleep(wait)
                    else:
                        said = cut(line(self._redact(answer.body.decode("utf-8", "replace"))), one.output)
                        return "done", f"answered {answer.status}" + (f": {said}" if said else "")
        except Refused as error:
            return _failed(str(error))
        except TimeoutError:
            pass
        return "timed_out", f"{last} within {one.time_limit_s:g} s"


def _failed(why: str) -> tuple[ActionState, str]:
    return "failed", why


def body(incident: Incident, call: Action, timestamp: int) -> bytes:
    """What a program reads on stdin and a webhook gets: `type`, `timestamp` and `data`, with the incident as its lifecycle
    events tell it."""
    data: dict[str, Any] = {
        "action": call.name,
        "key": call.key,
        "why": call.why,
        "by": call.by,
        "about": call.about,
        "incident": incident_event("", "action", incident, ()).data.model_dump(mode="json", exclude={"entries", "actions"}),
    }
    said = {"type": "tillwatch.action", "timestamp": rfc3339(timestamp * 1000), "data": data}
    return json.dumps(said, separators=(",", ":")).encode()


def environment(one: Registered, call: Action) -> dict[str, str]:
    """The variables of a program: a few of the notifier's, those that the file names, and what it is called for."""
    found = {name: os.environ[name] for name in (*PASSED_ON, *one.environment) if name in os.environ}
    found.setdefault("PATH", DEFAULT_PATH)
    said = {"ACTION": call.name, "ACTION_KEY": call.key, "ACTION_WHY": call.why, "ACTION_BY": call.by or ""}
    said |= {("INCIDENT" if name == "incident" else f"INCIDENT_{name.upper()}"): text for name, text in call.about.items()}
    return found | {f"TILLWATCH_{name}": line(text) for name, text in said.items()}
