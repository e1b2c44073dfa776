"""The open PostgreSQL database: its transactions, their deadlines, and what happens to them when the process forks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Protocol

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import QueuePool

from configkit.backends.sql import forks
from configkit.backends.sql.database import Moment
from configkit.backends.sql.journal import RECORDED
from configkit.backends.sql.migrate import HEAD
from configkit.backends.sql.postgres.connection import BoundedConnection, connect
from configkit.backends.sql.postgres.errors import BACKEND, NO_TABLES, READ_ONLY, translated
from configkit.backends.sql.postgres.target import Target
from configkit.errors import ClosedError, UnavailableError

_BOOT = "postgres"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = "extract(epoch FROM clock_timestamp())::float8"


class Attached(Protocol):
    """Something that follows the journal."""

    def committed(self) -> None:
        """Look for what a transaction of this process has written there."""

    def after_fork(self) -> None:
        """Forget the parent's threads and locks."""


class PostgresDatabase:
    """
    One schema of a PostgreSQL database, open for any number of threads.

    Transactions run at the isolation level "read committed"; what must not happen at the same time is serialised by an
    advisory lock on its subject, or by the locks of the rows. They are taken in this order, so that nobody waits in a
    circle: subject, rows, the row that numbers the journal.

    Args:
        prepare: Checks the tables, or brings them up to date, by the given monotonic time; called before the first
            operation, and again when tables were missing.
        size: How many connections there are at most.
        deadline: Seconds within which every operation is answered.
    """

    def __init__(
        self,
        target: Target,
        *,
        schema: str,
        application: str,
        prepare: Callable[[Callable[..., BoundedConnection], float], str],
        size: int,
        deadline: float,
    ) -> None:
        self.target = target
        self.schema = schema
        self.deadline = deadline
        self._application = application
        self._prepare = prepare
        self.revision = int(HEAD)
        self._size = size
        self._closed = False
        self._attached: list[Attached] = []
        self._forget()
        forks.watch(self)

    def attach(self, other: Attached) -> None:
        """Tell *other* of what is written to the journal, and of forks."""
        self._attached.append(other)

    @contextmanager
    def reading(self, operation: str, *, snapshot: bool = False) -> Iterator[Connection]:
        """Give a connection for reading. Raises `UnavailableError`."""
        with self._operation(operation) as connection:
            if snapshot:
                _driver(connection).execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", prepare=False)
            yield connection

    @contextmanager
    def writing(self, operation: str, *subject: str) -> Iterator[Connection]:
        """
        Give a connection in a write transaction, which is committed at the end, or rolled back if the body raises.

        Raises:
            UnavailableError: It did not answer within the deadline, or is read-only. After an error at the commit the
                change may have happened or not.
        """
        committing = False
        try:
            with self._operation(operation) as connection:
                _begin(_driver(connection), _number(self.schema, subject) if subject else None)
                connection.info.pop(RECORDED, None)
                yield connection
                recorded = connection.info.pop(RECORDED, False)
                committing = True
                connection.commit()
        except UnavailableError as error:
            error.nothing_changed = not committing
            raise
        if recorded:
            for other in self._attached:
                other.committed()

    def moment(self, connection: Connection) -> Moment:
        """
        Return what time it is in the database.

        In a transaction on a subject that is when it had got hold of that; in another one it is now: what rows say that
        it has got hold of before is then never of later.
        """
        mono = _driver(connection).moment
        if mono is None:
            mono = connection.execute(text(f"SELECT {_TIME}")).scalar_one()
        return Moment(_EPOCH + timedelta(seconds=mono), mono, _BOOT)

    def overwrite_log(self) -> None:
        """What was removed stays in the server's files until it is vacuumed and its log is recycled: its operator's part."""

    def ping(self) -> None:
        """Return if the database answers. Raises `UnavailableError` or `AccessDeniedError`."""
        with self.reading("ping") as connection:
            connection.execute(text("SELECT 1 FROM meta LIMIT 1"))

    def prepare(self, *, within: float | None = None) -> None:
        """
        Check the tables, or bring them up to date, unless that was done already.

        Args:
            within: Seconds in which the server must let us in; the deadline, if not given.

        Raises:
            UnavailableError: It cannot be reached; or there are no tables of configkit.
            AccessDeniedError: It refused the user.
            BackendError: The tables are of a release that this one cannot work with.
        """
        with translated(self.target, "open"):
            self._ensure_prepared(time.monotonic() + (self.deadline if within is None else within))

    def connect(self, end: float, *, deadline: float | None = None) -> BoundedConnection:
        """Return a connection outside of the pool, for who closes it; *end* is when it must be there."""
        return connect(
            self.target,
            end,
            application=self._application,
            schema=self.schema,
            deadline=self.deadline if deadline is None else deadline,
        )

    def close(self) -> None:
        """Close every connection; whatever is asked afterwards raises `ClosedError`."""
        if not self._closed:
            self._closed = True
            forks.unwatch(self)
            self._engine.dispose()

    @contextmanager
    def _operation(self, operation: str) -> Iterator[Connection]:
        end = time.monotonic() + self.deadline
        slots = self._slots
        if self._closed:
            raise ClosedError
        pool = self._engine.pool
        if not slots.acquire(timeout=self.deadline):
            raise UnavailableError("every connection is busy; try again", backend=BACKEND, operation=operation)
        try:
            with translated(self.target, operation), self._noticing():
                self._ensure_prepared(end)
                self._budget.end = end
                with self._engine.connect() as connection, _dropping(connection):
                    yield connection
        finally:
            slots.release()
            if self._closed:
                pool.dispose()  # the one that the connection went back to: the engine has a new one since

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if getattr(cause, "sqlstate", None) in NO_TABLES:
                self._prepared = False
            raise

    def _ensure_prepared(self, end: float) -> None:
        # Tables of the release before are looked at again each time: another server may be migrating them.
        if self._prepared and self.revision >= int(HEAD):
            return
        if not self._preparing.acquire(timeout=max(0.0, end - time.monotonic())):
            raise UnavailableError("the tables are being prepared; try again", backend=BACKEND, operation="open")
        try:
            if not self._prepared or self.revision < int(HEAD):
                self.revision = int(self._prepare(self.connect, end))
                self._prepared = True
        finally:
            self._preparing.release()

    def _forget(self) -> None:
        self._prepared = False
        self._preparing = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._size)
        self._budget = threading.local()
        self._engine = self._make_engine()

    def _make_engine(self) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self.connect(self._budget.end),
            poolclass=QueuePool,
            pool_size=self._size,
            max_overflow=0,
            pool_timeout=self.deadline,
            pool_use_lifo=True,
            hide_parameters=True,
            use_native_hstore=False,
        )

        def check_out(driver: BoundedConnection, *_: object) -> None:
            driver.end, driver.moment = self._budget.end, None
            if driver.seems_dead():
                _revive(driver)

        event.listen(engine, "checkout", check_out)
        return engine

    def before_fork(self) -> None:
        """The parent's connections stay open: the child leaves them alone."""

    def after_fork_in_parent(self) -> None:
        """Nothing was stopped."""

    def after_fork(self) -> None:
        """In the child: begin anew, closing nothing that is the parent's."""
        forks.keep(self._engine)
        prepared = self._prepared
        self._forget()
        self._prepared = prepared
        for other in self._attached:
            other.after_fork()


