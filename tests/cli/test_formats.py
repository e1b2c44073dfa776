"""Files of configuration: what is written is read back, and what means two things is refused."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.cli.formats import Document, Format, dump, format_of, load, parse_json
from configkit.errors import InvalidDocumentError

KEYS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8).map(lambda text: f"{text}.x-y_Z")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(TEXT, inner | st.none(), max_size=3),
    max_leaves=8,
)


def _document(values: dict[str, Any]) -> Document:
    return Document(values, frozenset(sorted(values)[::2]))


@settings(deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=5), st.sampled_from([Format.JSON, Format.YAML]))
def test_json_and_yaml_bring_back_every_value_and_mark(values: dict[str, Any], form: Format) -> None:
    document = _document(values)
    back = load(dump(document, form), form)
    assert parse_json(dump(Document(back.values), Format.JSON)) == values
    assert {key: type(value) for key, value in back.values.items()} == {key: type(value) for key, value in values.items()}
    assert back.secrets == document.secrets


@settings(deadline=None)
@given(st.dictionaries(KEYS, TEXT | st.text("\\'\"# \n$={}x", max_size=8), max_size=5))
def test_dotenv_brings_back_every_text_and_mark(values: dict[str, str]) -> None:
    document = _document(values)
    back = load(dump(document, Format.DOTENV), Format.DOTENV)
    assert (back.values, back.secrets) == (document.values, document.secrets)


@pytest.mark.parametrize(
    "text", ["", "plain", "two words", "line\nbreak", "it's", 'say "x"', "# no comment", "${HOME}", " edges ", "a\\b"]
)
def test_dotenv_writes_the_usual_texts(text: str) -> None:
    assert load(dump(Document({"k": text}), Format.DOTENV), Format.DOTENV).values == {"k": text}


def test_dotenv_is_not_interpolated_and_writes_other_types_as_json_text() -> None:
    assert load("A=1\nB=${A}x\n", Format.DOTENV).values == {"A": "1", "B": "${A}x"}
    assert load(dump(Document({"k": [1, "a"]}), Format.DOTENV), Format.DOTENV).values == {"k": '[1,"a"]'}


@pytest.mark.parametrize(
    ("text", "form", "why"),
    [
        ("A=1\n\n# note\nA=2\n", Format.DOTENV, "line 4: A is there twice"),
        ("A=1\nB\n", Format.DOTENV, "line 2: not KEY=VALUE"),
        ("A=1\nB='open\n", Format.DOTENV, "line 2: not KEY=VALUE"),
        ("# secrets: GONE\nA=1\n", Format.DOTENV, "marked as secret, but not in the file: GONE"),
        ("a: 1\nwhen: 2024-05-01\n", Format.YAML, "line 2: when: timestamp is no type of JSON"),
        ("a: !!binary aGk=\n", Format.YAML, "line 1: a: binary is no type of JSON"),
        ("a: !!set {x}\n", Format.YAML, "line 1: a: set is no type of JSON"),
        ("a: !!python/object/apply:os.system [x]\n", Format.YAML, "line 1: a: "),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", Format.YAML, "line 4: b: the same key twice"),
        ("a: 1\na: 2\n", Format.YAML, "line 2: a: the same key twice"),
        ("yes: 1\n", Format.YAML, "line 1: a key that is not text"),
        ("a: {1: x}\n", Format.YAML, "line 1: a: a key that is not text"),
        ("a: &x [1]\nb: *x\n", Format.YAML, "line 2: no aliases"),
        ("a: [1\n", Format.YAML, "line 2: not YAML"),
        ("a: 1\n---\nb: 2\n", Format.YAML, "line 2: not YAML"),
        ("a: \x00\n", Format.YAML, "not YAML"),
        ("a: " + "[" * 5000 + "]" * 5000, Format.YAML, "nested too deeply"),
        ("- a\n", Format.YAML, "the file must map keys to values"),
        ("[1]", Format.JSON, "the file must map keys to values"),
        ('{"a": 1,\n "a": 2}', Format.JSON, "same key twice"),
        ('{"a": 1,\n b}', Format.JSON, "line 2, column 2"),
        ('{"$secrets": "a"}', Format.JSON, "$secrets must list keys"),
        ('{"$secrets": ["gone"]}', Format.JSON, "marked as secret, but not in the file: gone"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(text: str, form: Format, why: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load(text, form)
    assert why in str(caught.value)


@pytest.mark.parametrize("form", [Format.YAML, Format.DOTENV])
def test_an_empty_file_has_no_keys(form: Format) -> None:
    assert load("", form).values == {}


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.json", "json"), ("a.yaml", "yaml"), ("b.yml", "yaml"), (".env", "dotenv"), ("x.env", "dotenv"), (".env.local", "dotenv")],
)
def test_the_name_of_a_file_tells_its_format(name: str, form: str) -> None:
    assert format_of(f"/some/where/{name}") == form


def test_a_name_that_tells_no_format_asks_for_it() -> None:
    with pytest.raises(InvalidDocumentError, match="--format"):
        format_of("config.toml")
