"""YAML with positions: the place of every character of a value, however it is written."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from yaml.nodes import MappingNode, ScalarNode

from rules.document import Document, plain, shown


def value(document: Document) -> ScalarNode:
    assert isinstance(document.root, MappingNode), document.problems
    node = document.root.value[0][1]
    assert isinstance(node, ScalarNode)
    return node


def placed(text: str, column: int) -> tuple[int, int]:
    """Where the character at this column of the only value stands in the file."""
    document = Document("f", text)
    document.wrong_in(value(document), column, "here")
    (problem,) = document.problems
    return problem.line, problem.column


@pytest.mark.parametrize(
    ("text", "column", "place"),
    [
        ("k: abc", 2, (1, 5)),
        ("k: 'abc'", 2, (1, 6)),
        ("k: 'a''bc'", 3, (1, 8)),
        ('k: "a\\"bc"', 3, (1, 8)),
        ('k: "a\\x41\\u0042\\U00000043d"', 5, (1, 26)),
        ('k: "a\\tb\\ c"', 5, (1, 11)),
        ('k: "a\\\n  b"', 2, (2, 3)),
        ('k: "a\n\n  b"', 3, (3, 3)),
        ("k: a\n   b", 3, (2, 4)),
        ("k: |\n  ab\n  cd\n", 4, (2 + 1, 3)),
        ("k: |2-  # why\n   ab\n", 2, (2, 4)),
        ("k: >+\n\n\n  ab\n", 3, (4, 3)),
        ("k: !!str &a   ab", 2, (1, 16)),
        ("k: &a\n  ab", 2, (2, 4)),
        ("\ufeffk: ab", 2, (1, 5)),
        ("# x\r\nk: ab\r\n", 2, (2, 5)),
        ("# x\rk: ab", 2, (2, 5)),
        ("k: '🙂b'", 2, (1, 6)),
        ("k: abc", 4, (1, 7)),
        ("k: abc", 99, (1, 7)),
        ("k: 'abc'  ", 4, (1, 8)),
    ],
)
def test_the_place_of_a_character(text: str, column: int, place: tuple[int, int]) -> None:
    assert placed(text, column) == place


FOLDED_AWAY = "\x85\u2028\u2029"
"""Line breaks to YAML 1.1, which PyYAML writes plainly and reads as others."""


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters=FOLDED_AWAY), min_size=1, max_size=60),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.integers(5, 40),
    st.booleans(),
)
def test_every_character_of_a_value_is_found_where_it_stands(text: str, style: str | None, width: int, wide: bool) -> None:
    written = yaml.safe_dump({"k": text}, default_style=style, width=width, allow_unicode=wide)
    document = Document("f", written)
    node = value(document)
    assert node.value == text
    places = document._places(node)
    assert len(places) == len(text) + 1
    assert places == sorted(places)
    for char, at in zip(text, places, strict=False):
        if not char.isspace():
            assert written[at] == char or (node.style == '"' and written[at] == "\\")


def test_keys_that_are_merged_come_behind_ones_own() -> None:
    document = Document("f", "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}")
    assert document.root is not None
    found = document.items(document.items(document.root, "")["c"][1], "")
    assert {name: plain(item) for name, (_, item) in found.items()} == {"x": 3, "y": 1, "z": 2}
    assert document.problems == []


@pytest.mark.parametrize("tagged", ["!!int x", "!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!binary x", "!x y"])
def test_what_is_not_what_its_tag_says_is_nothing(tagged: str) -> None:
    assert plain(value(Document("f", f"k: {tagged}"))) is None


def test_values_are_shown_briefly() -> None:
    document = Document("f", f"k: {'x' * 100}")
    assert shown(value(document)) == repr("x" * 40 + "…")
    assert shown(value(Document("f", "k: ~"))) == "nothing"


def test_an_error_is_one_line_with_a_hint() -> None:
    document = Document("f.yaml", "k: v")
    document.wrong(value(document), "no 'v'", "w")
    assert str(document.problems[0]) == "f.yaml:1:4: error: no 'v' (did you mean w?)"
