"""
Query strings: declared once, read strictly, and documented from the same declaration.

A parameter that nobody declared is refused: a misspelt ``enviroment`` must not widen a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from configkit import names
from configkit.errors import InvalidDocumentError
from configkit_server.pointers import showable
from configkit_server.problems import INVALID, ProblemError
from configkit_server.wire.text import (
    ENVIRONMENT,
    KEY,
    MAX_VERSION,
    SERVICE,
    ZONE,
)

Reader = Callable[[str, str], Any]

_CACHED_BYTES = 512
_CACHED_QUERIES = 2048
MAX_FIELDS = 1000
MAX_OFFSET = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    One parameter of a query string.

    Attributes:
        read: Returns the value of a text, given the pointer to name in `InvalidDocumentError`.
        schema: Its JSON schema in the OpenAPI document.
        default: The value where it is absent.
        repeated: It may be given several times, under its name or with ``[]`` appended; the value is a tuple or None.
        most: How often at most, where it is repeated; all together stay below the 64 KiB that servers take as a URL.
    """

    name: str
    read: Reader
    schema: Mapping[str, Any]
    description: str
    required: bool = False
    default: Any = None
    repeated: bool = False
    most: int = 1


class Query:
    """The query string of one operation, read by its parameters."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = {parameter.name: parameter for parameter in parameters}
        for parameter in parameters:
            if parameter.repeated:
                self._parameters[f"{parameter.name}[]"] = parameter
        self._defaults = {parameter.name: parameter.default for parameter in parameters}
        self._required = [parameter.name for parameter in parameters if parameter.required]
        self._known: dict[bytes, Mapping[str, Any]] = {}

    def read(self, query_string: bytes) -> Mapping[str, Any]:
        """
        Return the value of every declared parameter, shared between equal query strings.

        Raises:
            ProblemError: 422: a parameter is unknown, missing, repeated or not allowed.
        """
        found = self._known.get(query_string)
        if found is None:
            found = self._parse(query_string)
            if len(query_string) <= _CACHED_BYTES:
                if len(self._known) >= _CACHED_QUERIES:
                    self._known.clear()
                self._known[query_string] = found
        return found

    def _parse(self, query_string: bytes) -> Mapping[str, Any]:
        try:
            pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError:
            raise ProblemError(INVALID, "the query string is not percent-encoded UTF-8 of at most 1000 parameters") from None
        errors: list[tuple[str, str]] = []
        values: dict[str, Any] = {}
        for name, text in pairs:
            parameter = self._parameters.get(name)
            if parameter is None:
                errors.append(("unknown query parameter", f"/{name}" if showable(name) else ""))
                continue
            self._take(parameter, text, values, errors)
        errors += [("required query parameter", f"/{name}") for name in self._required if name not in values]
        if errors:
            raise ProblemError(INVALID, "the query breaks a rule; see errors", errors=errors[:20])
        return {**self._defaults, **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}}

    @staticmethod
    def _take(parameter: Parameter, text: str, values: dict[str, Any], errors: list[tuple[str, str]]) -> None:
        pointer = f"/{parameter.name}"
        try:
            value = parameter.read(text, pointer)
        except InvalidDocumentError as error:
            errors.append((error.detail, pointer))
            return
        if parameter.repeated:
            listed = values.setdefault(parameter.name, [])
            listed.append(value)
            if len(listed) == parameter.most + 1:
                errors.append((f"at most {parameter.most}", pointer))
        elif parameter.name in values:
            errors.append(("given more than once", pointer))
        else:
            values[parameter.name] = value


def _whole(least: int, most: int) -> Reader:
    def read(text: str, pointer: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 10 or not least <= int(text) <= most:
            raise InvalidDocumentError(f"a whole number from {least} to {most}", pointer=pointer)
        return int(text)

    return read


def _boolean(text: str, pointer: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidDocumentError("true or false", pointer=pointer)
    return text == "true"


def _one_of(*words: str) -> Reader:
    def read(text: str, pointer: str) -> str:
        if text not in words:
            raise InvalidDocumentError(f"one of: {', '.join(words)}", pointer=pointer)
        return text

    return read


def _text(check: Callable[..., str]) -> Reader:
    return lambda text, pointer: check(text, pointer=pointer)


STRATEGIES = ("round_robin", "random", "weighted", "least_loaded")


ONE_ENVIRONMENT = Parameter("environment", _text(names.check_environment), ENVIRONMENT, "The environment.", required=True)
"""Whether it exists is the handler's to check."""
ANY_ENVIRONMENT = Parameter(
    "environment",
    _text(names.check_environment),
    ENVIRONMENT,
    "The environment. Without it, the header X-Environment, the only environment of the token, or the server's own.",
)
ONE_SERVICE = Parameter("service_name", _text(names.check_service_name), SERVICE, "The service, or `_shared`.", required=True)


def flag(name: str, description: str, *, default: bool | None = False) -> Parameter:
    """Return a parameter that is true or false."""
    schema = {"type": "boolean"} if default is None else {"type": "boolean", "default": default}
    return Parameter(name, _boolean, schema, description, default=default)


ENVIRONMENTS = Parameter(
    "environment", _text(names.check_environment), ENVIRONMENT, "Only this environment; may be repeated.", repeated=True, most=64
)
SERVICES = Parameter(
    "service_name", _text(names.check_service_name), SERVICE, "Only this service; may be repeated.", repeated=True, most=100
)
KEYS = Parameter("keys", _text(names.check_key), KEY, "Only these keys; `keys[]` is the same.", repeated=True, most=150)
VERSION = Parameter(
    "version",
    _whole(1, MAX_VERSION),
    {"type": "integer", "minimum": 1, "maximum": MAX_VERSION},
    "This version, not the latest.",
)
LIMIT = Parameter(
    "limit",
    _whole(1, 500),
    {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    "How many items at most.",
    default=50,
)
OFFSET = Parameter(
    "offset",
    _whole(0, MAX_OFFSET),
    {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
    "How many items to skip.",
    default=0,
)
SINCE = Parameter(
    "since",
    _whole(0, MAX_VERSION),
    {"type": "integer", "minimum": 0, "maximum": MAX_VERSION},
    "Of one environment, only what has changed after this version of its set, in one page: `since` and `gone` are in the "
    "answer then. Where that is not known any more they are not, and the page is the first one of all.",
)
STRATEGY = Parameter(
    "strategy",
    _one_of(*STRATEGIES),
    {"type": "string", "enum": list(STRATEGIES), "default": "round_robin"},
    "How one of several is chosen.",
    default="round_robin",
)
ZONE_PREFERRED = Parameter("zone", _text(names.check_zone), ZONE, "Prefer instances of this zone.")
PAGING = (LIMIT, OFFSET)
