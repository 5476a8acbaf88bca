"""What a figure was taken on: the machine, and the versions of what took part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from runtime.redis import connect
from runtime.settings import Settings
from tests.support.kafka import KAFKA_VERSION, NoKafka, new_enough_java

ASKED_WITHIN_S = 60.0


def machine() -> dict[str, object]:
    """Cores, processor, memory in GiB and system; `unknown` where the kernel does not tell."""
    return {
        "cores": os.cpu_count(),
        "processor": _first(r"^model name\s*: (.+)$", "/proc/cpuinfo") or platform.processor() or "unknown",
        "memory_gib": round(int(_first(r"^MemTotal:\s*(\d+) kB", "/proc/meminfo") or 0) / 1024**2),
        "system": f"{platform.system()} {platform.release().partition('-')[0]} ({platform.machine()})",
    }


def _first(pattern: str, path: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None


async def versions(settings: Settings, kafka_is_ours: bool, quix_python: Path | None = None) -> dict[str, str]:
    """{what: version} of what is there."""
    redis = connect(settings)
    try:
        told = await redis.info("server")
    finally:
        await redis.aclose()
    found = {"Python": platform.python_version()}
    if kafka_is_ours:
        found["Apache Kafka"] = KAFKA_VERSION
    if "valkey_version" in told:
        found["Valkey"] = str(told["valkey_version"])
    else:
        found["Redis"] = str(told["redis_version"])
    found |= {name: version(name) for name in ("faust-streaming", "aiokafka", "msgspec")}
    if quix_python is not None and quix_python.exists():
        found["quixstreams"] = _said([str(quix_python), "-c", _QUIX])
    with suppress(NoKafka):  # without Java it ran in a container, or elsewhere
        found["Java"] = _said([new_enough_java(), "-XshowSettings:properties", "-version"], r"java\.version = (\S+)")
    return found


_QUIX = "from importlib.metadata import version; print(version('quixstreams'))"


def _said(argv: list[str], pattern: str = r"(\S+)") -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=ASKED_WITHIN_S, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"
