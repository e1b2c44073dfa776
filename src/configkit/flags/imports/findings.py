"""What reading flags of another system finds: flags, what has no equal here, and what is to be known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags.model import Flag

RESHUFFLED = "the share is kept, but other users are in it: the systems hash differently"


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Something of a flag that has no equal here, so that the flag is not imported.

    Attributes:
        pointer: Where in its definition, as a JSON pointer.
        reason: What it is, and what can be done.
    """

    flag: str
    pointer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something about an imported flag that its owner should know."""

    flag: str
    text: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a document holds: flags, in their order; what was refused; and what is to be known."""

    flags: tuple[Flag, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[Note, ...]


class UnmappableError(Exception):
    """There is no equal here; its arguments are the JSON pointer and the reason."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(pointer, reason)
        self.pointer = pointer
        self.reason = reason


class Findings:
    """
    Collects what reading a document finds.

    Args:
        reshuffle: Whether a share may be kept though other users will be in it; otherwise such a flag is refused.
    """

    def __init__(self, *, reshuffle: bool) -> None:
        self._reshuffle = reshuffle
        self._flags: dict[str, Flag] = {}
        self._refusals: list[Refusal] = []
        self._notes: dict[Note, None] = {}

    def add(self, flag: Flag) -> None:
        """Take a flag that was read whole."""
        if flag.name in self._flags:
            raise UnmappableError("", "there are two flags or segments of this name")
        self._flags[flag.name] = flag

    def note(self, flag: str, text: str) -> None:
        """Take down what the owner of *flag* should know."""
        self._notes[Note(flag, text)] = None

    def reshuffled(self, flag: str, pointer: str) -> None:
        """Take down that other users will be in a share. Raises `UnmappableError` unless that was allowed."""
        if not self._reshuffle:
            raise UnmappableError(pointer, f"{RESHUFFLED}; --reshuffle accepts that")
        self.note(flag, RESHUFFLED)

    @contextmanager
    def reading(self, name: object) -> Iterator[None]:
        """Refuse the flag *name* if the block finds that it has no equal here, or makes no sense."""
        shown = name if isinstance(name, str) else repr(name)[:100]
        try:
            yield
        except UnmappableError as error:
            self._refusals.append(Refusal(shown, error.pointer, error.reason))
        except InvalidDocumentError as error:
            self._refusals.append(Refusal(shown, error.pointer or "", f"configkit takes here: {error.detail}"))
        except RecursionError:
            self._refusals.append(Refusal(shown, "", "it is nested too deeply"))

    def imported(self) -> Imported:
        """Return what was found; notes about flags that were refused are left out."""
        notes = [note for note in self._notes if note.flag in self._flags]
        return Imported(tuple(self._flags.values()), tuple(self._refusals), tuple(notes))


def environment_of(known: Iterable[str], source: str | None, pointer: str) -> str | None:
    """
    Return which of a document's environments is read: *source*, or the only one; None: it has none.

    Raises:
        InvalidDocumentError: *source* is none of them, or there are several and nobody has named one.
    """
    names = sorted({str(name) for name in known})
    if source is None and len(names) < 2:
        return names[0] if names else None
    if source not in names:
        told = f"{source} is not among them" if source is not None else "there are several environments"
        raise InvalidDocumentError(f"{told}; --source-environment names one of: {', '.join(names)}", pointer=pointer)
    return source


# -- documents of others, of which nothing can be taken for granted ------------------------------------------------------


def an_object(value: object, pointer: str) -> Mapping[str, Any]:
    """Return *value* if it is an object. Raises `UnmappableError`."""
    if not isinstance(value, Mapping):
        raise UnmappableError(pointer, "an object is expected")
    return value


def a_list(value: object, pointer: str) -> list[Any]:
    """Return *value* if it is a list, and none for null. Raises `UnmappableError`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnmappableError(pointer, "a list is expected")
    return value


def a_text(value: object, pointer: str) -> str:
    """Return *value* if it is a text. Raises `UnmappableError`."""
    if not isinstance(value, str):
        raise UnmappableError(pointer, "a text is expected")
    return value


def a_number(value: object, pointer: str) -> int | float:
    """Return *value* if it is a number. Raises `UnmappableError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnmappableError(pointer, "a number is expected")
    return value


def texts(value: object, pointer: str) -> list[str]:
    """Return *value* if it is a list of texts. Raises `UnmappableError`."""
    return [a_text(each, f"{pointer}/{index}") for index, each in enumerate(a_list(value, pointer))]


# -- conditions --------------------------------------------------------------------------------------------------------

Condition = dict[str, Any]


def where(attribute: str, operator: str, values: list[Any]) -> Condition:
    """Return the condition that *attribute* is as *operator* says of *values*."""
    return {"attribute": attribute, "operator": operator, "values": values}


def negation(condition: Condition) -> Condition:
    """Return what holds exactly where *condition* does not, also where the attribute is missing or of another type."""
    return {"all": [condition], "negate": True}


def any_of(conditions: list[Condition]) -> Condition:
    """Return what holds where one of *conditions* does."""
    return conditions[0] if len(conditions) == 1 else {"any": conditions}


def all_of(conditions: list[Condition]) -> Condition:
    """Return what holds where all of *conditions* do."""
    return conditions[0] if len(conditions) == 1 else {"all": conditions}
