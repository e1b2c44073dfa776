"""One registered instance: a thread that registers it, renews its lease, and deregisters it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from configkit import chance
from configkit.errors import AccessDeniedError, ConfigKitError, InvalidDocumentError, NotFoundError
from configkit.models import Origin, ServiceInstance
from configkit.ports import ServiceRegistryClient
from configkit.registry import leaving
from configkit.registry.readiness import Readiness
from configkit.registry.selfcheck import SelfCheck

logger = logging.getLogger("configkit.registry")

_FIRST_RETRY, _LAST_RETRY = 0.25, 2.0
_REFUSED_RETRY = 5.0
_READY_POLL = 0.1
_STARTING_PAUSE = 0.5


class Registration:
    """
    An instance that is listed as long as this object is open.

    It registers again by itself after an outage, or when its lease was lost; nothing of that raises.

    Attributes:
        instance: As it was registered.
        registered: Whether it is listed, as far as this process knows.
    """

    def __init__(
        self,
        client: ServiceRegistryClient,
        instance: ServiceInstance,
        *,
        ttl: float,
        origin: Origin,
        readiness: Readiness | None = None,
        self_check: SelfCheck | None = None,
        threads: bool = True,
    ) -> None:
        self.instance = instance
        self.registered = False
        self._client = client
        self._ttl = ttl
        self._origin = origin
        self._readiness = readiness
        self._self_check = self_check
        self._threads = threads
        self._pid = os.getpid()
        self._opened = self._attempted = self._troubled = False
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._left = threading.Event()

    def __repr__(self) -> str:
        state = "registered" if self.registered else "not registered"
        return f"<Registration {self.instance.service_name}/{self.instance.instance_id} {state}>"

    def open(self) -> None:
        """Begin to register, in the background. Without threads: register now, and raise what that raises."""
        self._opened = True
        if not self._threads:
            self._renew()
            return
        leaving.enter(self)
        threading.Thread(target=self._work, name=f"configkit-registered-{self.instance.service_name}", daemon=True).start()

    def settle(self, timeout: float) -> None:
        """
        Wait for the first attempt, for *timeout* seconds at most; not if it waits itself until the instance is ready.

        Raises:
            InvalidDocumentError: The registry refused the instance.
            AccessDeniedError: It refused the credentials.
        """
        if self._opened and self._threads and self._readiness is None:
            self._settled.wait(timeout)
        if self._error is not None:
            raise self._error

    def close(self, *, within: float = leaving.LEAVE_SECONDS) -> None:
        """Deregister, within so many seconds: what takes longer is left to the end of the lease. Again: does nothing."""
        leaving.leave_all([self], within=within)

    def begin_leaving(self) -> None:
        """Ask for deregistration; does not wait. In a forked child it does nothing: the instance is the parent's."""
        if not self._opened or self._pid != os.getpid():
            return
        self._stop.set()
        if not self._threads:
            self._deregister()
            self._left.set()

    def wait_left(self, timeout: float) -> bool:
        """Wait until it is deregistered."""
        if not self._opened or self._pid != os.getpid():
            return True
        return self._left.wait(timeout)

    def _work(self) -> None:
        try:
            self._await_readiness()
            self._stay_listed()
        finally:
            self._deregister()
            self._settled.set()
            leaving.left(self)
            self._left.set()

    def _await_readiness(self) -> None:
        if self._readiness is None:
            return
        patience = self._readiness.patience
        end = None if patience is None else time.monotonic() + patience
        while not self._stop.is_set() and not _holds(self._readiness.check):
            if (end is not None and time.monotonic() >= end) or self._stop.wait(_READY_POLL):
                return

    def _stay_listed(self) -> None:
        retry = _FIRST_RETRY
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                self._renew()
            except Exception as error:  # noqa: BLE001  whatever it is, the application must not die of it
                self._note(error)
                refused = isinstance(error, InvalidDocumentError | AccessDeniedError)
                pause = (_REFUSED_RETRY if refused else retry) * chance.uniform(0.5, 1.0)
                retry = min(2 * retry, _LAST_RETRY)
            else:
                self._note(None)
                pause = self._ttl / 3 * chance.uniform(0.8, 1.0)
                retry = _FIRST_RETRY
            self._settled.set()
            if self.registered and self._self_check is not None:
                pause = min(pause, self._check_oneself(self._self_check))

    def _renew(self) -> None:
        name, instance_id = self.instance.service_name, self.instance.instance_id
        if self.registered:
            try:
                self._client.heartbeat(name, instance_id)
            except NotFoundError:
                self.registered = False
                logger.info("%s/%s had lost its lease; registering it again", name, instance_id)
            else:
                return
        self._attempted = True
        self._client.register(self.instance, ttl_seconds=self._ttl, origin=self._origin)
        self.registered = True
        if self._self_check is not None:
            self._self_check.restart()

    def _check_oneself(self, check: SelfCheck) -> float:
        """Return in how many seconds to check again at the latest."""
        try:
            check.check_if_due()
        except Exception:  # the next one may be recorded again; what matters is the lease
            logger.debug("a health check of this process could not be recorded", exc_info=True)
        return _STARTING_PAUSE if check.starting else self._ttl

    def _note(self, error: Exception | None) -> None:
        """Say once that there is trouble, and once that it is over."""
        name = f"{self.instance.service_name}/{self.instance.instance_id}"
        if error is not None and not self._troubled:
            expected = isinstance(error, ConfigKitError)
            logger.warning("%s cannot be registered for now; trying on: %s", name, error, exc_info=None if expected else error)
        elif error is None and self._troubled:
            logger.info("%s is registered again", name)
        self._troubled = error is not None
        if not self._settled.is_set() and isinstance(error, InvalidDocumentError | AccessDeniedError):
            self._error = error

    def _deregister(self) -> None:
        self.registered = False
        if not self._attempted:
            return
        self._attempted = False
        try:
            self._client.deregister(self.instance.service_name, self.instance.instance_id, origin=self._origin)
        except NotFoundError:
            return
        except Exception as error:  # noqa: BLE001  the process is leaving, and the lease ends without it
            logger.warning("%s/%s could not be deregistered: %s", self.instance.service_name, self.instance.instance_id, error)


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return bool(check())
    except Exception:
        logger.debug("the readiness check failed", exc_info=True)
        return False
