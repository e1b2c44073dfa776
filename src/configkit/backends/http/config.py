"""Configuration through the REST API."""

# ruff: noqa: ARG002  the author of a change is the token; `origin` belongs to the port
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from configkit import values
from configkit.backends.http import wire
from configkit.backends.http.answers import Answer, unavailable
from configkit.backends.http.pages import listed, page
from configkit.backends.http.transport import FRESH, Call, Query, TooLargeError, Transport
from configkit.errors import AccessDeniedError, ConfigKitError, ConflictError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.values import JsonValue

T = TypeVar("T")

ROOT = "/api/v1/config"
EVERYTHING = 1_000_000


class HttpConfigStore:
    """
    A `ConfigStore` behind a configkit server.

    The server writes down its token's name as the author of a change: *origin* is not sent. Secrets are masked where
    the token may not read them; what the caller wrote itself is answered in the clear.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """Return *version*, or the latest, as the server's store has it. Raises `NotFoundError`."""
        return self._document(
            "read",
            self._transport.call(
                Call("read", "GET", _item(path), query={**_where(path), "version": version}, headers=FRESH, reads=True)
            ).expect(200),
        )

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service, in pages where one answer would be too large."""

        def ask(reveal: str) -> dict[str, ConfigVersion]:
            body = {"environment": environment, "service_name": service_name, "reveal": reveal == "true"}
            answer = self._transport.call(Call("read_service", "POST", f"{ROOT}/bulk", body=body, reads=True)).expect(200)
            with wire.documented("read_service"):
                return {key: wire.config_version(item) for key, item in answer.document()["items"].items()}

        try:
            return _revealed(ask)
        except TooLargeError:
            selector = ConfigSelector(frozenset({environment}), frozenset({service_name}))
            return {found.path.key: found for found in self.list(selector, limit=EVERYTHING)}

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key)."""
        if any(chosen is not None and not chosen for chosen in (selector.environments, selector.services, selector.keys)):
            return Page((), 0, limit, offset)
        query = {
            "environment": listed(selector.environments),
            "service_name": listed(selector.services),
            "keys": listed(selector.keys),
        }
        return _revealed(
            lambda reveal: page(
                self._transport,
                Call("list", "GET", ROOT, query={**query, "reveal": reveal}, headers=FRESH, reads=True),
                wire.config_version,
                limit=limit,
                offset=offset,
            )
        )

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version, or the next one after a tombstone. Raises `ConflictError` if the key is there."""
        body = {**_where(path), "key": path.key, "value": _kept(value), "is_encrypted": is_encrypted, "comment": comment}
        answer = self._transport.call(Call("create", "POST", ROOT, body=given(body)))
        return _unmasked(self._document("create", answer.expect(201, expected_version=0)), value)

    def update(
        self,
        path: ConfigPath,
        value: JsonValue,
        *,
        origin: Origin,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
        adopt: bool = False,
    ) -> ConfigVersion:
        """Write the next version of a key that is there. Raises `NotFoundError` or `ConflictError`."""
        body = {"value": _kept(value), "is_encrypted": is_encrypted, "comment": comment, "expected_version": expected_version}
        if adopt:
            body["adopt"] = True
        answer = self._transport.call(Call("update", "PUT", _item(path), query=_where(path), body=given(body)))
        return _unmasked(self._document("update", answer.expect(200, expected_version=expected_version)), value)

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number. Raises `NotFoundError` or `ConflictError`."""
        ends = time.monotonic() + self._transport.deadline
        while True:
            # The tag first: if it still holds at the end, the version read in between is the one that is deleted.
            guard = {"If-Match": self._tag(path, ends)}
            version = self._version(path, ends)
            if version is None:
                continue
            if expected_version not in (None, version):
                raise ConflictError(f"{path} is at version {version}", expected=expected_version, actual=version)
            answer = self._transport.call(Call("delete", "DELETE", _item(path), query=_where(path), headers=guard), ends=ends)
            if answer.status != 412 or expected_version is not None:
                answer.expect(204, expected_version=expected_version)
                return version

    def _tag(self, path: ConfigPath, ends: float) -> str:
        """Return the entity tag of what is there; `If-None-Match: *` keeps the value, which may be a secret, where it is."""
        headers = {**FRESH, "If-None-Match": "*"}
        call = Call("delete", "GET", _item(path), query=_where(path), headers=headers, reads=True)
        tag = self._transport.call(call, ends=ends).expect(304, 200).headers.get("etag")
        if tag is None:
            raise unavailable("delete", "the answer has no entity tag; is this a configkit server?")
        return tag

    def _version(self, path: ConfigPath, ends: float) -> int | None:
        query = {**_where(path), "keys": [path.key], "limit": 1}
        answer = self._transport.call(Call("delete", "GET", ROOT, query=query, headers=FRESH, reads=True), ends=ends).expect(200)
        with wire.documented("delete"):
            items = answer.document()["items"]
            return wire.config_version(items[0]).version if items else None

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions, newest first. Raises `NotFoundError` if there never was one."""
        return _revealed(
            lambda reveal: page(
                self._transport,
                Call("history", "GET", f"{_item(path)}/history", query={**_where(path), "reveal": reveal}, reads=True),
                lambda entry: wire.history_entry(path, entry),
                limit=limit,
                offset=offset,
            )
        )

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value and the secret mark of *version* as a new version. Raises `NotFoundError`."""
        body = given({"version": version, "comment": comment})
        answer = self._transport.call(Call("rollback", "POST", f"{_item(path)}/rollback", query=_where(path), body=body))
        written = self._document("rollback", answer.expect(200))
        if not written.masked:
            return written
        try:
            return self.read(path, written.version)
        except ConfigKitError:
            return written  # it is done, whatever became of looking at it

    def _document(self, operation: str, answer: Answer) -> ConfigVersion:
        with wire.documented(operation):
            return wire.config_version(answer.document())


def _revealed(ask: Callable[[str], T]) -> T:
    """Return what *ask* gives for `reveal=true`, or for `reveal=false` where the token may not read secrets."""
    try:
        return ask("true")
    except AccessDeniedError:
        return ask("false")


def _item(path: ConfigPath) -> str:
    return f"{ROOT}/{path.key}"


def _where(path: ConfigPath) -> Query:
    return {"environment": path.environment, "service_name": path.service_name}


def _kept(value: JsonValue) -> JsonValue:
    return values.decode(values.encode(value))


def given(body: dict[str, Any]) -> dict[str, Any]:
    """Return what of *body* is there."""
    return {name: item for name, item in body.items() if item is not None}


def _unmasked(written: ConfigVersion, value: JsonValue) -> ConfigVersion:
    return replace(written, value=_kept(value), masked=False) if written.masked else written
