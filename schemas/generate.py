"""Documents made from the models: `python -m schemas.generate [--check]`.

Writes `schemas/generated/`: JSON Schema 2020-12, a file for each event type, for the alert, the incident (as it is told and as
it is kept), the silence and the partial rollup, and one AsyncAPI 3.0 document of all topics. With `--check` nothing is written;
a difference is printed, and exit 1.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.alert import TRANSITIONS, TYPE_PREFIX, AlertEvent
from schemas.deadletter import HEADERS, REASONS
from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF, event_model
from schemas.incident import (
    CHANGES,
    SILENCE_CHANGES,
    SILENCE_TYPE_PREFIX,
    Incident,
    IncidentEvent,
    SilenceEvent,
)
from schemas.incident import TYPE_PREFIX as INCIDENT_TYPE_PREFIX
from schemas.rollup import Partial
from schemas.tables import TABLES

FOLDER = Path(__file__).parent / "generated"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
CLOUD_EVENT = "application/cloudevents+json"
ALERT, PARTIAL, ASYNCAPI = "tillwatch.alert.json", "tillwatch.rollup.json", "asyncapi.json"
INCIDENT, KEPT, SILENCE = "tillwatch.incident.json", "tillwatch.incident.kept.json", "tillwatch.silence.json"

Json = dict[str, Any]

_KEYS = {
    "payments": "transaction",
    "enrollments": "transaction or enrollment",
    "webhooks": "transaction or provider",
    "health": "component",
    "platform": "component or host",
    "errors": "component",
    "security": "actor",
    "changes": "component",
}
"""What the records of each subject are keyed by. Repeats are recognised within a partition only."""


def documents() -> dict[str, str]:
    """The text of every document, by file name."""
    schemas = {f"{event_type}.json": _event(event_type) for event_type in DATA_OF}
    schemas[ALERT] = _schema("tillwatch.alert", AlertEvent.model_json_schema(mode="serialization"))
    schemas[INCIDENT] = _schema("tillwatch.incident", IncidentEvent.model_json_schema(mode="serialization"))
    schemas[KEPT] = _schema("tillwatch.incident.kept", msgspec.json.schema(Incident))
    schemas[SILENCE] = _schema("tillwatch.silence", SilenceEvent.model_json_schema(mode="serialization"))
    schemas[PARTIAL] = _schema("tillwatch.rollup", msgspec.json.schema(Partial))
    return {name: _text(document) for name, document in {**schemas, ASYNCAPI: _asyncapi()}.items()}


def _text(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# --- JSON Schema ----------------------------------------------------------------------------------------------------


def _event(event_type: str) -> Json:
    document = _schema(event_type, event_model(event_type).model_json_schema())
    document["x-tillwatch-tables"] = {name: list(TABLES[name].dimensions) for name in DATA_OF[event_type].tables}
    return document


def _schema(name: str, schema: Json) -> Json:
    plain = _plain(schema)
    assert isinstance(plain, dict)
    return {"$schema": DIALECT, "$id": f"urn:tillwatch:v1:{name}", "title": name, **plain}


def _plain(node: object) -> object:
    """Without titles that repeat names, and without the null that stands for an absent field in memory."""
    if isinstance(node, dict):
        named = {"properties", "$defs"}  # what is in these is named by our fields, not by JSON Schema
        return {
            word: {name: _plain(item) for name, item in value.items()} if word in named else _plain(value)
            for word, value in node.items()
            if not (word == "title" and isinstance(value, str)) and not (word == "default" and value is None)
        }
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if isinstance(node, str):
        return " ".join(node.split()) if "\n" in node else node
    return node


# --- AsyncAPI -------------------------------------------------------------------------------------------------------


def _payload(file: str) -> Json:
    return {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./{file}"}}


def _headers(names: Mapping[str, Json]) -> Json:
    return {"type": "object", "properties": dict(names), "required": list(names)}


def _told() -> dict[str, str]:
    """Every type of event that we send, and the file of its schema."""
    told = {TYPE_PREFIX + transition: ALERT for transition in TRANSITIONS}
    told |= {INCIDENT_TYPE_PREFIX + change: INCIDENT for change in CHANGES}
    return told | {SILENCE_TYPE_PREFIX + change: SILENCE for change in SILENCE_CHANGES}


def _messages() -> Json:
    content_type = {"content-type": {"type": "string", "const": CLOUD_EVENT}}
    messages: Json = {
        event_type: {
            "name": event_type,
            "contentType": CLOUD_EVENT,
            "payload": _payload(f"{event_type}.json"),
        }
        for event_type in DATA_OF
    }
    for name, file in _told().items():
        messages[name] = {
            "name": name,
            "contentType": CLOUD_EVENT,
            "headers": _headers(content_type),
            "payload": _payload(file),
        }
    messages["rollup"] = {"name": "rollup", "contentType": "application/json", "payload": _payload(PARTIAL)}
    told: Json = {name: {"type": "string", "description": text} for name, text in HEADERS.items()}
    told["tw_reason"]["enum"] = list(REASONS)
    messages["deadletter"] = {
        "name": "deadletter",
        "summary": "the bytes as they came, card numbers masked; of more than 1 MiB the first 64 KiB",
        "contentType": "application/octet-stream",
        "headers": _headers(told),
    }
    return messages


def _channel(topic: str, title: str, key: str, messages: Sequence[str], partitions: str) -> Json:
    return {
        "address": f"{{namespace}}.{topic}.v1",
        "title": title,
        "description": f"Key: {key}. Partitions: {partitions}.",
        "parameters": {"namespace": {"$ref": "#/components/parameters/namespace"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topicConfiguration": {"cleanup.policy": ["delete"]}, "bindingVersion": "0.5.0"}},
    }


def _asyncapi() -> Json:
    everywhere = [event_type for event_type, subject in SUBJECT_OF.items() if subject == EVERYWHERE]
    channels: Json = {}
    for subject, key in _KEYS.items():
        types = [event_type for event_type, home in SUBJECT_OF.items() if home == subject]
        channels[subject] = _channel(subject, f"Events: {subject}", key, [*types, *everywhere], "8 unless said")
    channels["deadletters"] = _channel(
        "deadletters", "What could not be used, and why", "as it came", ["deadletter"], "as the event topics"
    )
    channels["rollups"] = _channel("rollups", "Partial rollups: absolute cells", "source partition", ["rollup"], "1")
    alerts = [TYPE_PREFIX + transition for transition in TRANSITIONS]
    channels["alerts"] = _channel("alerts", "Alerts: the notification topic", "fingerprint", alerts, "1")
    lifecycle = [name for name, file in _told().items() if file != ALERT]
    channels["incidents"] = _channel("incidents", "Incident lifecycle", "id of the incident or silence", lifecycle, "1")
    operations = {f"receive-{subject}": {"action": "receive", "channel": _ref(subject)} for subject in _KEYS} | {
        f"send-{name}": {"action": "send", "channel": _ref(name)} for name in ("deadletters", "rollups", "alerts", "incidents")
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tillwatch",
            "version": "1",
            "description": "Events are CloudEvents 1.0 in JSON, in either mode of the Kafka binding: structured "
            f"(content-type {CLOUD_EVENT}, or none and a specversion in the value) or binary (ce_* headers, "
            "content-type application/json, the value is the data). The schemas show the structured mode.",
        },
        "defaultContentType": CLOUD_EVENT,
        "channels": channels,
        "operations": operations,
        "components": {
            "parameters": {
                "namespace": {"description": "prefix of every topic (TILLWATCH_NAMESPACE)", "default": "tillwatch"}
            },
            "messages": _messages(),
        },
    }


def _ref(channel: str) -> Json:
    return {"$ref": f"#/channels/{channel}"}


# --- the command ----------------------------------------------------------------------------------------------------


def differences(folder: Path = FOLDER) -> list[str]:
    """Lines of a unified diff from what the folder holds to what it should; empty if there is none."""
    wanted = documents()
    held = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    lines: list[str] = []
    for name in sorted(wanted.keys() | held.keys()):
        old, new = held.get(name, ""), wanted.get(name, "")
        if old != new:
            came, made = f"generated/{name}", f"generated/{name} (from the models)"
            lines += difflib.unified_diff(old.splitlines(), new.splitlines(), came, made, lineterm="")
    return lines


def write(folder: Path = FOLDER) -> None:
    """Writes every document, and removes those that no model asks for any more."""
    wanted = documents()
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    if not parser.parse_args(arguments).check:
        write()
        return 0
    lines = differences()
    if lines:
        print("\n".join(lines))
        print("schemas/generated differs from the models: run 'python -m schemas.generate'", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
