"""The JSON Schema of a file of groups says what the reader does."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import DesiredState, DesiredStateError
from secoda_async.cli import app
from secoda_async.cli.commands.demo import NEXT, SAMPLE
from secoda_async.reconcile.files.reading import SCHEMA

VALIDATOR = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text("utf-8")))

TEXTS = st.sampled_from(["a", "b", "c d", " e ", "", " ", "\u00a0", "x/y", "..", "é", "${TEAM}", "{{ a }}", "exact"])
ODD: st.SearchStrategy[object] = st.sampled_from([None, True, 5, [], {}])
MEMBERS = st.recursive(
    st.lists(st.sampled_from(["a", " b ", "ana@example.com", "Ana <ana@example.com>", "", " "]) | ODD, max_size=3),
    lambda lists: st.lists(lists, max_size=2),
    max_leaves=4,
)
"""Lists of members; the schema does not describe the form of an address."""
VALUES = TEXTS | ODD | st.lists(TEXTS | ODD, max_size=3)
SHARED = {"icon": TEXTS | st.none(), "description": TEXTS | st.none(), "membership": st.just("additive") | TEXTS}
GROUPS = st.dictionaries(
    st.sampled_from(["name", "name", "icon", "description", "previously", "membership", "id", "color"]), VALUES
) | st.fixed_dictionaries(
    {"name": TEXTS},
    optional=SHARED | {"members": MEMBERS, "previously": st.lists(TEXTS, max_size=2), "id": TEXTS},
)
DOCUMENTS = st.fixed_dictionaries(
    {"groups": st.lists(GROUPS | ODD, max_size=3)},
    optional={
        "$schema": TEXTS,
        "more": TEXTS,
        "x-shared": VALUES,
        "ignore": VALUES,
        "defaults": st.fixed_dictionaries({}, optional=SHARED | {"members": MEMBERS}) | ODD,
    },
)


def problems_of(document: Any, path: Path) -> list[str]:
    """Return the problems that the reader finds in a document, except those between two values."""
    path.write_text(json.dumps(document), "utf-8")
    try:
        DesiredState.load(path)
    except DesiredStateError as error:
        between = ("duplicate", "the former name", "ignored by the pattern")
        return [problem for problem in error.problems if not any(words in problem for words in between)]
    return []


@given(DOCUMENTS | ODD)
def test_schema_allows_what_the_reader_accepts(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "groups.json"
    assert VALIDATOR.is_valid(document) is not bool(problems_of(document, path))  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize("file", [SAMPLE, NEXT], ids=lambda file: file.name)
def test_the_samples_are_valid(file: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(file.read_text("utf-8")))  # pyright: ignore[reportUnknownMemberType]


def test_schema_is_valid_and_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["schema"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft7Validator.check_schema(document)
    properties = document["definitions"]["group"]["properties"]
    assert list(properties) == ["name", "icon", "description", "members", "membership", "previously", "id"]
    assert all(field["description"] for field in properties.values())


def test_a_file_may_name_it(tmp_path: Path) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text("$schema: groups.schema.json\ngroups:\n- name: a\n", "utf-8")
    assert len(DesiredState.load(path).groups) == 1
