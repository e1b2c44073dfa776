"""Feature flags, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from configkit.backends.memory.journal import Change, MemoryJournal
from configkit.errors import ConflictError, NotFoundError
from configkit.flags.model import Flag
from configkit.flags.references import check_needed, check_references, check_unused
from configkit.flags.snapshot import FlagChanges, FlagSet
from configkit.models import FlagChanged, Origin, Page


@dataclass(slots=True)
class _Environment:
    version: int = 0
    flags: dict[str, Flag] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)


class MemoryFlagStore:
    """A `FlagStore`."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._environments: defaultdict[str, _Environment] = defaultdict(_Environment)

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        """Return the whole set at one moment, or None if its version is *known_version* still."""
        with self._journal.lock:
            there = self._environments[environment]
            if there.version == known_version:
                return None
            return FlagSet(environment, there.version, there.flags)

    def changes(self, environment: str, since: int) -> FlagChanges | None:
        """Return what has changed after the set was at version *since*; None: it never was."""
        with self._journal.lock:
            there = self._environments[environment]
            if not 0 <= since <= there.version:
                return None
            changed = {name: flag for name, flag in there.flags.items() if flag.version > since}
            gone = frozenset(name for name, version in there.gone.items() if version > since)
            checksum = sum(flag.version for flag in there.flags.values())
            return FlagChanges(environment, since, there.version, changed, gone, len(there.flags), checksum)

    def read(self, environment: str, name: str) -> Flag:
        """Return the flag. Raises `NotFoundError`."""
        with self._journal.lock:
            return self._found(environment, name)

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name)."""
        with self._journal.lock:
            selected = [
                flag
                for name, there in self._environments.items()
                if environments is None or name in environments
                for flag in there.flags.values()
                if enabled is None or flag.is_enabled is enabled
            ]
        selected.sort(key=lambda flag: (flag.environment, flag.name))
        return Page(tuple(selected[offset : offset + limit]), len(selected), limit, offset)

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """Add the flag. Raises `ConflictError` if it is there."""
        with self._journal.change() as change:
            there = self._environments[flag.environment].flags.get(flag.name)
            if there is not None:
                raise ConflictError(f"flag {_subject(flag)} exists; update it instead", expected=0, actual=there.version)
            return self._write(replace(flag, created_at=change.at), origin, change, "create")

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        """Apply *changes*. Raises `NotFoundError`, `ConflictError` or `InvalidDocumentError`."""
        with self._journal.change() as change:
            flag = self._found(environment, name, expected_version)
            changed = flag.with_changes(changes)
            check_needed(changed, flag, self._environments[environment].flags.values)
            return self._write(changed, origin, change, "update")

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        """Remove the flag. Raises `NotFoundError` or `ConflictError`."""
        with self._journal.change() as change:
            flag = self._found(environment, name, expected_version)
            there = self._environments[environment]
            check_unused(name, there.flags.values())
            there.version += 1
            del there.flags[name]
            there.gone[name] = there.version
            self._tell(flag, there.version, origin, change, "delete")

    def _found(self, environment: str, name: str, expected_version: int | None = None) -> Flag:
        flag = self._environments[environment].flags.get(name)
        if flag is None:
            raise NotFoundError(f"flag {environment}/{name} does not exist")
        if expected_version is not None and flag.version != expected_version:
            raise ConflictError(
                f"flag {_subject(flag)} is at version {flag.version}", expected=expected_version, actual=flag.version
            )
        return flag

    def _write(self, flag: Flag, origin: Origin, change: Change, action: str) -> Flag:
        there = self._environments[flag.environment]
        check_references(flag, there.flags.get)
        written = replace(flag, version=there.version + 1, updated_at=change.at)
        there.version = written.version
        there.flags[flag.name] = written
        there.gone.pop(flag.name, None)
        self._tell(written, written.version, origin, change, action)
        return written

    def _tell(self, flag: Flag, version: int, origin: Origin, change: Change, action: str) -> None:
        change.record("flag", action, _subject(flag), version, origin)
        deleted = action == "delete"
        change.events.append(
            FlagChanged(change.next_id(), flag.environment, flag.name, version, deleted, change.at, origin.changed_by)
        )


def _subject(flag: Flag) -> str:
    return f"{flag.environment}/{flag.name}"
