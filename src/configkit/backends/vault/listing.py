"""Whole services and pages of keys: names from Vault's LIST, values by many reads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from configkit.backends.vault.session import Session
from configkit.backends.vault.transport import Call
from configkit.errors import InvalidDocumentError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Page
from configkit.names import check_environment, check_service_name

READ_ALL = 500
"""Up to so many keys a list reads them all; beyond, it trusts for a while that what was there is there."""

_TRUSTED_FOR = 30.0
_REMEMBERED = 200_000

ReadLive = Callable[[Call, ConfigPath], ConfigVersion | None]


class Folders(Protocol):
    """What lists names."""

    def names(self, call: Call, folder: str) -> list[str]:
        """Return what lies in *folder*; folders in it end with a slash."""


class Listing:
    """
    Lists what is live.

    Vault's LIST shows deleted keys too, and only a read tells them apart. A list over more than `READ_ALL` keys reads each
    of them once in half a minute, and the page itself always: only its total may count what others deleted since.

    Args:
        read: Returns the live document at a path, or None.
        environments: Those to look through where a selector names none; None: all that there are.
    """

    def __init__(self, session: Session, folders: Folders, read: ReadLive, *, environments: frozenset[str] | None) -> None:
        self._session = session
        self._folders = folders
        self._read = read
        self._environments = environments
        self.forget()

    def forget(self) -> None:
        """Know nothing of what is there."""
        self._lock = threading.Lock()
        self._alive: dict[ConfigPath, float] = {}

    def seen(self, path: ConfigPath) -> None:
        """Take in that *path* is live."""
        with self._lock:
            if len(self._alive) >= _REMEMBERED:
                self._alive.clear()
            self._alive[path] = time.monotonic()

    def gone(self, path: ConfigPath) -> None:
        """Take in that *path* is not live."""
        with self._lock:
            self._alive.pop(path, None)

    def service(self, call: Call, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service."""
        service = check_environment(environment), check_service_name(service_name)
        documents = self._documents(call, sorted(self._keys(call, service)))
        return {path.key: document for path, document in documents.items() if document is not None}

    def page(self, call: Call, selector: ConfigSelector, *, limit: int, offset: int) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key)."""
        paths = self._paths(call, selector)
        trusted = self._trusted() if len(paths) > READ_ALL else frozenset()
        known = self._documents(call, [path for path in paths if path not in trusted])
        while True:
            live = [path for path in paths if known.get(path, path) is not None]
            shown = live[offset : offset + limit]
            unread = [path for path in shown if path not in known]
            if not unread:
                items = tuple(document for path in shown if (document := known[path]) is not None)
                return Page(items, len(live), limit, offset)
            known |= self._documents(call, unread)

    def _documents(self, call: Call, paths: Sequence[ConfigPath]) -> dict[ConfigPath, ConfigVersion | None]:
        return dict(zip(paths, self._session.of_each(call, paths, lambda path: self._document(call, path)), strict=True))

    def _document(self, call: Call, path: ConfigPath) -> ConfigVersion | None:
        document = self._read(call, path)
        if document is None:
            self.gone(path)
        else:
            self.seen(path)
        return document

    def _trusted(self) -> frozenset[ConfigPath]:
        since = time.monotonic() - _TRUSTED_FOR
        with self._lock:
            return frozenset(path for path, at in self._alive.items() if at >= since)

    def _paths(self, call: Call, selector: ConfigSelector) -> list[ConfigPath]:
        environments = self._selected_environments(call, selector)
        if selector.services is None:
            listed = self._session.of_each(call, environments, lambda environment: self._services(call, environment))
        else:
            chosen = sorted(_valid(selector.services, check_service_name))
            listed = [[(environment, service) for service in chosen] for environment in environments]
        services = [service for of_environment in listed for service in of_environment]
        keys = self._session.of_each(call, services, lambda service: self._keys(call, service))
        return sorted(path for of_service in keys for path in of_service if selector.keys is None or path.key in selector.keys)

    def _selected_environments(self, call: Call, selector: ConfigSelector) -> list[str]:
        if selector.services is not None and not selector.services:
            return []
        if selector.keys is not None and not selector.keys:
            return []
        if selector.environments is not None:
            return sorted(_valid(selector.environments, check_environment))
        if self._environments is not None:
            return sorted(self._environments)
        return sorted(_valid(_folders(self._folders.names(call, "")), check_environment))

    def _services(self, call: Call, environment: str) -> list[tuple[str, str]]:
        found = _folders(self._folders.names(call, environment))
        return [(environment, service) for service in _valid(found, check_service_name)]

    def _keys(self, call: Call, service: tuple[str, str]) -> list[ConfigPath]:
        """Return the paths of a service's keys; what is no name of configkit's belongs to somebody else."""
        environment, service_name = service
        found = []
        for name in self._folders.names(call, f"{environment}/{service_name}"):
            try:
                found.append(ConfigPath(environment, service_name, name))
            except InvalidDocumentError:
                continue
        return found


def _folders(names: Iterable[str]) -> list[str]:
    return [name[:-1] for name in names if name.endswith("/")]


def _valid(names: Iterable[str], check: Callable[[object], str]) -> list[str]:
    kept = []
    for name in names:
        try:
            kept.append(check(name))
        except InvalidDocumentError:
            continue
    return kept
