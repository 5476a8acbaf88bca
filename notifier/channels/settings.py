"""What a channel's table in teams.toml may say, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from runtime.clock import Clock, WallClock
from runtime.settings import Duration, is_private_way


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

    kind: str = Field(description="what it is; none where the table has the name of a kind")
    to: str | SecretStr | None = Field(None, description="address of whoever has none of their own for this channel")
    fallback: str | None = Field("outbox", description="channel that is used where this one fails")
    timeout: Duration = Field(10.0, description="limit of one attempt")
    budget: Duration = Field(30.0, description="limit of all attempts, with the waits between them")
    attempts: int = Field(4, ge=1, le=10, description="how often it is tried within the budget")
    rate: float = Field(1.0, gt=0, description="messages a second, in the long run")
    burst: int = Field(10, ge=1, description="messages at once")
    breaker_after: int = Field(5, ge=1, description="failures in a row after which it is left alone")
    breaker_for: Duration = Field(30.0, description="how long it is left alone")

    @property
    def address(self) -> str | None:
        """Where a message goes whose recipient has no address of their own."""
        return self.to.get_secret_value() if isinstance(self.to, SecretStr) else self.to

    @property
    def proof_s(self) -> float | None:
        """Seconds that proof of delivery is waited for; None where there is none to wait for."""
        return None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, table: Any) -> Any:
        """Any key may come from a file or the environment, and is a secret then, also where it need not be one."""
        fields = cls.model_fields
        return {
            key: value.get_secret_value()
            if isinstance(value, SecretStr) and key in fields and not _secret(fields[key].annotation)
            else value
            for key, value in table.items()
        }


def _secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_secret, get_args(annotation)))


def _service(address: str) -> str:
    if is_private_way(address):
        return address.rstrip("/")
    raise ValueError("expected an address that begins with https://")


ServiceAddress = Annotated[str, AfterValidator(_service)]
"""Where a service's API is. Without TLS only on this machine: what is sent there holds credentials."""