def _revive(driver: BoundedConnection) -> None:
    """Ask the server, for what has come may have been a notice only."""
    try:
        driver.execute("SELECT 1")
    except psycopg.Error as error:
        # What ended this connection has ended the others, too.
        raise InvalidatePoolError from error


@contextmanager
def _dropping(connection: Connection) -> Iterator[None]:
    """Keep no connection that the error of an operation shows to be of no use."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        useless = isinstance(cause, psycopg.Error) and cause.sqlstate == READ_ONLY
        if not connection.invalidated and (useless or _driver(connection).closed):
            # A primary that became a standby stays one: a new connection finds its successor.
            connection.invalidate(cause)
        raise


def _driver(connection: Connection) -> BoundedConnection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)  # noqa: S101
    return driver


def _begin(driver: BoundedConnection, subject: int | None) -> None:
    if subject is None:
        driver.execute("BEGIN", prepare=False)
        return
    # One round trip. The clock is read once the lock is there, and what others wrote is seen from then on.
    cursor = driver.execute(f"BEGIN; SELECT pg_advisory_xact_lock({subject}), {_TIME}", prepare=False)
    cursor.nextset()
    driver.moment = cursor.fetchall()[0][-1]


def _number(schema: str, subject: tuple[str, ...]) -> int:
    """Return the 64 bits that name *subject* among advisory locks; two subjects of one number only wait in vain."""
    digest = blake2b("\x1f".join(("configkit", schema, *subject)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
