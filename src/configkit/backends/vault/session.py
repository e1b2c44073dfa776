"""What every operation goes through: a token, a second try after a login, and reading many secrets at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from configkit.backends.vault.answers import AbsentError, documented, health, payload, unavailable
from configkit.backends.vault.credentials import Credentials
from configkit.backends.vault.login import Login, looked_up
from configkit.backends.vault.transport import Address, Call, Transport
from configkit.calls import Calls
from configkit.errors import AccessDeniedError, UnavailableError

S = TypeVar("S")
T = TypeVar("T")

READERS = 24
_CHECK_AGAIN_AFTER = 60.0


class Session:
    """
    One program's conversation with one Vault.

    Args:
        mount: Where the KV engine is mounted.
        kv_version: What version of it is expected there.
        deadline: Seconds that one operation may take in all.
    """

    def __init__(self, address: Address, login: Login, *, mount: str, kv_version: int, deadline: float) -> None:
        self.mount = mount
        self.deadline = deadline
        self._kv_version = kv_version
        self._transport = Transport(address)
        self._credentials = Credentials(self._transport, login, deadline=deadline)
        self._readers = Calls(workers=READERS, deadline=deadline)
        self._mount_checked = False
        self._check_at = 0.0

    def __repr__(self) -> str:
        return f"<Session {self._transport.address.url} {self.mount}>"

    def call(self, operation: str) -> Call:
        """Begin an operation: its deadline runs from now."""
        return Call(operation, time.monotonic() + self.deadline)

    def ask(self, call: Call, request: Callable[[Any], T]) -> T:
        """
        Return what *request* makes of hvac's adapter; a refused token is replaced once.

        Raises:
            AbsentError, MismatchError: See there.
            UnavailableError, AccessDeniedError, ClosedError: As `Transport.ask`.
        """
        if not self._mount_checked and time.monotonic() >= self._check_at:
            self._check_mount(call)
        return self._ask(call, request)

    def _ask(self, call: Call, request: Callable[[Any], T]) -> T:
        token = self._credentials.token(call)
        try:
            return self._transport.ask(call, token, request)
        except AccessDeniedError:
            other = self._credentials.instead_of(token, call)
            if other is None:
                raise
        return self._transport.ask(call, other, request)

    def of_each(self, call: Call, items: Sequence[S], read: Callable[[S], T]) -> list[T]:
        """
        Return *read* of each item, in their order, several at a time; this thread does its share.

        Raises:
            UnavailableError: Not all were read within the deadline.
            Exception: The first thing that *read* raised.
        """
        todo = _Todo(items, read)
        helpers: list[Future[None]] = []
        with suppress(UnavailableError):  # every reader is busy: this thread reads alone
            helpers.extend(self._readers.submit(todo.work) for _ in range(min(READERS, len(items) // 2)))
        todo.work()
        for helper in helpers:
            _join(call, helper)
        return todo.results()

    def ping(self) -> None:
        """Return if Vault is unsealed and active, accepts the credentials, and has the engine mounted; otherwise raise."""
        call = self.call("ping")
        if wrong := health(self._transport.status(call)):
            raise unavailable("ping", wrong)
        if not self._check_mount(call):
            looked_up(self._transport, call, self._credentials.token(call))

    def _check_mount(self, call: Call) -> bool:
        """
        See that the engine is what the settings say: the wrong version's paths would read as absent, and write elsewhere.

        False: these credentials may not look; then the operation itself will show what is wrong.
        """
        try:
            answer = self._ask(call, lambda adapter: adapter.get(f"/v1/sys/internal/ui/mounts/{self.mount}"))
        except (AccessDeniedError, AbsentError):
            self._check_at = time.monotonic() + _CHECK_AGAIN_AFTER
            return False
        with documented(call.operation):
            data = payload(call.operation, answer)["data"]
            kind, found = data["type"], int((data.get("options") or {}).get("version") or 1)
        if kind not in ("kv", "generic") or found != self._kv_version:
            there = f"KV version {found}" if kind in ("kv", "generic") else f"an engine of type {kind}"
            raise unavailable(call.operation, f"{there} is mounted at {self.mount}; set VAULT_KV_VERSION or VAULT_MOUNT_POINT")
        self._mount_checked = True
        return True

    def close(self) -> None:
        """End the token that was obtained here, and every connection; idempotent, within a second or so."""
        self._credentials.close()
        self._transport.close()
        self._readers.close(within=0.5)

    def after_fork(self) -> None:
        """Begin anew in a forked child: connections, threads and token are the parent's."""
        self._transport.after_fork()
        self._credentials.after_fork()
        self._readers.after_fork()


class _Todo:
    """Items that several threads work off together."""

    def __init__(self, items: Sequence[S], read: Callable[[S], T]) -> None:
        self._items = items
        self._read = read
        self._next = 0
        self._lock = threading.Lock()
        self._results: list[Any] = [None] * len(items)
        self._error: BaseException | None = None

    def work(self) -> None:
        while self._error is None:
            with self._lock:
                index, self._next = self._next, self._next + 1
            if index >= len(self._items):
                return
            try:
                self._results[index] = self._read(self._items[index])
            except BaseException as error:  # noqa: BLE001  whoever waits for all gets it
                self._error = self._error or error

    def results(self) -> list[Any]:
        if self._error is not None:
            raise self._error
        return self._results


def _join(call: Call, helper: Future[None]) -> None:
    """Wait for a helper that has begun; one that has not is not needed any more."""
    if helper.cancel():
        return
    try:
        helper.result(timeout=call.left())
    except TimeoutError:
        raise unavailable(call.operation, "not everything was read within the deadline") from None
