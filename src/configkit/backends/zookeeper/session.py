"""
One ZooKeeper session that is always there again: every call has a deadline, and no outage is long enough to end it.

kazoo's connection is used through its asynchronous calls only, so that whoever waits, waits on a result and not on a
server. Nothing here, or that is called from here, asks ZooKeeper anything in one of kazoo's own threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, KeeperState

from configkit import chance
from configkit.backends.zookeeper.handler import Handler
from configkit.errors import AccessDeniedError, ClosedError, UnavailableError

logger = logging.getLogger("configkit.zookeeper")

BACKEND = "zookeeper"
_DENIED = (exceptions.NoAuthError, exceptions.AuthFailedError, exceptions.InvalidACLError)
_LOST = (exceptions.ConnectionLoss, exceptions.SessionExpiredError, exceptions.ConnectionClosedError, exceptions.SessionMovedError)
_HOPELESS_SECONDS = 0.25
_REOPEN_SECONDS = 1.0
_REFUSED_SECONDS = 5.0
_FORMER = 64

parents: list[KazooClient] = []
"""Clients of a parent process, kept so that the child's garbage collection closes nothing of theirs."""


class LostError(Exception):
    """The connection went away under a request, which was or was not carried out."""


class Session:
    """
    A session with ZooKeeper, and the next one when it has expired.

    Args:
        make: Makes a kazoo client that runs on a handler.
        make_handler: Makes such a handler.
        deadline: Seconds for a call.

    Attributes:
        on_connected: Called with each (re)connection, in kazoo's thread: it must not block.
    """

    def __init__(self, make: Callable[[Handler], KazooClient], make_handler: Callable[[], Handler], *, deadline: float) -> None:
        self.deadline = deadline
        self.on_connected: list[Callable[[], None]] = []
        self._make = make
        self._make_handler = make_handler
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._client: KazooClient | None = None
        self._handler: Handler | None = None
        self._id = 0
        self._former: list[int] = []
        self._refused = self._told = False
        self._away_since = time.monotonic()
        self._reopen_at = 0.0

    def end_of_call(self, seconds: float | None = None) -> float:
        """Return when a call that begins now must be over, on the monotonic clock."""
        return time.monotonic() + (self.deadline if seconds is None else seconds)

    def open(self) -> None:
        """Begin to connect, in the background."""
        with self._changed:
            self._open_if_needed()

    @property
    def id(self) -> int:
        """The session that is connected; 0: none is."""
        return self._id

    def was_ours(self, session: int) -> bool:
        """Return whether *session* is, or was, one of this process."""
        return session != 0 and (session == self._id or session in self._former)

    def connected(self, end: float) -> tuple[KazooClient, int]:
        """
        Return the client and its session's id, waiting for a connection.

        Where there has been none for longer than a whole deadline, nobody waits a deadline for it any more.

        Raises:
            UnavailableError: There is none.
            AccessDeniedError: The credentials were refused.
        """
        with self._changed:
            while True:
                self._open_if_needed()
                if self._id and self._client is not None:
                    return self._client, self._id
                now = time.monotonic()
                if self._refused and now < self._reopen_at:
                    raise AccessDeniedError("the credentials were refused", backend=BACKEND, operation="connect")
                if now - self._away_since > self.deadline:
                    end = min(end, now + _HOPELESS_SECONDS)
                if now >= end:
                    raise UnavailableError("there is no connection", backend=BACKEND, operation="connect")
                self._changed.wait(min(end - now, _REOPEN_SECONDS))

    def ask(self, end: float, request: Callable[[KazooClient], Any]) -> Any:
        """
        Return the answer to *request*, which begins one of kazoo's asynchronous calls.

        Raises:
            LostError: The connection went away; it was or was not carried out.
            UnavailableError: No answer in time, or no connection.
        """
        client, _ = self.connected(end)
        return self.answer(end, request(client))

    def answer(self, end: float, result: Any) -> Any:
        """Wait for *result*; raises as `ask` does."""
        try:
            return result.get(timeout=max(end - time.monotonic(), 0))
        except _LOST as error:
            raise LostError from error
        except KazooTimeoutError as error:
            raise UnavailableError("no answer in time", backend=BACKEND, operation="call") from error

    def insist(self, end: float, request: Callable[[KazooClient], Any]) -> Any:
        """Ask for what may be asked twice, again after each lost connection."""
        while True:
            try:
                return self.ask(end, request)
            except LostError:
                self.pause(end)

    def pause(self, end: float) -> None:
        """Wait for a moment after a lost connection. Raises `UnavailableError` once *end* is over."""
        left = end - time.monotonic()
        if left <= 0:
            raise UnavailableError("the connection was lost", backend=BACKEND, operation="call")
        time.sleep(min(left, chance.uniform(0.01, 0.03)))

    def close(self, within: float = 1.0) -> None:
        """End the session, and with it its ephemeral nodes: within so many seconds, or when it expires."""
        with self._changed:
            self._closed = True
            client, handler, self._client, self._id = self._client, self._handler, None, 0
            self._changed.notify_all()
        if client is None or handler is None:
            return
        thread = threading.Thread(target=_end, args=(client,), name="configkit-zookeeper-close", daemon=True)
        thread.start()
        thread.join(within / 2)
        if thread.is_alive():
            handler.hang_up()
            thread.join(within / 2)

    def after_fork(self) -> None:
        """Begin anew in a forked child; the session is the parent's, and goes on."""
        client, handler = self._client, self._handler
        if client is not None and handler is not None:
            parents.append(client)
            handler.forget()
        self._begin_anew()

    def _open_if_needed(self) -> None:
        """Make a client where there is none, or where kazoo has given up the last."""
        if self._closed:
            raise ClosedError
        if self._client is not None and self._handler is not None and not self._handler.ended.is_set():
            return
        now = time.monotonic()
        if now < self._reopen_at:
            return
        self._reopen_at = now + _REOPEN_SECONDS
        if self._client is not None:
            threading.Thread(target=_end, args=(self._client,), name="configkit-zookeeper-close", daemon=True).start()
        self._refused = False
        handler = self._make_handler()
        client = self._make(handler)
        client.add_listener(lambda state: self._on_state(client, handler, state))
        self._client, self._handler = client, handler
        client.start_async()

    def _on_state(self, client: Any, handler: Handler, state: KazooState) -> None:
        """Take in a change of the connection, in kazoo's thread."""
        handler.connected = state == KazooState.CONNECTED
        with self._changed:
            if self._client is None or self._client is not client:
                return
            if state == KazooState.CONNECTED:
                self._arrive(self._client.client_id[0])
            else:
                self._leave(lost=state == KazooState.LOST, refused=self._client.client_state == KeeperState.AUTH_FAILED)
            self._changed.notify_all()
        if state == KazooState.CONNECTED:
            for tell in self.on_connected:
                tell()

    def _arrive(self, session: int) -> None:
        if session in self._former:
            self._former.remove(session)
        self._id = session
        self._former = [*self._former, session][-_FORMER:]
        if self._told:
            logger.warning("ZooKeeper is connected again")
        self._told = False

    def _leave(self, *, lost: bool, refused: bool) -> None:
        if self._id:
            self._away_since = time.monotonic()
        self._id = 0
        if refused:
            self._refused = True
            self._reopen_at = time.monotonic() + _REFUSED_SECONDS
        if not self._told and not self._closed:
            self._told = True
            reason = "refused the credentials" if refused else "ended the session" if lost else "is not connected"
            logger.warning("ZooKeeper %s; trying on", reason)


def _end(client: KazooClient) -> None:
    try:
        client.stop()
        client.close()
    except Exception:
        logger.debug("a ZooKeeper client did not end in order", exc_info=True)


@contextmanager
def translating(operation: str) -> Iterator[None]:
    """Raise the errors of kazoo as configkit's."""
    try:
        yield
    except (AccessDeniedError, UnavailableError) as error:
        error.operation = operation
        raise
    except _DENIED as error:
        raise AccessDeniedError(
            f"{type(error).__name__}: the credentials do not reach", backend=BACKEND, operation=operation
        ) from error
    except (exceptions.KazooException, LostError) as error:
        raise UnavailableError(f"{type(error).__name__}", backend=BACKEND, operation=operation) from error
