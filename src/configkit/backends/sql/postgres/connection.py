"""
Connections that answer in time.

libpq waits for a server that has stopped answering as long as the network lets it; its own limits are for connecting
(of two seconds or more, for each address) and, in the server, for statements, which a stopped server does not keep.
"""

from __future__ import annotations

import select
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen

from configkit.backends.sql.postgres.target import Target

_STEP = 0.05
"""Seconds between two looks at the time while the server is silent."""


class NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time."""


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that is given up at a certain time.

    Attributes:
        end: The monotonic time after which a silent server is not waited for; the connection is closed then, because
            nobody knows what of its answer is still to come. None: it is waited for.
        moment: The database's time, in seconds since 1970, at which the present transaction began to decide.
    """

    end: float | None = None
    moment: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = _STEP, timeout: float | None = None) -> RV:
        """Return what *gen* comes to. Raises `NoAnswerError` once the time is over."""
        if self.end is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(_until(self.end, gen), _STEP, timeout)
        except NoAnswerError:
            self.close()
            raise

    def seems_dead(self) -> bool:
        """Whether something has come that nobody asked for: the end of the connection, as a rule. It costs microseconds."""
        if self.closed:
            return True
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))


def _until(end: float, gen: PQGen[RV]) -> PQGen[RV]:
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() >= end:
                raise NoAnswerError("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as result:
        value: RV = result.value
        return value


def connect(target: Target, end: float, *, application: str, schema: str, deadline: float) -> BoundedConnection:
    """
    Return a new connection in autocommit mode, whose transactions are begun by hand.

    Args:
        end: The monotonic time by which it must be there.
        schema: Where its tables lie.
        deadline: Seconds that the server gives to a statement; for nine tenths of that it waits for a lock, and for half
            of it for the next statement of a transaction: a client that hangs must not keep the others from writing.

    Raises:
        NoAnswerError: It was not.
        psycopg.Error: It was refused.
    """
    attempt: Future[BoundedConnection] = Future()
    arguments = {**target.parameters, **_limits(deadline), "application_name": application}
    threading.Thread(target=_attempt, args=(attempt, arguments), name="configkit-postgres-connect", daemon=True).start()
    connection = _outcome(attempt, end)
    try:
        connection.end = end
        _prepare(connection, schema, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _limits(deadline: float) -> dict[str, Any]:
    milliseconds = max(1, int(deadline * 1000))
    return {
        "connect_timeout": max(2, int(deadline) + 1),
        "keepalives": 1,
        "keepalives_idle": max(1, int(deadline)),
        "keepalives_interval": max(1, int(deadline / 3)),
        "keepalives_count": 3,
        "tcp_user_timeout": milliseconds,
    }


def _attempt(attempt: Future[BoundedConnection], arguments: dict[str, Any]) -> None:
    try:
        # Nothing is prepared in the server: a pooler between us, or a migration, may make it invalid.
        connection = BoundedConnection.connect(**arguments, autocommit=True, prepare_threshold=None)
    except BaseException as error:  # noqa: BLE001  (whoever waits raises it)
        if attempt.set_running_or_notify_cancel():
            attempt.set_exception(error)
    else:
        if attempt.set_running_or_notify_cancel():
            attempt.set_result(connection)
        else:
            connection.close()


def _outcome(attempt: Future[BoundedConnection], end: float) -> BoundedConnection:
    try:
        return attempt.result(max(0.0, end - time.monotonic()))
    except FutureTimeoutError:
        if attempt.cancel():
            raise NoAnswerError("the server does not answer") from None
        return attempt.result()


def _prepare(connection: BoundedConnection, schema: str, deadline: float) -> None:
    milliseconds = int(deadline * 1000)
    settings = {
        "search_path": quoted(schema),
        "statement_timeout": max(1, milliseconds),
        "lock_timeout": max(1, milliseconds * 9 // 10),
        "idle_in_transaction_session_timeout": max(1, milliseconds // 2),
        # So that a statement whose client has given up does not go on, and keeps no lock.
        "client_connection_check_interval": max(1, min(1000, milliseconds)),
        "default_transaction_isolation": "read committed",
    }
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    connection.execute(f"SELECT {calls}", [str(part) for setting in settings.items() for part in setting])


def quoted(name: str) -> str:
    """Return *name* as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'
