"""How far the calls of actions are, as they stand in an incident: planned, approved, running, and what came of it. Pure.

Nothing is called here: `begin` says what is to be called, once it is saved and told that it runs. What a dead leader left
running is not known: a command is not run again by itself, a webhook is called again with the same key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from notifier.actions.occasions import Occasion
from notifier.actions.registered import Registered, Unfillable, about
from notifier.draft import Draft
from notifier.policy import ACTIONS_KEPT, ACTIONS_MOST, TEXT_KEPT
from schemas.incident import SYSTEM, UNDER_WAY, Action, ActionState, Incident, action_key


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a call. state: done, failed, timed_out or unknown."""

    incident: str
    key: str
    state: ActionState
    detail: str


ASKED = "asked for by hand"
_ENDED: dict[ActionState, str] = {
    "done": "is done",
    "failed": "failed",
    "timed_out": "took too long and was ended",
    "unknown": "ended in a way that is not known",
}


def plan(
    draft: Draft,
    one: Registered,
    occasion: Occasion,
    others: Iterable[Incident],
    *,
    by: str | None = None,
    trial: bool = False,
    ref: str | None = None,
) -> Action | None:
    """Notes a call that is due; None where there is nothing new to note. others: all other incidents. by: the person who asked
    for it, which is an approval as well; whether it can be called was looked at then."""
    now = draft.now_ms
    values = about(draft.it, occasion.about)
    aim, busy, unfillable = "", None, None
    try:
        aim = one.aim(draft.it.id, values)
    except Unfillable as error:
        unfillable = str(error)
    if by is None:
        if len(draft.it.actions) >= ACTIONS_MOST:
            return None
        latest = next((each for each in reversed(draft.it.actions) if (each.name, each.aim) == (one.name, aim)), None)
        busy = None if unfillable else why_busy((draft.it, *others), draft.it.id, one, aim, now)
        if latest is not None and (latest.planned_ms == now or (busy is not None and latest.state == "skipped")):
            return None  # said once is enough
    draft.set(acted=draft.it.acted + 1)
    call = Action(
        key=action_key(draft.it.id, draft.it.acted, one.name),
        name=one.name,
        means=one.means,
        state="approved",
        planned_ms=now,
        at_ms=now,
        why=occasion.why,
        registered=one.fingerprint,
        aim=aim,
        about=values,
        by=by,
        trial=trial or one.dry_run,
    )
    because = f"{by} asks for it" if by is not None else occasion.why
    if busy is not None:
        return _put(draft, call, "skipped", f"{one.name} is skipped ({because}): {busy}", detail=busy, ref=ref)
    if unfillable is not None:
        return _put(draft, call, "failed", f"{one.name} cannot be called ({because}): {unfillable}", detail=unfillable, ref=ref)
    shown = one.shown(call.about)[:TEXT_KEPT]
    dry = "a dry run of " if call.trial else ""
    if one.approval and by is None:
        until = now + round(one.approval_within_s * 1000)
        text = f"{dry}{one.name} waits for approval for {spoken(one.approval_within_s)} ({because}): it would call {shown}"
        return _put(draft, call, "waiting", text, until_ms=until, detail=f"it would call {shown}", ref=ref)
    return _put(draft, call, "approved", f"{dry}{one.name} is to be called ({because}): {shown}", by or SYSTEM, ref=ref)


def approve(draft: Draft, call: Action, by: str, ref: str) -> None:
    _put(draft, call, "approved", f"{by} approves {call.name}", by, ref=ref, by=by, until_ms=None, detail="")


def refuse(draft: Draft, call: Action, by: str, why: str, ref: str) -> None:
    says = f": {why}" if why else ""
    _put(draft, call, "refused", f"{by} refuses {call.name}{says}", by, ref=ref, by=by, until_ms=None, detail=why)


def expire(draft: Draft) -> bool:
    """Ends what was waited for too long; whether there was any."""
    late = [one for one in draft.it.actions if one.until_ms is not None and one.until_ms <= draft.now_ms]
    for one in late:
        _put(draft, one, "expired", f"nobody approved {one.name} in time: it is not called", until_ms=None, detail="")
    return bool(late)


def withdraw(draft: Draft, why: str) -> None:
    """What waits for approval is no longer wanted."""
    for one in draft.it.actions:
        if one.state == "waiting":
            _put(draft, one, "withdrawn", f"{one.name} is not called: {why}", until_ms=None, detail=why)


