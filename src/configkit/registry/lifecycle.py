"""Self-registration: `kit.register(...)`."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TypeVar, cast

from configkit.errors import ClosedError, InvalidDocumentError
from configkit.models import Origin, ServiceInstance
from configkit.names import check_service_name
from configkit.ports import RegistryRecords, ServiceRegistryClient
from configkit.registry import leaving
from configkit.registry.lease import LONGEST, SELF_REGISTERED_SECONDS, lease_seconds
from configkit.registry.readiness import Readiness, accepts_connections, answers_well
from configkit.registry.registration import Registration
from configkit.registry.selfcheck import SelfCheck
from configkit.registry.wrapping import wrap

logger = logging.getLogger("configkit.registry")

_FIRST_ATTEMPT_SECONDS = 1.0
_LISTENING_SECONDS = 1.0

Target = TypeVar("Target")


class Registered(AbstractContextManager[Registration], AbstractAsyncContextManager[Registration]):
    """
    What `kit.register` returns: registered while something runs. Use it in one of three ways.

        @kit.register(url=...)                      # a function, async or not: while it runs
        def main(): ...

        app = kit.register(url=...)(app)            # an ASGI application, or the lifespan function of one: from the end
                                                    # of its start-up to the beginning of its shut-down
        with kit.register(url=...) as registration: # or async with: inside the block
            ...

    Used several times at once, it is registered until the last use ends.
    """

    def __init__(self, begin: Callable[[Readiness | None], Registration], readiness: Readiness | None, url: str) -> None:
        self._begin = begin
        self._readiness = readiness
        self._url = url
        self._forget()

    def __call__(self, target: Target) -> Target:
        """Return *target* so that the process is registered while it runs. Raises `TypeError` for what does not run."""
        return cast("Target", wrap(target, self))

    def __enter__(self) -> Registration:
        """
        Register, waiting a second at most for the first attempt: a registry that is down does not stop the application.

        Raises:
            InvalidDocumentError: The registry refused the instance.
            AccessDeniedError: It refused the credentials.
        """
        registration = self._enter(self._readiness)
        try:
            registration.settle(_FIRST_ATTEMPT_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return registration

    def __exit__(self, *_: object) -> None:
        """Deregister, within a second."""
        if (last := self._leave()) is not None:
            last.close()
            leaving.restore_sigterm()

    async def __aenter__(self) -> Registration:
        """Do as ``with`` does, without holding up the event loop."""
        registration = self._enter(self._readiness)
        try:
            await _beside_the_loop(lambda: registration.settle(_FIRST_ATTEMPT_SECONDS))
        except BaseException:
            await self.__aexit__()
            raise
        return registration

    async def __aexit__(self, *_: object) -> None:
        """Deregister, within a second."""
        if (last := self._leave()) is not None:
            last.begin_leaving()
            await _beside_the_loop(last.close)
            leaving.restore_sigterm()

    def enter_soon(self) -> None:
        """Begin to register as soon as the process accepts connections; waits for nothing."""
        listening = Readiness(lambda: accepts_connections(self._url), patience=_LISTENING_SECONDS)
        self._enter(self._readiness or listening)

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._uses = 0
        self._registration: Registration | None = None

    def _enter(self, readiness: Readiness | None) -> Registration:
        if self._pid != os.getpid():
            self._forget()
        with self._lock:
            if self._registration is None:
                self._registration = self._begin(readiness)
            self._uses += 1
            return self._registration

    def _leave(self) -> Registration | None:
        """Return what to close, if this was the last use."""
        if self._pid != os.getpid():
            return None
        with self._lock:
            self._uses -= 1
            if self._uses > 0:
                return None
            last, self._registration = self._registration, None
            return last


class Registrar:
    """
    Registers this process, as one instance or several.

    Args:
        client: The registry; called from one thread for each registration, which no other call can hold up.
        service_name: The service of a registration that names none.
        enabled: False (`SERVICE_REGISTRY_ENABLED=false`) makes registering do nothing, and say so once.
        default_instance_id: The id of a registration that names none (`SERVICE_INSTANCE_ID`).
        records: Where the process records how it is, by its own health check URL; None: servers check it.
        probe: Whether a GET of a URL answers 2xx; for `wait_until_healthy`.
        threads: False registers and deregisters in the caller's thread, under the longest lease, which nothing renews.
    """

    def __init__(
        self,
        client: ServiceRegistryClient,
        *,
        service_name: str | None,
        origin: Origin,
        enabled: bool = True,
        default_instance_id: str | None = None,
        records: RegistryRecords | None = None,
        probe: Callable[[str], bool] | None = None,
        threads: bool = True,
    ) -> None:
        self._client = client
        self._service_name = service_name
        self._origin = origin
        self._enabled = enabled
        self._default_instance_id = default_instance_id
        self._records = records
        self._probe = probe or answers_well
        self._threads = threads
        self._said = self._closed = False
        self._begun: set[Registration] = set()

    def register(
        self,
        *,
        url: str,
        health_check_url: str | None = None,
        service_name: str | None = None,
        instance_id: str | None = None,
        weight: int = 1,
        zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ttl_seconds: float | None = None,
        ready: Callable[[], bool] | None = None,
        wait_until_healthy: bool = False,
    ) -> Registered:
        """
        Return what registers this process, as `configkit.ConfigKit.register` says.

        Args:
            ttl_seconds: The length of the lease, 5 by default: a killed process is gone within 7 s.
            ready: Register only once this answers true; asked in the background.
            wait_until_healthy: Register only once *health_check_url* answers 2xx.

        Raises:
            InvalidDocumentError: Something of it is not allowed.
        """
        name = service_name or self._service_name
        if name is None:
            raise InvalidDocumentError(
                "which service? connect(service_name=...) or register(service_name=...)", pointer="/service_name"
            )
        instance = ServiceInstance(
            check_service_name(name),
            url,
            health_check_url,
            instance_id or self._default_instance_id or "",
            weight=weight,
            zone=zone,
            metadata=dict(metadata or {}),
        )
        ttl = lease_seconds(ttl_seconds, has_health_check=False) if ttl_seconds is not None else SELF_REGISTERED_SECONDS
        return Registered(
            lambda readiness: self._begin(instance, ttl or SELF_REGISTERED_SECONDS, readiness),
            self._readiness(health_check_url if wait_until_healthy else None, ready, wait_until_healthy=wait_until_healthy),
            url,
        )

    def close(self) -> None:
        """Deregister everything, within a second altogether; nothing can be registered any more."""
        self._closed = True
        leaving.leave_all(self._begun)
        self._begun.clear()
        leaving.restore_sigterm()

    def after_fork(self) -> None:
        """Forget, in a forked child, what is the parent's."""
        self._begun = set()

    def _readiness(
        self, health_check_url: str | None, ready: Callable[[], bool] | None, *, wait_until_healthy: bool
    ) -> Readiness | None:
        if wait_until_healthy and health_check_url is None:
            raise InvalidDocumentError("wait_until_healthy needs a health_check_url", pointer="/health_check_url")
        checks = [ready] if ready is not None else []
        if health_check_url is not None:
            checks.append(lambda: self._probe(health_check_url))
        return Readiness(lambda: all(check() for check in checks)) if checks else None

    def _begin(self, instance: ServiceInstance, ttl: float, readiness: Readiness | None) -> Registration:
        if self._closed:
            raise ClosedError
        if not self._threads:
            ttl, readiness = LONGEST, None
        by_itself = None
        if self._records is not None and instance.health_check_url is not None:
            by_itself = SelfCheck(self._records, instance)
        registration = Registration(
            self._client,
            instance,
            ttl=ttl,
            origin=self._origin,
            readiness=readiness,
            self_check=by_itself,
            threads=self._threads,
        )
        if self._enabled:
            self._begun = {one for one in self._begun if not one.wait_left(0)} | {registration}
            registration.open()
        elif not self._said:
            self._said = True
            logger.warning("SERVICE_REGISTRY_ENABLED is false: %s is not registered", instance.service_name)
        return registration


async def _beside_the_loop(act: Callable[[], None]) -> None:
    """Do what blocks on a thread of asyncio; under another event loop, here."""
    import asyncio  # noqa: PLC0415  only where the application uses it anyway

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        act()
    else:
        await asyncio.to_thread(act)
