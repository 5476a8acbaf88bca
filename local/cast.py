"""Who appears in the simulated traffic: providers, merchants, courses, machines. All invented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Mix(Generic[T]):
    """Things that are drawn by weight."""

    def __init__(self, weights: dict[T, float]) -> None:
        self.things: tuple[T, ...] = tuple(weights)
        self._steps: Sequence[float] = tuple(accumulate(weights.values()))

    def draw(self, rng: Random) -> T:
        return rng.choices(self.things, cum_weights=self._steps)[0]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to pay. `latency_ms`: the median; `spread`: sigma of its logarithm; `declines`: share of finished payments
    that the customer's bank turns down."""

    latency_ms: float
    spread: float
    declines: float


METHODS = {
    "card": Method(1500.0, 0.50, 0.105),
    "eft": Method(2600.0, 0.55, 0.085),
    "qr": Method(1100.0, 0.40, 0.090),
}
PROVIDERS = Mix({"ikhokha": 0.35, "ozow": 0.25, "peach": 0.20, "payfast": 0.12, "stitch": 0.08})
METHODS_OF = {
    "ikhokha": Mix({"card": 0.75, "qr": 0.25}),
    "ozow": Mix({"eft": 1.0}),
    "peach": Mix({"card": 0.9, "eft": 0.1}),
    "payfast": Mix({"card": 0.6, "eft": 0.25, "qr": 0.15}),
    "stitch": Mix({"eft": 1.0}),
}
CURRENCIES = Mix({"ZAR": 0.94, "USD": 0.03, "EUR": 0.02, "GBP": 0.01})
PRICES = Mix({49_00: 2.0, 99_00: 4.0, 199_00: 5.0, 399_00: 6.0, 799_00: 3.0, 1499_00: 1.5, 2999_00: 0.5})
MERCHANTS = Mix({f"m{number:02d}": 1 / number for number in range(1, 41)})  # Zipf's law
COURSES = Mix({"bookkeeping": 3.0, "python": 2.5, "welding": 1.5, "first-aid": 2.0, "driving": 1.0, "english": 2.0})

DECLINES = Mix(
    {
        "insufficient_funds": 0.46,
        "do_not_honour": 0.18,
        "limit_exceeded": 0.13,
        "incorrect_otp": 0.13,
        "expired_card": 0.10,
    }
)
BREAKDOWNS = Mix({"gateway_timeout": 0.5, "provider_error": 0.35, "network_error": 0.15})
OUTAGE_REASONS = Mix({"provider_unavailable": 0.7, "gateway_timeout": 0.3})

CHECKOUTS = Mix({"/checkout/za-1": 0.6, "/checkout/za-2": 0.4})
WEBHOOKS, ENROLLMENTS, LOGIN, DEPLOYER = "/webhooks/za-1", "/enrollments/za-1", "/login/za-1", "/deployer"
HOSTD, LEDGER = "/hostd/za", "/ledger/za-1"
SOURCES = {
    "/checkout/za-1": "payments",
    "/checkout/za-2": "payments",
    WEBHOOKS: "webhooks",
    ENROLLMENTS: "enrollments",
    LOGIN: "security",
    HOSTD: "platform",
}
"""The services that tell that they are alive, and on which subject."""

PLACES = ("jnb", "cpt")
PROBED = {
    "checkout": ("za-1", "za-2"),
    "webhook-worker": ("w-1",),
    "enrollment-api": ("e-1",),
    "payments-db": ("primary",),
    **{provider: ("api",) for provider in PROVIDERS.things},
}
"""Component → its instances; each is probed from every place."""
DATABASE = "payments-db"

HOSTS = ("app-1", "app-2", "worker-1", "db-1")
RESOURCES = {"cpu": 34.0, "memory": 58.0, "disk": 41.0, "network": 12.0}
"""Resource → what it hovers around, in percent."""

ROUTES = Mix({"GET /courses": 5.0, "GET /courses/{id}": 4.0, "GET /account": 1.0})
FEATURES = ("card-payment", "instant-eft", "qr-payment")
SCORES = Mix({5: 0.55, 4: 0.25, 3: 0.1, 2: 0.06, 1: 0.04})
