"""What a look of the engine costs: CPU time of one look at the shipped rules on payments and requests, by traffic.

    python -m bench.look [--steps N] [--profile]

An hour and five minutes of healthy traffic are held; then a quarter of a second of it comes before each look, as a flush brings
it, and a tenth of a second after that the engine looks again with nothing new.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from random import Random

from bench.quiet import BUCKET_MS, HOUR_MS, START_MS, Batch, Drawn, Shop, Simulation, cell_of, chosen, shipped

HELD_MS = 65 * 60_000
FLUSH_MS = 250
NOON_MS = START_MS + 12 * HOUR_MS
NEVER_MS = 10**15
METHODS = ("card", "eft")


class Mall(Shop):
    """A shop with as many providers as one likes, all alike."""

    def __init__(self, rate: float, rng: Random, providers: int) -> None:
        super().__init__(rate, rng)
        kinds = [
            (self._payment(verb, f"provider-{number}", method, "ZAR", fault, reason), method, share)
            for number in range(providers)
            for method in METHODS
            for (verb, fault, reason), share in self._shares(method)
        ]
        self._classes = [(key, method) for key, method, _ in kinds]
        self._weights = [share for _, _, share in kinds]


def until(batch: Batch, ms: int) -> Batch:
    """What had happened by then."""
    places = [place for place, at in enumerate(batch.times) if at < ms]
    columns = [[column[place] for place in places] if column else [] for column in batch.columns]
    return Batch([batch.times[place] for place in places], columns)


def measure(name: str, shop: Shop, steps: int, profile: cProfile.Profile | None) -> str:
    """A line of Markdown: what a look costs on average in ms, with news and without."""
    rules = chosen(shipped(None), Shop)
    simulation = Simulation(rules, NEVER_MS)
    for bucket in range(NOON_MS - HELD_MS, NOON_MS, BUCKET_MS):
        simulation.bucket(bucket, shop.draw(bucket))
    simulation.look(NOON_MS)
    news = idle = 0.0
    drawn: Drawn = {}
    for step in range(steps):
        came = NOON_MS + step * FLUSH_MS
        bucket, now = came - came % BUCKET_MS, came + FLUSH_MS
        if came == bucket:
            drawn = shop.draw(bucket)
        for (table, key), batch in drawn.items():
            if any(came <= ms < now for ms in batch.times):
                simulation.engine.update(table, bucket, key, cell_of(table, until(batch, now), sketch=True))
        began = time.process_time()
        if profile is not None:
            profile.enable()
        simulation.look(now)
        if profile is not None:
            profile.disable()
        between = time.process_time()
        simulation.look(now + 100)
        news, idle = news + between - began, idle + time.process_time() - between
    return f"| {name} | {len(rules.rules)} | {news / steps * 1e3:.1f} ms | {idle / steps * 1e3:.1f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.look", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--profile", action="store_true", help="tells where the looks with news spend their time")
    given = parser.parse_args()
    profile = cProfile.Profile() if given.profile else None
    rng = Random(1)
    print("| traffic | rules | a look with news | without |\n|---|---|---|---|")
    for name, shop in (
        ("20 payments a minute, 5 providers", Shop(20.0, rng)),
        ("1,200 a minute, 5 providers", Shop(1_200.0, rng)),
        ("50 a second, 40 providers", Mall(3_000.0, rng, 40)),
    ):
        print(measure(name, shop, given.steps, profile), flush=True)
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    main()
