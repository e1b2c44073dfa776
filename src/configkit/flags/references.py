"""
Which flags a flag depends on: its prerequisites, and the segments of its rules.

Flags of one environment are checked against each other when one is written; a set that holds a circle all the same (two
stores were merged, say) is evaluated without harm: who is part of it, or leads to it, is not decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from configkit.errors import InvalidDocumentError
from configkit.flags.conditions import segments_of
from configkit.flags.limits import MAX_DEPENDENCIES
from configkit.flags.model import SEGMENT, Flag

Find = Callable[[str], "Flag | None"]


def references(flag: Flag) -> list[str]:
    """Return the names of the flags and segments that *flag* asks, as often as it does."""
    found = [each["flag"] for each in flag.prerequisites]
    for rule in flag.rules:
        found += segments_of(rule["conditions"])
    return found


def is_circular(name: str, find: Find) -> bool:
    """Return whether following what the flag *name* depends on leads around in a circle, or further than is allowed."""
    try:
        _walk(name, find, (), [0])
    except _TooFarError:
        return True
    return False


class _TooFarError(Exception):
    """Following references comes back to where it was (with the way as its argument), or does not end soon enough."""


def _walk(name: str, find: Find, way: tuple[str, ...], count: list[int]) -> None:
    if name in way:
        raise _TooFarError((*way[way.index(name) :], name))
    flag = find(name)
    if flag is None:
        return
    for each in references(flag):
        count[0] += 1
        if count[0] > MAX_DEPENDENCIES:
            raise _TooFarError(())
        _walk(each, find, (*way, name), count)


def check_references(flag: Flag, find: Find) -> None:
    """
    Refuse *flag* if what it depends on is not there, is of the wrong kind, lacks a variant, or leads in a circle.

    Args:
        find: Returns another flag of the environment; None: there is none.

    Raises:
        InvalidDocumentError: With a pointer to the reference.
    """
    for index, each in enumerate(flag.prerequisites):
        pointer = f"/prerequisites/{index}/flag"
        found = find(each["flag"])
        if found is None:
            raise InvalidDocumentError(f"there is no flag {each['flag']} in {flag.environment}; create it first", pointer=pointer)
        if found.kind == SEGMENT:
            remedy = f"{each['flag']} is a segment; a rule with in_segment asks for it"
            raise InvalidDocumentError(remedy, pointer=pointer)
        _check_way(each["flag"], flag, find, pointer)
        lacking = [variant for variant in each["variants"] if variant not in found.values]
        if lacking:
            remedy = f"{each['flag']} has no variant {lacking[0]}; it has: {', '.join(found.values)}"
            raise InvalidDocumentError(remedy, pointer=f"/prerequisites/{index}/variants")
    for index, rule in enumerate(flag.rules):
        pointer = f"/rules/{index}/conditions"
        for name in segments_of(rule["conditions"]):
            found = find(name)
            if found is None:
                raise InvalidDocumentError(f"there is no segment {name} in {flag.environment}; create it first", pointer=pointer)
            if found.kind != SEGMENT:
                raise InvalidDocumentError(f"{name} is a flag and no segment; prerequisites ask for it", pointer=pointer)
    _check_way(flag.name, flag, find, "/prerequisites")


def _check_way(name: str, flag: Flag, find: Find, pointer: str) -> None:
    def written(each: str) -> Flag | None:
        return flag if each == flag.name else find(each)

    try:
        _walk(name, written, (), [0])
    except _TooFarError as error:
        way = error.args[0]
        if way:
            raise InvalidDocumentError(f"these depend on each other: {' -> '.join(way)}", pointer=pointer) from None
        remedy = f"more than {MAX_DEPENDENCIES} flags and segments would be decided for this one"
        raise InvalidDocumentError(remedy, pointer=pointer) from None


def check_unused(name: str, flags: Iterable[Flag]) -> None:
    """
    Refuse to let the flag *name* go while others depend on it.

    Raises:
        InvalidDocumentError: Some of *flags* do.
    """
    dependants = sorted(flag.name for flag in flags if flag.name != name and name in references(flag))
    if dependants:
        shown = ", ".join(dependants[:5]) + (" and others" if len(dependants) > 5 else "")
        raise InvalidDocumentError(f"these depend on it: {shown}; change them first", pointer="/name")


def check_needed(changed: Flag, before: Flag, flags: Callable[[], Iterable[Flag]]) -> None:
    """
    Refuse a change that takes away variants which others have to be answered.

    Args:
        flags: Returns those of the environment; called only where variants are taken away.

    Raises:
        InvalidDocumentError: Some of them need one.
    """
    gone = before.values.keys() - changed.values.keys()
    if not gone:
        return
    for flag in flags():
        for each in flag.prerequisites:
            needed = sorted(gone.intersection(each["variants"])) if each["flag"] == changed.name else []
            if needed and flag.name != changed.name:
                remedy = f"{flag.name} depends on its variant {needed[0]}; change that first"
                raise InvalidDocumentError(remedy, pointer="/variants")


def in_order(flags: Iterable[Flag]) -> list[Flag]:
    """Return *flags*, each after those of its environment that it depends on; those in a circle as they come."""
    every = {(flag.environment, flag.name): flag for flag in flags}
    ordered: dict[tuple[str, str], Flag] = {}
    begun: set[tuple[str, str]] = set()

    def add(key: tuple[str, str]) -> None:
        if key in every and key not in begun:
            begun.add(key)
            for name in references(every[key]):
                add((key[0], name))
            ordered[key] = every[key]

    for key in every:
        add(key)
    return list(ordered.values())
