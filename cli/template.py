"""`tillwatch.toml` with comments, made from the settings' own descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

FILE = "tillwatch.toml"
SECRETS = ("redis", "link_key", "mask_key", "deadman", "console_token", "oidc_secret")
_EXAMPLES = {
    "kafka": "kafka-1:9092,kafka-2:9092",
    "redis": "redis://redis-1:6379/0",
    "rules": "rules",
    "teams": "teams.toml",
    "actions": "actions.toml",
    "callbacks": "https://pages.example.org",
    "dashboard": "https://grafana.example.org/d/payments?var-incident={incident}",
    "link_key": "at least 32 characters that are random",
    "mask_key": "a long random text",
    "deadman": "https://switch.example/ping/the-id-of-yours",
    "console_token": "a long random text",
    "console_token_file": "console-token",
    "console_url": "https://tillwatch.example.org",
    "oidc_issuer": "https://login.example.org/realms/shop",
    "oidc_client": "tillwatch",
    "oidc_secret": "what the issuer gave to this client",
    "oidc_secret_file": "oidc-secret",
    "oidc_roles": "sre=admin,oncall=responder,*=viewer",
}
_HEAD = """\
# Settings of Tillwatch. Each can be set in the environment too, which wins: kafka is TILLWATCH_KAFKA, and so on.
# A line that begins with # is not in force; what stands there is the default, or an example where there is none.
# Durations carry a unit: ms, s, m, h or d. 'tillwatch configure --check' says whether all of it works.
"""


def toml(values: Mapping[str, str]) -> str:
    """The file: settings that have a value are in force, the others are comments."""
    from runtime.settings import Settings

    lines = [_HEAD]
    for name, field in Settings.model_fields.items():
        lines.append(f"# {field.description}")
        if name in values:
            lines.append(f"{name} = {_quoted(values[name])}\n")
        else:
            lines.append(f"# {name} = {_quoted(default(name, field) or _EXAMPLES[name])}\n")
    return "\n".join(lines)


def default(name: str, field: FieldInfo) -> str | None:
    """A setting's default as it would be written, None where there is none."""
    value = field.default
    if isinstance(value, float):
        return duration(value)
    return None if value is None else str(value)


def duration(seconds: float) -> str:
    """Seconds as a duration in the largest unit that leaves a whole number."""
    ms = round(seconds * 1000)
    for unit, width in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms % width == 0:
            return f"{ms // width}{unit}"
    return f"{ms}ms"


def values(text: str) -> dict[str, str]:
    """What a file of ours sets. Raises tomllib.TOMLDecodeError."""
    import tomllib

    return {name: str(value) for name, value in _flat(tomllib.loads(text))}


def _flat(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if not isinstance(value, dict | list):
            yield name, value


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else _escape(ord(char)) for char in escaped) + '"'


def _escape(point: int) -> str:
    """TOML has no surrogate pairs: what four digits cannot say takes eight."""
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
