"""The thread that makes what is there agree with what this process holds."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec

from kazoo import exceptions
from kazoo.protocol.states import EventType, WatchedEvent, ZnodeStat

from configkit.backends.zookeeper.holdings import Holding, Holdings
from configkit.backends.zookeeper.session import LostError, Session
from configkit.backends.zookeeper.tree import Tree
from configkit.errors import ClosedError, ConfigKitError

logger = logging.getLogger("configkit.zookeeper")

P = ParamSpec("P")

_RETRY_SECONDS = 0.5
_IDLE_SECONDS = 30.0
_AT_ONCE = 500


class Keeper:
    """Looks after the holdings of one session, in a thread of its own that begins with the first of them."""

    def __init__(self, session: Session, tree: Tree) -> None:
        self._session = session
        self._tree = tree
        self.holdings = Holdings(session, tree, self._wake)
        session.on_connected.append(self._on_connected)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._work = threading.Event()
        self._refused: dict[str, str] = {}
        self._reconnected = False
        self._closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """End the thread; the session's end removes the nodes."""
        self._closed = True
        self._work.set()
        if self._thread is not None:
            self._thread.join(0.5)

    def after_fork(self) -> None:
        """Begin anew, with nothing to hold."""
        self._begin_anew()
        self.holdings.clear()

    def _wake(self) -> None:
        self._work.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._run, name="configkit-zookeeper-keeper", daemon=True)
                    self._thread.start()

    def _on_connected(self) -> None:
        self._reconnected = True
        self._work.set()

    def _on_event(self, event: WatchedEvent) -> None:
        """Take in that one of the nodes has changed, in kazoo's thread."""
        if event.type != EventType.NONE and event.path:
            with self.holdings.lock:
                self.holdings.unsettled.add(event.path)
            self._work.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._closed:
            self._work.wait(pause)
            self._work.clear()
            try:
                done = self._agree()
            except ClosedError:
                return
            except (ConfigKitError, LostError, exceptions.KazooException) as error:
                logger.debug("the nodes could not be looked after: %s", error)
                done = False
            except Exception:
                logger.exception("the nodes could not be looked after")
                done = False
            pause = min(max(self.holdings.next_end() - time.monotonic(), 0), _IDLE_SECONDS if done else _RETRY_SECONDS)

    def _agree(self) -> bool:
        """Do what there is to do; return whether nothing is left."""
        holdings = self.holdings
        holdings.lapse(time.monotonic())
        if not (holdings.wanted or holdings.doomed):
            return True
        _, session = self._session.connected(self._session.end_of_call(0))
        end = self._session.end_of_call()
        if self._reconnected:
            self._reconnected = False
            with holdings.lock:
                holdings.unsettled.update(holdings.wanted)
        with holdings.lock:
            missing = [holding for holding in holdings.wanted.values() if holding.session != session]
        done = True
        for start in range(0, len(missing), _AT_ONCE):
            done &= self._place_again(missing[start : start + _AT_ONCE], end)
        with holdings.lock:
            doomed = dict(holdings.doomed)
        for path, holding in doomed.items():
            done &= self._attempt(path, self._remove, path, holding, end)
        with holdings.lock:
            unsettled = list(holdings.unsettled)
        for start in range(0, len(unsettled), _AT_ONCE):
            self._look_at(unsettled[start : start + _AT_ONCE], end)
        return done

    def _attempt(self, path: str, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Do something about one node; what ZooKeeper refuses there costs no other, and is tried again."""
        try:
            act(*args, **kwargs)
        except exceptions.KazooException as error:
            if self._refused.get(path) != type(error).__name__:
                self._refused[path] = type(error).__name__
                logger.warning("%s cannot be looked after for now: %s", path, type(error).__name__)
            return False
        self._refused.pop(path, None)
        return True

    def _place_again(self, missing: list[Holding], end: float) -> bool:
        """Create the nodes that a new session does not have yet, all at once; return whether it worked."""
        client, _ = self._session.connected(end)
        begun = [
            (holding, client.create_async(holding.path, holding.content, ephemeral=True, include_data=True)) for holding in missing
        ]
        done = True
        for holding, result in begun:
            done &= self._attempt(holding.path, self._place_one, holding, result, end)
        return done

    def _place_one(self, holding: Holding, result: Any, end: float) -> None:
        try:
            _, stat = self._session.answer(end, result)
            self._placed(holding, stat.ephemeralOwner, stat.version)
        except exceptions.NodeExistsError:
            self._take_back(holding, end)
        except exceptions.NoNodeError:
            self._tree.make_parents(self._tree.named(holding.path)[0], end)
            self._work.set()

    def _take_back(self, holding: Holding, end: float) -> None:
        """Look whose node is there: ours of this session or a former one, or another's, which stays."""
        session = self._session.id
        try:
            content, stat = self._tree.get(holding.path, end)
            if stat.ephemeralOwner == session and content == holding.content:
                self._placed(holding, session, stat.version)
            elif self._session.was_ours(stat.ephemeralOwner):
                self._tree.replace(holding.path, stat.version, holding.content, end)
                self._placed(holding, session, 0)
            else:
                self._superseded(holding)
        except (exceptions.NoNodeError, exceptions.BadVersionError):
            self._work.set()

    def _placed(self, holding: Holding, session: int, version: int) -> None:
        with self.holdings.lock:
            if self.holdings.wanted.get(holding.path) is holding:
                holding.session, holding.version = session, version
                self.holdings.unsettled.add(holding.path)
            else:
                self.holdings.doomed.setdefault(holding.path, None)
                self._work.set()

    def _remove(self, path: str, lapsed: Holding | None, end: float) -> None:
        """Delete an own node that nobody wants; a lapsed one that somebody has renewed meanwhile is wanted again."""
        try:
            stat = self._tree.stat(path, end)
            if stat is not None and self._session.was_ours(stat.ephemeralOwner) and path not in self.holdings.wanted:
                if lapsed is not None and lapsed.session == stat.ephemeralOwner and stat.version > lapsed.version:
                    self.holdings.hold(path, lapsed.content, session=stat.ephemeralOwner, version=stat.version)
                    return
                self._tree.delete(path, stat.version, end)
        except exceptions.NoNodeError:
            pass
        except exceptions.BadVersionError:
            self._work.set()
            return
        with self.holdings.lock:
            self.holdings.doomed.pop(path, None)

    def _look_at(self, paths: list[str], end: float) -> None:
        """Compare nodes with what is wanted, watching them from now on."""
        with self.holdings.lock:
            self.holdings.unsettled.difference_update(paths)
            looked_at = [holding for path in paths if (holding := self.holdings.wanted.get(path)) is not None]
        client, session = self._session.connected(end)
        begun = [(holding, client.get_async(holding.path, watch=self._on_event)) for holding in looked_at]
        try:
            for holding, result in begun:
                self._attempt(holding.path, self._look_at_one, holding, session, result, end)
        except BaseException:
            with self.holdings.lock:
                self.holdings.unsettled.update(paths)
            raise

    def _look_at_one(self, holding: Holding, session: int, result: Any, end: float) -> None:
        try:
            found: tuple[bytes, ZnodeStat] | None = self._session.answer(end, result)
        except exceptions.NoNodeError:
            found = None
        self._compare(holding, session, found)

    def _compare(self, holding: Holding, session: int, found: tuple[bytes, ZnodeStat] | None) -> None:
        if holding.session != session:
            self._work.set()
        elif found is None:
            if self.holdings.drop(holding):
                logger.info("%s was removed by somebody else", holding.path)
        elif found[1].ephemeralOwner != session:
            self._superseded(holding)
        elif found[1].version > holding.version:
            holding.content, holding.version = found[0], found[1].version
            if not math.isinf(holding.ends):
                holding.renew()

    def _superseded(self, holding: Holding) -> None:
        if not holding.held:
            logger.warning("%s is registered by another process now, under the same id", holding.path)
        self.holdings.supersede(holding)
