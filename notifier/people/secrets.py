"""Secrets of channels: never in the file, but named there by `x_file` (a path) or `x_env` (a variable), and read at use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from notifier.people.reading import Fault, Faults, Where, shown
from runtime.suggest import quoted

LARGEST = 64 * 1024
"""Bytes of a file with a secret, at most."""


def check(held: Mapping[str, object], where: Where, faults: Faults) -> None:
    """Notes what can never become a secret: a path or variable that is no text, and one that is said twice."""
    for key, value in held.items():
        name = _name(key)
        if isinstance(value, dict):
            check(value, (*where, key), faults)
        elif name is not None and not (isinstance(value, str) and value):
            what = "the path of a file" if key.endswith("_file") else "the name of an environment variable"
            faults.add((*where, key), f"expected {what} that holds the secret")
        elif name is not None and (name in held or (key.endswith("_env") and f"{name}_file" in held)):
            faults.add((*where, key), f"{name} is said twice: keep one of {name}, {name}_file and {name}_env")


def resolved(
    held: Mapping[str, object], where: Where, folder: Path, environment: Mapping[str, str], faults: list[Fault]
) -> dict[str, object]:
    """The same with `x = SecretStr(…)` for each `x_file` and `x_env`; notes those that cannot be had. Paths are relative to the
    folder, and the line break at the end of a file is no part of its secret."""
    found: dict[str, object] = {}
    for key, value in held.items():
        name = _name(key)
        if isinstance(value, dict):
            found[key] = resolved(value, (*where, key), folder, environment, faults)
        elif name is None:
            found[key] = value
        else:
            try:
                secret = _from_file(folder / str(value)) if key.endswith("_file") else environment.get(str(value), "")
                if not secret:
                    raise ValueError("is empty" if key.endswith("_file") else "is not set")
                found[name] = SecretStr(secret)
            except (OSError, ValueError) as error:
                why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
                source = "the file" if key.endswith("_file") else "the environment's"
                faults.append(Fault("", 0, shown((*where, key)), f"{source} {quoted(str(value))} {why}"))
    return found


def _name(key: str) -> str | None:
    """What a key gives the secret of: `token` for `token_file`."""
    return next((key.removesuffix(end) for end in ("_file", "_env") if key.endswith(end) and key != end), None)


def _from_file(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"is longer than {LARGEST:,} bytes")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:  # which would tell some of it
        raise ValueError("is not UTF-8") from None
