"""Types of what the API takes and answers, for the modules of the pages: an OpenAPI document in, TypeScript declarations out.
Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Schema = Mapping[str, Any]

_HEAD = """\
// What the API takes and answers. Made from the routes by `python -m console.openapi`: what is changed here is lost.
"""
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_REF = "#/components/schemas/"
LINE_MOST = 128


def declarations(document: Schema) -> str:
    """An interface for each named shape. Answers hold every field; of what is sent those with a default may be left out.

    Raises ValueError for a schema that it does not know how to write.
    """
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    sent = _reached(schemas, _refs(_bodies(document)))
    shapes = (_interface(name, schema, sent=name in sent) for name, schema in sorted(schemas.items()))
    return _HEAD + "\n" + "\n".join(shapes)


def _interface(name: str, schema: Schema, *, sent: bool) -> str:
    fields = []
    for key, field in schema.get("properties", {}).items():
        optional = "?" if sent and key not in schema.get("required", ()) else ""
        written = key if key.isidentifier() else json.dumps(key)
        fields.append(f"{_comment(field.get('description', ''), '  ')}  {written}{optional}: {_type(field)};\n")
    return f"{_comment(schema.get('description', ''))}export interface {name} {{\n{''.join(fields)}}}\n"


def _comment(text: str, indent: str = "") -> str:
    lines = [line for line in text.replace("*/", "* /").splitlines() if line]
    if not lines:
        return ""
    if len(lines) == 1 and len(lines[0]) < LINE_MOST - len(indent) - 7:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}\n" for line in lines) + f"{indent} */\n"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(_type(one) for one in schema['prefixItems'])}]"
        case "array":
            item = _type(schema.get("items", {}))
            return f"({item})[]" if " | " in item else f"{item}[]"
        case "object":
            value = schema.get("additionalProperties", True)
            return f"Record<string, {_type(value) if isinstance(value, Mapping) else 'unknown'}>"
        case None:
            return "unknown"
        case kind if kind in _PLAIN:
            return _PLAIN[kind]
        case kind:
            raise ValueError(f"a schema of type {kind!r}")


def _bodies(document: Schema) -> list[Any]:
    return [
        operation["requestBody"]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ]


def _refs(part: Any) -> set[str]:
    """The names that a part of the document refers to."""
    if isinstance(part, Mapping):
        own = {str(part["$ref"]).removeprefix(_REF)} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(_refs(one) for one in part.values()))
    if isinstance(part, list):
        return set().union(*(_refs(one) for one in part))
    return set()


def _reached(schemas: Mapping[str, Schema], names: Iterable[str]) -> set[str]:
    """These, and all that they hold."""
    found, left = set(), set(names)
    while left:
        name = left.pop()
        found.add(name)
        left |= _refs(schemas[name]) - found
    return found
