"""
Configuration as a file: JSON, YAML and dotenv, there and back.

A file maps keys to values. The keys that are secret are listed beside them, in a place where no key can be: under
``$secrets`` in JSON and YAML, in a comment on the first line of a dotenv file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.values import JsonValue

SECRETS = "$secrets"
DOTENV_SECRETS = "# secrets:"


class Format(StrEnum):
    """The formats of files."""

    JSON = "json"
    YAML = "yaml"
    DOTENV = "dotenv"


@dataclass(frozen=True, slots=True)
class Document:
    """
    What a file says.

    Attributes:
        secrets: The keys that it marks as secret.
        lines: Where each key stands, where the format tells.
    """

    values: Mapping[str, JsonValue] = field(repr=False)
    secrets: frozenset[str] = frozenset()
    lines: Mapping[str, int] = field(default_factory=dict)


def format_of(name: str) -> Format:
    """Return the format that the file's *name* tells. Raises `InvalidDocumentError` if it tells none."""
    path = PurePath(name)
    if path.suffix == ".json":
        return Format.JSON
    if path.suffix in {".yaml", ".yml"}:
        return Format.YAML
    if path.suffix == ".env" or path.name == ".env" or path.name.startswith(".env."):
        return Format.DOTENV
    raise InvalidDocumentError("the name does not tell the format: --format json, yaml or dotenv")


def dump(document: Document, form: Format) -> str:
    """
    Return *document* as the text of a file.

    Raises:
        InvalidDocumentError: A value cannot be written in this format.
    """
    if form is Format.DOTENV:
        return _dump_dotenv(document)
    content: dict[str, Any] = {SECRETS: sorted(document.secrets)} if document.secrets else {}
    content |= {key: document.values[key] for key in sorted(document.values)}
    if form is Format.JSON:
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    from configkit.cli.yaml_text import dump_yaml  # noqa: PLC0415

    return dump_yaml(content)


def load(text: str, form: Format) -> Document:
    """
    Return what the *text* of a file says.

    Raises:
        InvalidDocumentError: It is not that format, or not a mapping of keys; the message tells the line, not the value.
    """
    if form is Format.DOTENV:
        return _load_dotenv(text)
    if form is Format.YAML:
        from configkit.cli.yaml_text import parse_yaml  # noqa: PLC0415

        content, lines = parse_yaml(text)
    else:
        content, lines = parse_json(text, pointer=""), {}
    if not isinstance(content, dict):
        raise InvalidDocumentError("the file must map keys to values")
    return _separated(content, lines)


def parse_json(text: str, *, pointer: str = "/value") -> JsonValue:
    """Return the value of JSON *text*; what JSON leaves open (doubled keys, NaN) is refused."""
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidDocumentError(f"not JSON: line {error.lineno}, column {error.colno}", pointer=pointer) from None
    except _RefusedError as error:
        raise InvalidDocumentError(str(error), pointer=pointer) from None
    except RecursionError:
        raise InvalidDocumentError("nested too deeply", pointer=pointer) from None
    except ValueError:
        raise InvalidDocumentError("not JSON: a number has too many digits", pointer=pointer) from None


class _RefusedError(Exception):
    """JSON that Python would accept, but nobody should."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("not JSON: an object has the same key twice")
    return found


def _refuse_constant(_: str) -> None:
    raise _RefusedError("not JSON: NaN and Infinity are no JSON numbers")


def _separated(content: dict[str, Any], lines: Mapping[str, int]) -> Document:
    secrets = content.pop(SECRETS, [])
    if not isinstance(secrets, list) or not all(isinstance(key, str) for key in secrets):
        raise InvalidDocumentError(f"{SECRETS} must list keys")
    return Document(content, _known(secrets, content), lines)


def _known(secrets: Iterable[str], content: Mapping[str, Any]) -> frozenset[str]:
    if missing := sorted(set(secrets) - set(content)):
        raise InvalidDocumentError(f"marked as secret, but not in the file: {', '.join(missing)}")
    return frozenset(secrets)


# -- dotenv ------------------------------------------------------------------------------------------------------------


def _dump_dotenv(document: Document) -> str:
    lines = [f"{DOTENV_SECRETS} {' '.join(sorted(document.secrets))}"] if document.secrets else []
    lines += [_assignment(key, document.values[key]) for key in sorted(document.values)]
    return "".join(f"{line}\n" for line in lines)


def _assignment(key: str, value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    single = text.replace("\\", "\\\\").replace("'", "\\'")
    double = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    for written in (text, f"'{single}'", f'"{double}"'):
        # What the reader makes of it decides, with something after it that an unclosed quote would run into.
        line = f"{key}={written}"
        if [(b.key, b.value, b.error) for b in _bindings(f"{line}\nend='\"'\n")] == [(key, text, False), ("end", '"', False)]:
            return line
    raise InvalidDocumentError("this value cannot be written as dotenv; use json or yaml", pointer=f"/{key}")


def _load_dotenv(text: str) -> Document:
    values: dict[str, JsonValue] = {}
    lines: dict[str, int] = {}
    for binding in _bindings(text):
        written = binding.original.string
        line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        if binding.error:
            raise InvalidDocumentError(f"line {line}: not KEY=VALUE")
        if binding.key is None:
            continue
        if binding.value is None:
            # It may be a line of a value that was not quoted: not to be repeated.
            raise InvalidDocumentError(f"line {line}: not KEY=VALUE")
        if binding.key in values:
            raise InvalidDocumentError(f"line {line}: {binding.key} is there twice")
        values[binding.key], lines[binding.key] = binding.value, line
    first = text.removeprefix("\ufeff").split("\n", 1)[0]
    secrets = first.removeprefix(DOTENV_SECRETS).split() if first.startswith(DOTENV_SECRETS) else []
    return Document(values, _known(secrets, values), lines)


def _bindings(text: str) -> list[Any]:
    from dotenv.parser import parse_stream  # noqa: PLC0415  no other format needs it

    return list(parse_stream(io.StringIO(text, newline="")))
