"""The flags of an environment as a store hands them out: all of one moment, or what has changed since."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from configkit.errors import InvalidDocumentError
from configkit.flags.model import Flag

logger = logging.getLogger("configkit")


class Unread(NamedTuple):
    """
    A flag as it came from a store, which nobody has looked at yet.

    Attributes:
        read: Makes the flag of *source*, or raises `InvalidDocumentError`; None: it did, so there is no flag.
    """

    version: int
    read: Callable[[Any], Flag] | None
    source: Any


class FlagMap(Mapping[str, Flag]):
    """
    Flags by name, read-only, each made of what came from the store when it is first looked at.

    So thousands of flags are there at once, and one that this release cannot read (a later one wrote it, say) is missing
    by itself: it is among the `names`, but it is no key.
    """

    __slots__ = ("_flags",)

    def __init__(self, flags: Mapping[str, Flag | Unread]) -> None:
        self._flags = dict(flags)

    @classmethod
    def of(cls, flags: Mapping[str, Flag]) -> FlagMap:
        """Return *flags* as such a map."""
        return flags if isinstance(flags, FlagMap) else cls(flags)

    @property
    def names(self) -> KeysView[str]:
        """The names of all flags, of those that cannot be read too."""
        return self._flags.keys()

    @property
    def checksum(self) -> int:
        """The sum of the versions of all flags."""
        return sum(flag.version for flag in self._flags.values())

    def __getitem__(self, name: str) -> Flag:
        flag = self._flags[name]
        if isinstance(flag, Unread):
            flag = self._read(name, flag)
        if isinstance(flag, Unread):
            raise KeyError(name)
        return flag

    def __iter__(self) -> Iterator[str]:
        return (name for name in list(self._flags) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<FlagMap of {len(self._flags)} flags>"

    def with_changes(self, changed: FlagMap, gone: Iterable[str]) -> FlagMap:
        """Return these flags with *changed* in their places, and without those that are *gone*."""
        become = FlagMap(self._flags)
        for name in gone:
            become._flags.pop(name, None)
        become._flags.update(changed._flags)
        return become

    def differing(self, before: FlagMap) -> frozenset[str]:
        """Return the names of the flags that are new, gone or different since *before*."""
        earlier = before._flags
        changed = {name for name, flag in self._flags.items() if not self._is_same(name, flag, before, earlier.get(name))}
        return frozenset(changed | (earlier.keys() - self._flags.keys()))

    def _is_same(self, name: str, flag: Flag | Unread, before: FlagMap, earlier: Flag | Unread | None) -> bool:
        if flag is earlier:
            return True
        if earlier is None or flag.version != earlier.version:
            return False
        if isinstance(flag, Unread) and isinstance(earlier, Unread):
            return bool(flag.source == earlier.source)
        return self.get(name) == before.get(name)

    def _read(self, name: str, unread: Unread) -> Flag | Unread:
        """Return the flag, and keep it in the place of what it was made of; or *unread*, marked, if that is no flag."""
        if unread.read is None:
            return unread
        flag: Flag | Unread
        try:
            flag = unread.read(unread.source)
        except InvalidDocumentError as error:
            logger.warning("flag %.255r cannot be read, so callers get their defaults: %s", name, error)
            flag = unread._replace(read=None)
        self._flags[name] = flag
        return flag


@dataclass(frozen=True, slots=True, init=False)
class FlagSet:
    """
    All flags of one environment at one moment.

    Attributes:
        version: The environment's counter: each change of a flag of it adds one.
    """

    environment: str
    version: int
    flags: FlagMap

    def __init__(self, environment: str, version: int, flags: Mapping[str, Flag]) -> None:
        object.__setattr__(self, "environment", environment)
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "flags", FlagMap.of(flags))


@dataclass(frozen=True, slots=True)
class FlagChanges:
    """
    What has changed of an environment's flags.

    Attributes:
        since: The version of the set that these changes are made to.
        version: The version that it has with them.
        changed: Flags that are new or different, by name.
        gone: Names of the flags that are no more.
        count: How many flags the set has with them.
        checksum: The sum of the versions of these flags.
    """

    environment: str
    since: int
    version: int
    changed: Mapping[str, Flag]
    gone: frozenset[str]
    count: int
    checksum: int

    def applied_to(self, flags: FlagMap) -> FlagSet | None:
        """
        Return the set that *flags*, which were at version *since*, become.

        None: they were not what the store had then (it was restored from a backup since), so the whole set is needed.
        """
        become = flags.with_changes(FlagMap.of(self.changed), self.gone)
        if len(become.names) != self.count or become.checksum != self.checksum:
            return None
        return FlagSet(self.environment, self.version, become)
