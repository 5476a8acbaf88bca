"""What a channel's table in teams.toml may say, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from runtime.clock import Clock, WallClock
from runtime.settings import Duration

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Around:
    """What channels get beside their own settings. callbacks: the public address of the server that hears what comes back,
    without a slash at its end; None: nothing can come back. outbox: the folder of its files."""

    callbacks: str | None = None
    outbox: Path = Path("tillwatch-data/outbox")
    clock: Clock = field(default_factory=WallClock)


class Table(BaseModel):
    """One `[channels.x]`; each kind adds its own keys. Durations carry units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(description="what it is; the kinds are those of this page")
    to: str | None = Field(None, description="address of whoever has none of their own for this channel")
    fallback: str | None = Field("outbox", description="channel that is used where this one fails")
    timeout: Duration = Field(10.0, description="limit of one attempt")
    budget: Duration = Field(30.0, description="limit of all attempts, with the waits between them")
    attempts: int = Field(4, ge=1, le=10, description="how often it is tried within the budget")
    rate: float = Field(1.0, gt=0, description="messages a second, in the long run")
    burst: int = Field(10, ge=1, description="messages at once")
    breaker_after: int = Field(5, ge=1, description="failures in a row after which it is left alone")
    breaker_for: Duration = Field(30.0, description="how long it is left alone")
    confirm: Duration | None = Field(
        None, description="how long proof of delivery is waited for before the fallback is used; none: it is not waited for"
    )

    @property
    def address(self) -> str | None:
        """Where a message goes whose recipient has no address of their own."""
        return self.to


def _service(address: str) -> str:
    parts = urlsplit(address)
    if (parts.scheme == "https" and parts.netloc) or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return address.rstrip("/")
    raise ValueError("expected an address that begins with https://")


ServiceAddress = Annotated[str, AfterValidator(_service)]
"""Where a service's API is. Without TLS only on this machine: what is sent there holds credentials."""
