"""Settings: `TILLWATCH_*` in the environment over `tillwatch.toml`. Durations carry units (`250ms`, `30s`, `2m`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from runtime.names import Names

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(\d{1,5})")
_ROLE = re.compile(r"\s*[^=,]*[^=,\s]\s*=\s*(viewer|responder|admin)\s*")
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(?::\d{1,5})?")


LINK_KEY_CHARS = 32


class SettingsError(ValueError):
    """A setting that cannot be used; the text says which, why, and what is expected."""


def duration_s(text: object) -> object:
    """Seconds of a duration such as `250ms`, `30s`, `2m`, `6h`. Raises ValueError where the unit is missing."""
    if not isinstance(text, str):
        return text
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a duration with a unit (ms, s, m, h, d), such as 30s; got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def is_private_way(address: str) -> bool:
    """Whether nobody listens on the way to this address: it is of https, or of http on this machine."""
    parts = urlsplit(address)
    return (parts.scheme == "https" and bool(parts.netloc)) or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def secret_in(name: str, file: Path) -> str:
    """What a file holds that a setting of this name leads to. Raises SettingsError."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"TILLWATCH_{name.upper()}: {file}: {why}") from None


Duration = Annotated[float, BeforeValidator(duration_s), Field(gt=0)]


class Settings(BaseSettings):
    """What can be set; each field is `TILLWATCH_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="TILLWATCH_", toml_file="tillwatch.toml", extra="forbid", frozen=True)

    kafka: str | None = Field(None, description="bootstrap servers, such as kafka-1:9092; none: embedded")
    redis: SecretStr | None = Field(None, description="URL of Redis or Valkey; none: embedded")
    namespace: str = Field("tillwatch", pattern=r"^[a-zA-Z0-9_-]{1,64}$", description="prefix of topics, keys, groups")
    data: Path = Field(Path("tillwatch-data"), description="folder for what one machine keeps")
    rules: Path | None = Field(None, description="folder of rule packs; none: the shipped packs")
    teams: Path | None = Field(None, description="file of people, teams and rotations; none: pages go to the built-in outbox")
    actions: Path | None = Field(None, description="file of automated actions; none: nothing is called")
    callbacks: str | None = Field(None, description="public address of what hears answers to pages; none: pages have no links")
    listen: str = Field("127.0.0.1:8190", description="where the notifier listens for them, behind a proxy that ends TLS")
    link_key: SecretStr | None = Field(None, description="keys that sign links, with commas between them; the first signs")
    dashboard: str | None = Field(None, description="address that pages link to; {incident} in it becomes the incident's id")
    bucket: Duration = Field(5.0, description="width of an event-time bucket; divides 10 s")
    flush: Duration = Field(0.25, description="how often measure writes what changed")
    lateness: Duration = Field(30.0, description="how far the watermark stays behind the newest event")
    idle: Duration = Field(30.0, description="silence after which heartbeats move a partition's watermark")
    no_data_after: Duration = Field(120.0, description="silence after which a source is silent")
    historical_after: Duration = Field(900.0, description="age from which a verdict is written but pages nobody")
    session_timeout: Duration = Field(6.0, description="Kafka session timeout of workers")
    clock: str = Field("wall", description="wall, or file:PATH (simulation, demo and tests)")
    mask_key: SecretStr | None = Field(None, description="key of the hash that replaces card numbers in identifiers")
    deadman: SecretStr | None = Field(
        None, description="URL of a dead man's switch, called each minute by the notifier that leads; none: nobody is called"
    )
    console: str = Field("127.0.0.1:8321", description="where the console listens, host:port; port 0: any that is free")
    console_token: SecretStr | None = Field(None, description="what callers of the console must show (Bearer)")
    console_token_file: Path | None = Field(None, description="a file that holds it")
    metrics: Literal["own", "signals"] = Field(
        "own", description="what /metrics tells: own, of Tillwatch itself, or signals, those that rules compare as well"
    )
    organisation: str = Field("Service status", max_length=80, description="whose services the public status page is about")
    console_url: str | None = Field(None, description="the console's address as browsers have it, where a proxy is before it")
    oidc_issuer: str | None = Field(None, description="OpenID Connect: the issuer whose people may sign in at the console")
    oidc_client: str | None = Field(None, description="the client id that it gave to the console")
    oidc_secret: SecretStr | None = Field(None, description="the client's secret; none: a public client")
    oidc_secret_file: Path | None = Field(None, description="a file that holds it")
    oidc_claim: str = Field("groups", description="the claim that says what somebody is")
    oidc_roles: str | None = Field(None, description="its values and their roles, the first that fits counts; *: everybody")

    @field_validator("kafka")
    @classmethod
    def _hosts(cls, value: str | None) -> str | None:
        if value is not None and not all(_HOST.fullmatch(one.strip()) for one in value.split(",")):
            raise ValueError("expected bootstrap servers as host:port, with commas between them, such as kafka-1:9092")
        return value

    @field_validator("redis")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("expected a URL that begins with redis://, rediss:// or unix://, such as redis://redis-1:6379/0")
        return value

    @field_validator("deadman")
    @classmethod
    def _deadman_url(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            usable = value is None or (
                is_private_way(value.get_secret_value()) and urlsplit(value.get_secret_value()).username is None
            )
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("expected a URL that begins with https://, without a user or password in it")
        return value

    @field_validator("console", "listen")
    @classmethod
    def _place(cls, value: str) -> str:
        match = _PLACE.fullmatch(value)
        if match is None or int(match[2]) > 65535:
            raise ValueError("expected host:port, such as 127.0.0.1:8321 or [::1]:8321")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if value is not None and not is_private_way(value):
            raise ValueError("expected an address that begins with https://, such as https://login.example.org")
        return value

    @field_validator("oidc_roles")
    @classmethod
    def _roles(cls, value: str | None) -> str | None:
        if value is not None and not all(_ROLE.fullmatch(one) for one in value.split(",")):
            raise ValueError("expected VALUE=ROLE with commas between them, such as sre=admin,oncall=responder,*=viewer")
        return value

    @field_validator("bucket")
    @classmethod
    def _divides_ten(cls, value: float) -> float:
        if value < 1 or value != int(value) or 10 % value:
            raise ValueError("the bucket must be 1s, 2s, 5s or 10s, so that 10 s is a whole number of buckets")
        return value

    @field_validator("callbacks", "dashboard", "console_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("expected an address that begins with https://, such as https://pages.example.org")
        return None if value is None else value.rstrip("/")

    @field_validator("link_key")
    @classmethod
    def _long_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(key) < LINK_KEY_CHARS for key in value.get_secret_value().split(",")):
            raise ValueError(f"expected keys of at least {LINK_KEY_CHARS} random characters each")
        return value

    @model_validator(mode="after")
    def _links_are_signed(self) -> Settings:
        if self.callbacks is not None and self.link_key is None:
            raise ValueError("callbacks needs link_key: links are signed with it")
        return self

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> Settings:
        if self.oidc_issuer is not None:
            missing = [name for name in ("oidc_client", "oidc_roles", "console_url") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"oidc_issuer needs {', '.join(missing)}")
        return self

    @property
    def link_keys(self) -> tuple[SecretStr, ...]:
        """The keys of links, the one that signs first."""
        return () if self.link_key is None else tuple(map(SecretStr, self.link_key.get_secret_value().split(",")))

    @model_validator(mode="after")
    def _flush_below_bucket(self) -> Settings:
        if self.flush > self.bucket:
            raise ValueError("flush must not be longer than bucket")
        return self

    @property
    def names(self) -> Names:
        return Names(self.namespace)

    @property
    def bucket_ms(self) -> int:
        return int(self.bucket * 1000)

    @property
    def console_host(self) -> str:
        return self.console.rpartition(":")[0].strip("[]")

    @property
    def console_port(self) -> int:
        return int(self.console.rpartition(":")[2])

    @property
    def mask_bytes(self) -> bytes:
        """The key of the hash that replaces card numbers; without one it comes from the namespace, which anyone can know:
        good enough to tell two apart, not against somebody who tries all card numbers."""
        secret = self.mask_key.get_secret_value() if self.mask_key is not None else f"tillwatch:{self.namespace}"
        return secret.encode()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, `tillwatch.toml` in the working folder, then defaults. Raises SettingsError."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in problem["loc"]) or "settings"
            lines.append(f"TILLWATCH_{name.upper()}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None
