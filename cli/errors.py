"""Errors that are the user's or the world's, told in one line; everything else is a bug and keeps its traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from cli.terminal import FAILED, USAGE, fail

# By name, so that telling a usage error does not import a Kafka client.
_TOLD = {
    "runtime.settings.SettingsError": ("{}\n('tillwatch configure --check' looks at every setting)", USAGE),
    "tomllib.TOMLDecodeError": ("tillwatch.toml is not TOML: {}", USAGE),
    "runtime.kafka.KafkaUnreachable": ("{}", FAILED),
    "runtime.redis.RedisUnusable": ("{}", FAILED),
    "runtime.kafka.TopicsMissing": ("{}", FAILED),
    "console.service.CannotListen": ("{}", FAILED),
    "local.instance.InUse": ("{}", FAILED),
    "local.process.StartFailed": ("{}", FAILED),
    "local.supervisor.GaveUp": ("{}", FAILED),
    "aiokafka.errors.KafkaError": ("Kafka: {}", FAILED),
    "redis.exceptions.RedisError": ("Redis: {}", FAILED),
}


def explained(error: BaseException) -> tuple[str, int] | None:
    """What to tell the user about an error and the exit code, or None where it is a bug."""
    for kind in type(error).__mro__:
        told = _TOLD.get(f"{kind.__module__}.{kind.__qualname__}")
        if told is not None:
            text, code = told
            return text.format(error if str(error) else type(error).__name__), code
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", FAILED
    return None


class Commands(TyperGroup):
    """The root of the command tree."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except Exception as error:
            told = explained(error)
            if told is None:
                raise
            fail(*told)
