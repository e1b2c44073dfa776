"""
The ephemeral nodes that this process answers for.

What is wanted is kept in memory; what is there is made to agree with it: after a new session, after a watch of one of
these nodes has fired, and where the outcome of a request is unknown. Three rules keep others' nodes safe. A node is
deleted only at the version at which its owner was looked at; a node of another session is replaced only when somebody
registers that id here and now, never by this module on its own; and a registration whose node was taken over by
another session, or deleted under the same one, is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from threading import Lock

from kazoo import exceptions
from kazoo.protocol.states import ZnodeStat

from configkit.backends.zookeeper.curator import is_held, lease_of
from configkit.backends.zookeeper.session import LostError, Session
from configkit.backends.zookeeper.tree import Tree
from configkit.errors import UnavailableError


class Others(Enum):
    """What to do where the node is another session's."""

    REPLACE = "replace"
    REWRITE = "rewrite"
    LEAVE = "leave"


@dataclass(slots=True, eq=False)
class Holding:
    """
    One node that must be there.

    Attributes:
        session: The session that owns the node; 0: it must be created.
        ttl: The length of its lease; None: it has none.
        ends: When the lease ends, on the monotonic clock.
        version: Of the node, as far as known: a higher one means that somebody else has renewed the lease.
    """

    path: str
    content: bytes
    session: int
    version: int
    ttl: float | None
    ends: float
    held: bool

    @classmethod
    def of(cls, path: str, content: bytes, *, session: int, version: int = 0) -> Holding:
        """Return the holding of a node just written."""
        holding = cls(path, content, session, version, lease_of(content), math.inf, is_held(content))
        holding.renew()
        return holding

    def renew(self) -> None:
        """Begin the lease anew."""
        self.ends = math.inf if self.ttl is None else time.monotonic() + self.ttl


