"""What the stores ask of an open database, whichever dialect it speaks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Moment:
    """
    What time it is for one transaction.

    Attributes:
        now: The wall clock, UTC: what is shown.
        mono: Seconds on the clock that leases and claims run on.
        boot: The run of the machine that *mono* belongs to.
    """

    now: datetime
    mono: float
    boot: str


class Database(Protocol):
    """One database that all processes of the deployment share, open for any number of threads."""

    @property
    def revision(self) -> int:
        """The migration that the tables were last seen at; before the first operation, the newest."""

    def reading(self, operation: str, *, snapshot: bool = False) -> AbstractContextManager[Connection]:
        """
        Give a connection for reading.

        Args:
            snapshot: Every statement sees the same moment; needless for a single one.

        Raises:
            UnavailableError: The database did not answer within the deadline.
        """

    def writing(self, operation: str, *subject: str) -> AbstractContextManager[Connection]:
        """
        Give a connection in a write transaction, which is committed at the end, or rolled back if the body raises.

        Args:
            subject: What is decided upon. Transactions on the same subject follow one another, and see what the ones
                before them wrote. A database may let all of them follow one another.

        Raises:
            UnavailableError: The database did not answer within the deadline, or cannot be written.
        """

    def moment(self, connection: Connection) -> Moment:
        """Return what time it is by the deployment's clock, for the transaction on *connection*."""

    def overwrite_log(self) -> None:
        """Make what was removed unreadable in every file of the database, where that is in its power."""