def begin(draft: Draft, room: int) -> None:
    """What was approved runs from now on, so many at most."""
    for one in draft.it.actions:
        if one.state == "approved" and len(draft.calls) < room:
            asked = one.trial and one.by is not None and one.why == ASKED
            began = None if asked else draft.now_ms
            draft.calls.append(_put(draft, one, "running", f"{one.name} runs", began_ms=began))


def resume(draft: Draft, under_way: Iterable[str]) -> None:
    """Takes over from a leader that is gone. under_way: keys of calls that go on in this very process."""
    for one in draft.it.actions:
        if one.state != "running" or one.key in under_way:
            continue
        if one.means == "command" and not one.trial:
            text = f"whether {one.name} was done is not known: the notifier that ran it is gone; it is not run again by itself"
            _put(draft, one, "unknown", text, detail="the notifier that ran it is gone")
        else:
            text = f"{one.name} is called again with the same key: the notifier that called it is gone"
            draft.calls.append(_put(draft, one, "running", text))


def end(draft: Draft, ran: Ran) -> bool:
    """Notes what came of a call; whether that is news."""
    call = next((one for one in draft.it.actions if one.key == ran.key), None)
    if call is None or call.state not in ("running", "unknown"):
        return False
    says = f": {ran.detail}" if ran.detail else ""
    _put(draft, call, ran.state, f"{call.name} {_ENDED[ran.state]}{says}", detail=ran.detail)
    return True


def why_busy(incidents: Iterable[Incident], here: str, one: Registered, aim: str, now_ms: int) -> str | None:
    """Why an action cannot be called for the incident `here` now; None where it can."""
    for incident in incidents:
        if incident.id == here and len(incident.actions) >= ACTIONS_MOST:
            return f"there are {len(incident.actions)} calls for #{incident.number} already"
        for call in incident.actions:
            if (call.name, call.aim) != (one.name, aim):
                continue
            if call.state in ("approved", "running") or (call.state == "waiting" and incident.id == here):
                how = "waits for approval" if call.state == "waiting" else "is under way"
                return f"it {how} already (#{incident.number})"
            began = call.began_ms
            if began is not None and now_ms < began + one.cool_down_s * 1000:
                ago = spoken((now_ms - began) / 1000)
                return f"it was called {ago} ago (#{incident.number}), and cools down for {spoken(one.cool_down_s)}"
    return None


def waiting(incident: Incident, wanted: str) -> Action | None:
    """The call with this key, or the one of this name that waits."""
    keyed = (one for one in incident.actions if one.key == wanted)
    return next(keyed, next((one for one in incident.actions if one.name == wanted and one.state == "waiting"), None))


def is_over(call: Action, since_ms: int) -> bool:
    """Whether nothing depends on it any more, cool-downs that began before `since_ms` being over."""
    return call.state not in UNDER_WAY and (call.began_ms or 0) < since_ms


def spoken(seconds: float) -> str:
    """`45 s`, `15 min`, `2 h`."""
    for width, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * width or seconds == width:
            return f"{seconds / width:.3g} {unit}"
    return f"{seconds:.3g} s"


def _put(
    draft: Draft, call: Action, state: ActionState, text: str, author: str = SYSTEM, ref: str | None = None, **more: Any
) -> Action:
    """Brings a call into a state, and says so on the timeline."""
    now = msgspec.structs.replace(call, state=state, at_ms=draft.now_ms, **more)
    calls = [now if one.key == now.key else one for one in draft.it.actions]
    if all(one.key != now.key for one in calls):
        calls.append(now)
    cooling = {(one.name, one.aim): one.key for one in calls if one.began_ms is not None}  # the latest of each
    over = [one.key for one in calls if one.state not in UNDER_WAY and cooling.get((one.name, one.aim)) != one.key]
    over = over[: max(len(calls) - ACTIONS_KEPT, 0)]
    kept = tuple(one for one in calls if one.key not in over)
    waits = [one.until_ms for one in kept if one.until_ms is not None]
    full = len(draft.it.actions) < ACTIONS_MOST <= len(kept)
    draft.set(actions=kept, act_at=min(waits, default=None))
    draft.say("action", text, author, ref or now.key)
    if full:
        draft.say("action", f"no more actions are called for it: there are {ACTIONS_MOST} calls that may not be forgotten yet")
    return now
