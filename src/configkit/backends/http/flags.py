"""Feature flags through the REST API."""

# ruff: noqa: ARG002  the author of a change is the token; `origin` belongs to the port
from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from configkit.backends.http import wire
from configkit.backends.http.answers import Answer, unavailable
from configkit.backends.http.pages import LIMIT, listed, page
from configkit.backends.http.transport import FRESH, Call, Query, Transport
from configkit.errors import ConflictError
from configkit.flags.documents import flag_of, flags_of, json_of
from configkit.flags.model import Flag, check_changes
from configkit.flags.snapshot import FlagChanges, FlagMap, FlagSet
from configkit.models import Origin, Page
from configkit.names import check_environment, check_key

ROOT = "/api/v1/feature-flags"


class HttpFlagStore:
    """A `FlagStore` behind a configkit server, which writes down its token's name: *origin* is not sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._tags: dict[str, tuple[int, str]] = {}

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        """Return the whole set at one moment, or None if its version is *known_version* still."""
        ends = time.monotonic() + self._transport.deadline
        while True:
            first = self._part(environment, 0, ends, self._known_tag(environment, known_version))
            if first.status == 304:
                return None
            loaded = self._rest(environment, first, ends)
            if loaded is not None:
                self._tags[environment] = (loaded.version, first.headers.get("etag", ""))
                return None if loaded.version == known_version else loaded
            if time.monotonic() >= ends:
                raise unavailable("load", f"the flags of {environment} changed faster than they could be read")

    def changes(self, environment: str, since: int) -> FlagChanges | None:
        """Return what has changed after the set was at version *since*; None: the server cannot tell."""
        query: Query = {"environment": check_environment(environment), "since": since, "limit": 1}
        headers = {**FRESH, "Accept-Encoding": "gzip"}
        answer = self._transport.call(Call("load", "GET", ROOT, query=query, headers=headers, reads=True))
        if answer.status == 422:
            return None  # a server of the release before, which does not know the parameter
        with wire.documented("load"):
            document = answer.expect(200).document()
            if document.get("since") is None:
                return None
            return FlagChanges(
                environment,
                wire.whole(document["since"]),
                wire.whole(document["version"]),
                flags_of(document["items"]),
                frozenset(document["gone"]),
                wire.whole(document["total"]),
                wire.whole(document["checksum"]),
            )

    def read(self, environment: str, name: str) -> Flag:
        """Return the flag. Raises `NotFoundError`."""
        return self._flag("read", self._get("read", environment, name).expect(200))

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name)."""
        if environments is not None and not environments:
            return Page((), 0, limit, offset)
        shown = None if enabled is None else "true" if enabled else "false"
        query = {"environment": listed(environments), "enabled": shown}
        call = Call("list", "GET", ROOT, query=query, headers=FRESH, reads=True)
        return page(self._transport, call, flag_of, limit=limit, offset=offset)

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """Add the flag. Raises `ConflictError` if it is there."""
        answer = self._transport.call(Call("create", "POST", ROOT, body=wire.flag_fields(flag)))
        return self._flag("create", answer.expect(201, expected_version=0))

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        """Apply *changes*. Raises `NotFoundError`, `ConflictError` or `InvalidDocumentError`."""
        # What the flag would become is checked here too, so that a change cannot pass for another field of the body.
        check_changes(changes)
        body = json_of(dict(changes))
        if expected_version is not None:
            body["expected_version"] = expected_version
        call = Call("update", "PUT", _item(name), query={"environment": environment}, body=body)
        return self._flag("update", self._transport.call(call).expect(200, expected_version=expected_version))

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        """Remove the flag. Raises `NotFoundError` or `ConflictError`."""
        headers: dict[str, str] = {}
        if expected_version is not None:
            found = self._get("delete", environment, name).expect(200)
            version = self._flag("delete", found).version
            if version != expected_version:
                raise ConflictError(f"{name} is at version {version}", expected=expected_version, actual=version)
            headers["If-Match"] = found.headers.get("etag", "*")
        call = Call("delete", "DELETE", _item(name), query={"environment": environment}, headers=headers)
        self._transport.call(call).expect(204, expected_version=expected_version)

    def _get(self, operation: str, environment: str, name: str) -> Answer:
        query = {"environment": check_environment(environment)}
        return self._transport.call(Call(operation, "GET", _item(name), query=query, headers=FRESH, reads=True))

    def _flag(self, operation: str, answer: Answer) -> Flag:
        with wire.documented(operation):
            return flag_of(answer.document())

    def _known_tag(self, environment: str, known_version: int | None) -> str | None:
        version, tag = self._tags.get(environment, (None, ""))
        return tag if tag and known_version is not None and version == known_version else None

    def _part(self, environment: str, offset: int, ends: float, known: str | None = None) -> Answer:
        query: Query = {"environment": check_environment(environment), "limit": LIMIT, "offset": offset}
        packed = {**FRESH, "Accept-Encoding": "gzip"}
        headers = {**packed, "If-None-Match": known} if known else packed
        call = Call("load", "GET", ROOT, query=query, headers=headers, reads=True)
        return self._transport.call(call, ends=ends).expect(200, 304)

    def _rest(self, environment: str, answer: Answer, ends: float) -> FlagSet | None:
        """Return the set that begins with *answer*; None if it changed between two parts."""
        flags = FlagMap({})
        version: int | None = None
        while True:
            with wire.documented("load"):
                document = answer.document()
                part = flags_of(document["items"])
                total, at = wire.whole(document["total"]), wire.whole(document["version"])
            if version not in (None, at):
                return None
            version = at
            flags = flags.with_changes(part, ())
            if len(flags.names) >= total:
                return FlagSet(environment, at, flags)
            if not part.names:
                return None
            answer = self._part(environment, len(flags.names), ends).expect(200)


def _item(name: str) -> str:
    return f"{ROOT}/{check_key(name, pointer='/name')}"
