"""YAML with the location of each value; merge keys; what is refused."""

import pytest
import yaml

from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import Node
from secoda_async.reconcile.files.yaml_nodes import compose


@pytest.fixture(params=["C", "Python"])
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the parser in C, and with the one in Python."""
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader")


def value_of(node: Node) -> object:
    if node.kind == "a mapping":
        return {key.text: value_of(value) for key, value in node.pairs}
    return [value_of(item) for item in node.items] if node.kind == "a list" else node.text


def error_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        compose(text)
    return f"{caught.value}"


@pytest.mark.usefixtures("_loader")
class TestLocations:
    def test_location_is_line_and_column_of_the_value(self) -> None:
        groups = compose("groups:\n- name: '😀'\n  members: [a, b]\n").pairs[0][1]
        (entry,) = groups.items
        (_, name), (key, members) = entry.pairs
        assert (groups.location, entry.location, name.location, key.location) == (":2:1", ":2:3", ":2:9", ":3:3")
        assert [item.location for item in members.items] == [":3:13", ":3:16"]

    @pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
    def test_line_separators_of_unicode_are_no_lines(self, separator: str) -> None:
        mapping = compose(f'a: "x{separator}y"\nb: c\r\nd: e\rf: g\n')
        assert [value.location for _, value in mapping.pairs] == [":1:4", ":2:4", ":3:4", ":4:4"]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a: b\nc: \x07d\n", ":2:4: contains the control character U+0007: remove it"),
            (f"{'a: b' + chr(10)}" * 3 + "é\x9f", ":4:2: contains the control character U+009F: remove it"),
            ("- a\n---\n- b\n", ":2:1: has several documents (---): write one document in a file"),
            ("a: b\n---\n", ":2:1: has several documents (---): write one document in a file"),
            ("a:\n- &x [*x]\n", ":2:3: is not YAML: an alias that contains itself"),
            ("a: b: c\n", ":1:5: is not YAML: mapping values are not allowed"),
        ],
    )
    def test_problem_has_the_location_of_the_character(self, text: str, problem: str) -> None:
        assert error_of(text).startswith(problem)

    @pytest.mark.parametrize("text", ["name: [a", "name: 'a", "name: {a: b", "[a"])
    def test_problem_at_the_end_is_on_the_last_line(self, text: str) -> None:
        assert error_of(f"{text}\n\n\n").startswith(":1:")


@pytest.mark.usefixtures("_loader")
class TestHints:
    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("- @joe", "put a text that starts with '@' in quotes"),
            ("- %x", "put a text that starts with '%' in quotes"),
            ("- `x", "put a text that starts with '`' in quotes"),
            ("- *x", "put a text that starts with '*' in quotes"),
            ("- * x", "put a text that starts with '*', '&' or '!' in quotes"),
            ("name: Data: Stewards", "put a text with ': ' in quotes"),
            ("a:\n\t- b", "indent with spaces, not tabs"),
            ("{a: b}\n{a: b}", "write one document in a file, with the key 'groups'"),
        ],
    )
    def test_problem_says_what_to_put_in_quotes(self, text: str, hint: str) -> None:
        assert error_of(text).endswith(f": {hint}")

    def test_other_problems_have_no_hint(self) -> None:
        assert "in quotes" not in error_of("a: [b")

    def test_error_without_a_location_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise yaml.YAMLError("no reason\nat all")

        monkeypatch.setattr(yaml, "parse", fail)
        assert error_of("a: b") == ":1:1: is not YAML: no reason"

    def test_error_without_a_mark_is_on_the_first_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise yaml.MarkedYAMLError

        monkeypatch.setattr(yaml, "parse", fail)
        assert error_of("a: b") == ":1:1: is not YAML: can't be parsed"


class TestMergeKeys:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("- &b {k: 1a, l: 2a}\n- {<<: *b, l: own}", {"l": "own", "k": "1a"}),
            ("- &b {k: 1a}\n- {k: own, <<: *b}", {"k": "own"}),
            ("- &a {k: first}\n- &b {k: second, l: x}\n- <<: [*a, *b]", {"k": "first", "l": "x"}),
            ("- &a {k: x}\n- &b {<<: *a, l: y}\n- <<: *b", {"l": "y", "k": "x"}),
            ("- {<<: {k: x}}", {"k": "x"}),
            ("- {'<<': {k: x}}", {"<<": {"k": "x"}}),
        ],
        ids=["mapping", "own key wins", "list", "nested", "inline", "quoted"],
    )
    def test_keys_are_merged_as_by_pyyaml(self, text: str, expected: object) -> None:
        assert value_of(compose(text).items[-1]) == expected == yaml.safe_load(text)[-1]

    def test_merged_value_keeps_its_location(self) -> None:
        merged = compose("- &b\n  k: v\n- <<: *b\n").items[1]
        assert merged.pairs[0][1].location == ":2:6"

    def test_duplicate_keys_stay_to_be_reported(self) -> None:
        merged = compose("- &b {k: v, k: w}\n- <<: *b\n").items[1]
        assert len(merged.pairs) == 2

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("<<: x", ":1:5: << merges a mapping, such as `<<: *name`, not text"),
            ("<<: [{a: b}, c]", ":1:14: << merges a mapping, such as `<<: *name`, not text"),
            ("<<: null", ":1:5: << merges a mapping, such as `<<: *name`, not null"),
        ],
    )
    def test_other_values_are_no_mapping(self, text: str, problem: str) -> None:
        assert error_of(text) == problem

    def test_huge_merges_are_refused(self) -> None:
        keys = ", ".join(f"k{index}: v" for index in range(101))
        assert "<< merges more than 100 keys" in error_of(f"- &b {{{keys}}}\n- <<: *b\n")
        assert "<< merges more than 100 keys" in error_of(f"- &b {{k: v}}\n- <<: [{', '.join(['*b'] * 101)}]\n")


def test_empty_file_is_a_node() -> None:
    assert compose("# nothing\n").kind == "an empty file"