class Holdings:
    """
    What this process holds.

    Args:
        wake: Tells the keeper that there is work.
    """

    def __init__(self, session: Session, tree: Tree, wake: Callable[[], None]) -> None:
        self._session = session
        self._tree = tree
        self._wake = wake
        self.clear()

    def clear(self) -> None:
        """Forget everything, as in a forked child: the nodes are the parent's."""
        self.lock = Lock()
        self.wanted: dict[str, Holding] = {}
        self.doomed: dict[str, Holding | None] = {}
        self.unsettled: set[str] = set()
        self._superseded: set[str] = set()

    def held(self) -> dict[str, Holding]:
        """Return what is held for instances without a session of their own, by path."""
        with self.lock:
            return {path: holding for path, holding in self.wanted.items() if holding.held}

    def adopt(self, contents: Mapping[str, bytes]) -> None:
        """Have the keeper create these nodes; one that another session creates first is that session's."""
        with self.lock:
            for path, content in contents.items():
                self.wanted.setdefault(path, Holding.of(path, content, session=0))
        self._wake()

    def find(self, path: str) -> Holding | None:
        """Return what is wanted at *path*."""
        return self.wanted.get(path)

    def place(
        self, path: str, make: Callable[[bytes | None], bytes], end: float, *, others: Others = Others.REPLACE
    ) -> tuple[bytes, bool]:
        """
        Put a node at *path* and hold it.

        Args:
            make: Returns its content, given what is there now.
            others: What to do with a node of another session.

        Returns:
            What the node says, and whether there was none before.

        Raises:
            UnavailableError: It may or may not be there; the keeper removes what nobody wants.
        """
        try:
            return self._place(path, make, end, others)
        except UnavailableError:
            self.doom(path)
            raise

    def release(self, path: str, end: float, *, only: Holding | None = None) -> bool:
        """
        Remove the node at *path*, whoever's it is, and hold it no longer; return whether there was one.

        Where another session has taken over what was registered here, its node stays.

        Args:
            only: Nothing is done if another than this is wanted meanwhile.

        Raises:
            UnavailableError: It may or may not be gone; the keeper removes it if it is ours.
        """
        with self.lock:
            if only is not None and self.wanted.get(path) is not only:
                return False
            holding = self.wanted.pop(path, None)
            taken_over = path in self._superseded
            self._superseded.discard(path)
        try:
            return self._release(path, holding, taken_over, end)
        except UnavailableError:
            self.doom(path)
            raise

    def rewrite(self, path: str, change: Callable[[bytes], bytes], end: float) -> bool:
        """Change what the node at *path* says, whoever's it is; return whether there is one."""
        while True:
            try:
                content, stat = self._tree.get(path, end)
                changed = change(content)
                if changed != content:
                    self._set(path, changed, stat, end)
            except exceptions.NoNodeError:
                return False
            except exceptions.BadVersionError:
                continue
            except LostError:
                self._session.pause(end)
            else:
                return True

    def renew(self, holding: Holding) -> bool:
        """Begin its lease anew; return whether it is wanted still."""
        with self.lock:
            if self.wanted.get(holding.path) is not holding:
                return False
            holding.renew()
            return True

    def doom(self, path: str) -> None:
        """Have the keeper look at *path*: what is ours there and not wanted is removed."""
        with self.lock:
            if path in self.wanted:
                self.unsettled.add(path)
            else:
                self.doomed.setdefault(path, None)
        self._wake()

    def supersede(self, holding: Holding) -> None:
        """Another session has taken over: hold it no longer, and let its node be."""
        with self.lock:
            if self.wanted.get(holding.path) is holding:
                del self.wanted[holding.path]
                if not holding.held:
                    self._superseded.add(holding.path)

    def drop(self, holding: Holding) -> bool:
        """Hold it no longer: its node was deleted on purpose."""
        with self.lock:
            if self.wanted.get(holding.path) is not holding:
                return False
            del self.wanted[holding.path]
            return True

    def lapse(self, now: float) -> None:
        """Hold no longer what nobody has renewed in time; the keeper removes the nodes."""
        with self.lock:
            for path, holding in [item for item in self.wanted.items() if item[1].ends <= now]:
                del self.wanted[path]
                self.doomed[path] = holding

    def next_end(self) -> float:
        """Return when the next lease ends, on the monotonic clock."""
        with self.lock:
            return min((holding.ends for holding in self.wanted.values()), default=math.inf)

    def hold(self, path: str, content: bytes, *, session: int, version: int = 0) -> None:
        """Want the node at *path*, which is there."""
        with self.lock:
            self.wanted[path] = Holding.of(path, content, session=session, version=version)
            self.doomed.pop(path, None)
            self._superseded.discard(path)
            self.unsettled.add(path)
        self._wake()

    def _place(self, path: str, make: Callable[[bytes | None], bytes], end: float, others: Others) -> tuple[bytes, bool]:
        uncertain: bytes | None = None
        while True:
            try:
                content = make(None)
                stat = self._tree.create(path, content, end)
                self.hold(path, content, session=stat.ephemeralOwner, version=stat.version)
            except exceptions.NoNodeError:
                self._tree.make_parents(self._tree.named(path)[0], end)
            except exceptions.NodeExistsError:
                pass
            except LostError:
                uncertain = content
                self._session.pause(end)
                continue
            else:
                return content, True
            try:
                placed = self._place_over(path, make, end, others)
            except (exceptions.NoNodeError, exceptions.BadVersionError):
                continue
            except LostError:
                self._session.pause(end)
            else:
                return placed[0], uncertain is not None and placed[1] == uncertain

    def _place_over(self, path: str, make: Callable[[bytes | None], bytes], end: float, others: Others) -> tuple[bytes, bytes]:
        """Take or change the node that is at *path*; return what it says now, and what it said before."""
        before, stat = self._tree.get(path, end)
        if others is Others.LEAVE and not self._session.was_ours(stat.ephemeralOwner):
            return before, before
        content = make(before)
        session = self._session.id
        if stat.ephemeralOwner == session != 0:
            stat = self._tree.set(path, content, stat.version, end)
            self.hold(path, content, session=session, version=stat.version)
        elif others is Others.REWRITE and not self._session.was_ours(stat.ephemeralOwner) and is_held(before):
            self._set(path, content, stat, end)
        else:
            self._tree.replace(path, stat.version, content, end)
            self.hold(path, content, session=session)
        return content, before

    def _set(self, path: str, content: bytes, stat: ZnodeStat, end: float) -> None:
        stat = self._tree.set(path, content, stat.version, end)
        with self.lock:
            holding = self.wanted.get(path)
            if holding is not None and holding.session == stat.ephemeralOwner:
                holding.content, holding.version = content, stat.version

    def _release(self, path: str, holding: Holding | None, taken_over: bool, end: float) -> bool:  # noqa: FBT001
        uncertain = False
        while True:
            try:
                stat = self._tree.stat(path, end)
                if stat is None:
                    return uncertain or (holding is not None and holding.session != self._session.id)
                mine = self._session.was_ours(stat.ephemeralOwner)
                if not mine and (taken_over or (holding is not None and not holding.held)):
                    return False
                self._tree.delete(path, stat.version, end)
            except (exceptions.NoNodeError, exceptions.BadVersionError):
                continue
            except LostError:
                uncertain = True
                self._session.pause(end)
            else:
                return True
