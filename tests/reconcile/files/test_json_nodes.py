"""JSON with the location of each value: exactly the JSON of the standard library, with a limit on nesting."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.json_nodes import is_json, parse
from secoda_async.reconcile.files.nodes import Node
from tests.support.json_values import json_values


def value_of(node: Node) -> object:
    """Return the value of a node, with the pairs of an object as a list, and numbers as text."""
    if node.kind == "a mapping":
        return [(key.text, value_of(value)) for key, value in node.pairs]
    if node.kind == "a list":
        return [[value_of(item) for item in node.items]]
    return {"null": None, "a boolean": node.literal == "true", "text": node.text}.get(
        node.kind, f"number {node.literal}"
    )


def expected(value: Any) -> object:
    if isinstance(value, tuple):
        return [(key, expected(item)) for key, item in value]  # pyright: ignore[reportUnknownVariableType]
    return [[expected(item) for item in value]] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


def standard(text: str) -> object:
    """Return what the standard library reads, in the form of `value_of`."""
    return expected(
        json.loads(
            text,
            object_pairs_hook=tuple,
            parse_int="number {}".format,
            parse_float="number {}".format,
            parse_constant=int,
        )
    )


@given(json_values, st.sampled_from([None, 0, 2]), st.booleans())
def test_json_is_read_as_by_the_standard_library(value: object, indent: int | None, ascii_only: bool) -> None:  # noqa: FBT001
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert value_of(parse(text)) == standard(text)


@given(st.text('{}[]",:0123456789.eE+-truefalsnN \\u/\n', max_size=12))
def test_text_is_json_if_the_standard_library_reads_it(text: str) -> None:
    try:
        wanted: object = standard(text)
    except ValueError:  # NaN too
        with pytest.raises(InputError, match=r"^:\d+:\d+: is not JSON: "):
            parse(text)
    else:
        assert value_of(parse(text)) == wanted


def test_locations_are_those_of_the_values() -> None:
    node = parse('{"é": [\r\n  {"k": "v"},\r 1]\n, "x" : null}')
    assert node.location == ":1:1"
    (key, entries), (other, null) = node.pairs
    assert (key.location, entries.location, other.location, null.location) == (":1:2", ":1:7", ":4:3", ":4:9")
    first, second = entries.items
    assert (first.location, second.location) == (":2:3", ":3:2")
    assert (first.pairs[0][0].location, first.pairs[0][1].location) == (":2:4", ":2:9")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ":1:1: is not JSON: the file ends too early"),
        ("{'a': 1}", ":1:2: is not JSON: expected a key in double quotes"),
        ('{"a" 1}', ":1:6: is not JSON: expected ':' after a key"),
        ('{"a": 1,}', ":1:9: is not JSON: a comma before '}': remove it"),
        ("[1,\n]", ":2:1: is not JSON: a comma before ']': remove it"),
        ("[1 2]", ":1:4: is not JSON: expected ',' or ']'"),
        ('{"a": 1', ":1:8: is not JSON: expected ',' or '}'"),
        ("[01]", ":1:3: is not JSON: expected ',' or ']'"),
        ("[NaN]", ":1:2: is not JSON: expected a value"),
        ("[-Infinity]", ":1:2: is not JSON: expected a value"),
        ('["a', ":1:2: is not JSON: Unterminated string starting at"),
        ('["a\nb"]', ":1:4: is not JSON: Invalid control character at"),
        ('["\\x"]', ":1:3: is not JSON: Invalid \\escape"),
        ('{"a": 1}\n{"b": 2}', ":2:1: is not JSON: text follows the end of the document: write one document"),
        ("[" * 21, ":1:21: is not JSON: nested too deeply"),
        ("[" * 100_000, ":1:21: is not JSON: nested too deeply"),
    ],
)
def test_problem_has_the_location_of_the_character(text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert f"{caught.value}".startswith(problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"groups": []}', True),
        (" \n[1]", True),
        ("[" * 100_000 + "]" * 100_000, True),
        (f"[{'1' * 5000}]", True),
        ("{groups: []}", False),
        ('{"groups": [{name: a}]}', False),
        ("groups: []", False),
        ('"groups"', False),
        ("", False),
    ],
    ids=["object", "list", "deep", "long number", "flow", "mixed", "yaml", "text", "empty"],
)
def test_json_is_recognized(text: str, expected: bool) -> None:  # noqa: FBT001
    assert is_json(text) is expected
