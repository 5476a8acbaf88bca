"""A night on call with registered actions: what is called when, and what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from notifier.actions.calls import Ran
from notifier.actions.registered import On, Registered
from schemas.incident import Action, ActionState, Incident
from tests.support.night import Night

DRAIN = ("/usr/local/bin/drain", "{provider}")


def registered(name: str = "drain", *on: On, **more: Any) -> Registered:
    """An action on `provider_down`, unless said otherwise."""
    command = () if "webhook" in more else DRAIN
    return Registered(name, on or (On(rules=("provider_down",)),), **({"command": command} | more))


class Acting(Night):
    """A night whose actions are called in `begun`, and end when the test says so."""

    def __init__(self, *actions: Registered, **more: Any) -> None:
        super().__init__(**more)
        self.called: list[str] = []
        self.register(*actions)

    def register(self, *actions: Registered) -> None:
        """These are registered from now on."""
        self.duty = replace(self.duty, actions={one.name: one for one in actions})
        self.desk.duty = self.duty

    def begun(self, room: int = 100) -> list[str]:
        """Takes up what is approved, so many at most: `0:30 drain #1` for each call."""
        before = len(self.called)
        changes = self.desk.begin(self.now_ms, room)
        self._told(changes)
        self._note([(one.incident, call) for one in changes.incidents for call in one.calls])
        return self.called[before:]

    def resumed(self, *under_way: str) -> list[str]:
        """Another leader takes over: what it calls at once."""
        before = len(self.called)
        self.restart()
        changes = self.desk.resume(self.now_ms, under_way)
        self._told(changes)
        self._note([(one.incident, call) for one in changes.incidents for call in one.calls])
        return self.called[before:]

    def _note(self, calls: list[tuple[Incident, Action]]) -> None:
        self.called += [f"{self.clock} {call.name} #{incident.number}" for incident, call in calls]

    def ended(
        self, state: ActionState = "done", detail: str = "exit code 0", number: int = 1, name: str = "drain"
    ) -> list[str]:
        """What came of the latest call of an action; the messages that follow."""
        before = len(self.log)
        call = self.call(number, name)
        self._told(self.desk.ended([Ran(self.incident(number).id, call.key, state, detail)], self.now_ms))
        return self.log[before:]

    def call(self, number: int = 1, name: str = "drain") -> Action:
        """The latest call of an action."""
        return next(one for one in reversed(self.incident(number).actions) if one.name == name)

    def states(self, number: int = 1, name: str = "drain") -> list[str]:
        """How the calls of an action are, the oldest first."""
        return [one.state for one in self.incident(number).actions if one.name == name]
