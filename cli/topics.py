"""`tillwatch setup topics`: the topics with their explicit settings."""

from __future__ import annotations

import asyncio

from cli import installation
from cli.terminal import note, say


def set_up(partitions: int, replication: int) -> None:
    """Creates what does not exist and adds partitions; repeats change nothing."""
    from runtime.kafka import create_topics

    for one in asyncio.run(create_topics(installation.settings(), partitions, replication)):
        say(f"{one.did:8} {one.topic} ({one.partitions} partition{'s' if one.partitions != 1 else ''})")
        if one.did == "kept":
            note(
                f"{one.topic} keeps {one.partitions} partitions: this broker cannot add any "
                "(the embedded one starts empty: stop and start it again)",
                style="yellow",
            )
