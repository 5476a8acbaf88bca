"""The modules of the pages agree with what the API answers: TypeScript's compiler reads their JSDoc, where Node is there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from console.pages import FOLDER
from console.typescript import declarations
from tests.support.typescript import NoTypeScript, compiler

LOCK = Path(__file__).parents[1] / "support/typescript/package-lock.json"


def faults(folder: Path) -> list[str]:
    """What the compiler finds in the modules of this copy of the pages. Skips where there is no compiler."""
    try:
        command = compiler()
    except NoTypeScript as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [*command, "-p", "jsconfig.json", "--pretty", "false"],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stdout + done.stderr
    return done.stdout.splitlines()


def test_no_module_of_the_pages_breaks_its_types() -> None:
    assert faults(FOLDER) == []


def test_a_field_that_no_answer_has_is_found(tmp_path: Path) -> None:
    for name in ("static", "types"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    shutil.copy(FOLDER / "jsconfig.json", tmp_path)
    page = tmp_path / "static/rules.js"
    page.write_text(page.read_text().replace("one.explanation", "one.explained", 1))
    (found,) = faults(tmp_path)
    assert "static/rules.js" in found and "'explained' does not exist on type 'RuleInForce'" in found


def test_the_compiler_is_pinned_by_its_hash_and_by_no_address() -> None:
    (package,) = [one for name, one in json.loads(LOCK.read_text())["packages"].items() if name]
    assert package["integrity"].startswith("sha512-") and "resolved" not in package


def document(schemas: dict[str, Any], body: str | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    operation = {"requestBody": {"content": content}} if body else {}
    return {"paths": {"/x": {"post": operation}}, "components": {"schemas": schemas}}


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"type": "integer"}, "number"),
        ({"enum": ["a", "b"], "type": "string"}, '"a" | "b"'),
        ({"const": "x", "type": "string"}, '"x"'),
        ({"anyOf": [{"type": "number"}, {"type": "integer"}, {"type": "null"}]}, "number | null"),
        ({"items": {"$ref": "#/components/schemas/Other"}, "type": "array"}, "Other[]"),
        ({"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "type": "array"}, "(string | null)[]"),
        ({"prefixItems": [{"type": "number"}, {"type": "string"}], "type": "array"}, "[number, string]"),
        ({"additionalProperties": {"type": "number"}, "type": "object"}, "Record<string, number>"),
        ({"additionalProperties": True, "type": "object"}, "Record<string, unknown>"),
        ({}, "unknown"),
    ],
)
def test_what_a_schema_is_in_typescript(schema: dict[str, Any], written: str) -> None:
    assert f"  one: {written};\n" in declarations(document({"Shape": {"properties": {"one": schema}}}))


def test_only_what_is_sent_may_leave_a_field_out() -> None:
    optional = {"properties": {"text": {"type": "string", "default": ""}}}
    holder = {"properties": {"part": {"$ref": "#/components/schemas/Part"}}, "required": ["part"]}
    found = declarations(document({"Answer": optional, "Part": optional, "Said": holder}, "Said"))
    assert "export interface Answer {\n  text: string;\n}" in found
    assert "export interface Part {\n  text?: string;\n}" in found
    assert "export interface Said {\n  part: Part;\n}" in found
