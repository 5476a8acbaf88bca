"""What goes wrong in the simulated traffic, by name and time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from local import cast

Param = str | float


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of scenario: its parameters with their defaults, and a sentence about it."""

    params: dict[str, Param]
    says: str


FAULTS = MappingProxyType(
    {
        "provider_outage": Fault(
            {"provider": "ikhokha", "share": 0.97}, "{provider} fails {share:.0%} of its payments"
        ),
        "slow_provider": Fault({"provider": "ikhokha", "factor": 20.0}, "{provider} takes {factor:g} times as long"),
        "volume_drop": Fault({"share": 0.85}, "{share:.0%} of the customers stay away"),
        "brute_force": Fault(
            {"actor": "203.0.113.66", "rate": 2.0}, "{actor} guesses passwords, {rate:g} times a second"
        ),
        "bad_webhook_signatures": Fault(
            {"provider": "ozow", "rate": 0.5},
            "webhooks in the name of {provider} with wrong signatures, {rate:g} a second",
        ),
        "database_down": Fault({"share": 0.6}, "the database refuses {share:.0%} of its connections"),
        "memory_leak": Fault(
            {"host": "app-2", "percent": 97.0, "ramp": 0.3}, "memory of {host} climbs to {percent:g} percent"
        ),
        "source_silent": Fault({"source": "/webhooks/za-1"}, "{source} sends nothing any more"),
    }
)

_BOUNDS = {"share": 1.0, "ramp": 1.0, "percent": 100.0, "rate": 10_000.0, "factor": math.inf}
_KNOWN = {
    "provider": cast.PROVIDERS.things,
    "host": cast.HOSTS,
    "source": (*cast.SOURCES, cast.DEPLOYER, cast.LEDGER, *(f"/prober/{place}" for place in cast.PLACES)),
}
"""Who can be hurt: whoever appears in the traffic."""


class Scenario:
    """One fault from `start_s` to `end_s` (epoch seconds).

    Parameters and defaults are those of `FAULTS`: `share` and `ramp` are fractions, `rate` is per second. Raises
    ValueError for a name, parameter, type or span that makes no sense.
    """

    def __init__(self, name: str, start_s: float, end_s: float, **params: Param) -> None:
        if name not in FAULTS:
            raise ValueError(f"no scenario {name!r}{_nearest(name, FAULTS)}")
        defaults = FAULTS[name].params
        for param, value in params.items():
            if param not in defaults:
                raise ValueError(f"{name} has no parameter {param!r}{_nearest(param, defaults)}")
            if isinstance(value, str) != isinstance(defaults[param], str):
                raise ValueError(f"{name}: {param} cannot be {value!r}; the default is {defaults[param]!r}")
        if not 0 <= start_s < end_s < math.inf:
            raise ValueError(f"{name}: expected 0 ≤ start < end in epoch seconds, got {start_s} and {end_s}")
        self.name, self.start_s, self.end_s = name, start_s, end_s
        self._params = defaults | params
        for param, most in _BOUNDS.items():
            if param in self._params and not 0 < self.number(param) <= most:
                upto = f" and at most {most:g}" if most < math.inf else ""
                raise ValueError(f"{name}: {param} must be above 0{upto}, not {self._params[param]}")
        for param, known in _KNOWN.items():
            if param in self._params and self.text(param) not in known:
                raise ValueError(f"{name}: no {param} {self.text(param)!r}{_nearest(self.text(param), known)}")

    def __repr__(self) -> str:
        return f"Scenario({self.name!r}, {self.start_s}, {self.end_s}, {self._params})"

    def __str__(self) -> str:
        """What happens, in words."""
        return FAULTS[self.name].says.format(**self._params)

    def active(self, ms: int) -> bool:
        return self.start_s * 1000 <= ms < self.end_s * 1000

    def text(self, param: str) -> str:
        return str(self._params[param])

    def number(self, param: str) -> float:
        return float(self._params[param])


class Conditions:
    """How things are at a moment, given the scenarios."""

    def __init__(self, scenarios: Iterable[Scenario]) -> None:
        self.scenarios = tuple(scenarios)
        self._by_hour: dict[tuple[str, int], list[Scenario]] = defaultdict(list)
        for one in self.scenarios:
            for hour in range(int(one.start_s // 3600), int(one.end_s // 3600) + 1):
                self._by_hour[one.name, hour].append(one)

    def _active(self, name: str, ms: int) -> Iterable[Scenario]:
        return (one for one in self._by_hour.get((name, ms // 3_600_000), ()) if one.active(ms))

    def outage(self, provider: str, ms: int) -> float:
        """The share of the provider's payments that fail for technical reasons because of an outage."""
        return max(
            (one.number("share") for one in self._active("provider_outage", ms) if one.text("provider") == provider),
            default=0.0,
        )

    def slowness(self, provider: str, ms: int) -> float:
        """By how much the provider's latency is multiplied."""
        return max(
            (one.number("factor") for one in self._active("slow_provider", ms) if one.text("provider") == provider),
            default=1.0,
        )

    def customers(self, ms: int) -> float:
        """The share of customers that come."""
        return min((1 - one.number("share") for one in self._active("volume_drop", ms)), default=1.0)

    def refused(self, ms: int) -> float:
        """The share of database connections that are refused."""
        return max((one.number("share") for one in self._active("database_down", ms)), default=0.0)

    def memory(self, host: str, normal: float, ms: int) -> float:
        """Memory in use in percent, where it would be `normal`."""
        for one in self._active("memory_leak", ms):
            if one.text("host") == host:
                climbed = (ms / 1000 - one.start_s) / ((one.end_s - one.start_s) * one.number("ramp"))
                return max(normal, normal + (one.number("percent") - normal) * min(climbed, 1.0))
        return normal

    def silent(self, source: str, ms: int) -> bool:
        return any(one.text("source") == source for one in self._active("source_silent", ms))


def _nearest(name: str, known: Iterable[str]) -> str:
    match = get_close_matches(name, list(known), 1)
    return f": did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(known))}"
