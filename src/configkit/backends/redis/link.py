"""The way to one Redis: a deadline for every call, a breaker, and its errors in configkit's words."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from configkit.backends.redis import sockets
from configkit.backends.redis.address import Address
from configkit.backends.redis.breaker import Breaker
from configkit.errors import AccessDeniedError, BackendError, ClosedError, UnavailableError

T = TypeVar("T")

log = logging.getLogger("configkit.redis")

BACKEND = "redis"
_MOST_CONNECTIONS = 64

_DENIED = (
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.AuthenticationWrongNumberOfArgsError,
    redis.exceptions.NoPermissionError,
)


def pool(address: Address) -> redis.ConnectionPool:
    """Return connections to *address*, none of them made yet."""
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "username": address.username,
        "password": address.password,
        "db": address.database,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
        "connection_class": sockets.BoundedConnection,
    }
    if (tls := address.tls) is not None:
        options |= {"connection_class": sockets.BoundedTlsConnection, "context": tls.context()}
    return redis.ConnectionPool(max_connections=_MOST_CONNECTIONS, **options)


class Link:
    """
    Carries calls to one Redis.

    Args:
        deadline: Seconds within which each is answered, connecting included (but for the name server's part in it).
    """

    def __init__(self, address: Address, *, deadline: float) -> None:
        self.address = address
        self._deadline = deadline
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._breaker = Breaker()
        self._why: BackendError | None = None
        self._client = redis.Redis(connection_pool=pool(self.address))

    def call(self, operation: str, ask: Callable[[redis.Redis], T]) -> T:
        """
        Return what *ask* gets of Redis.

        Raises:
            UnavailableError: Redis did not answer in time, or could not do it; at once while it is not asked at all.
            AccessDeniedError: It refused the credentials, or what they may do.
        """
        self._admit(operation)
        try:
            with sockets.deadline(self._deadline):
                answer = ask(self._client)
        except redis.RedisError as error:
            failure = self._described(error, operation)
            self._failed(failure, answered=isinstance(error, redis.ResponseError))
            raise failure from error
        except OSError as error:
            failure = UnavailableError(f"no answer of {self.address}: {type(error).__name__}", backend=BACKEND, operation=operation)
            self._failed(failure, answered=False)
            raise failure from error
        self._succeeded()
        return answer

    def ping(self) -> None:
        """Return if Redis answers. Raises as `call` does."""
        self.call("ping", lambda client: client.ping())

    def close(self) -> None:
        """Close the connections that are not in use, and refuse what comes later."""
        self._closed = True
        self._client.connection_pool.disconnect(inuse_connections=False)

    def after_fork(self) -> None:
        """Leave the parent's connections alone, and make this process's own when they are needed."""
        _INHERITED.append(self._client)
        self._begin()

    def _admit(self, operation: str) -> None:
        if self._closed:
            raise ClosedError
        with self._lock:
            if self._breaker.admits(time.monotonic()):
                return
            why = self._why
        kind = AccessDeniedError if isinstance(why, AccessDeniedError) else UnavailableError
        raise kind(f"{self.address} is not asked for a moment, since it failed repeatedly", backend=BACKEND, operation=operation)

    def _succeeded(self) -> None:
        if not self._breaker.open:
            # Nothing is lost if another thread's failure is forgotten for this answer.
            self._breaker.succeeded()
            return
        with self._lock:
            self._breaker.succeeded()
        log.info("Redis at %s answers again", self.address)

    def _failed(self, failure: BackendError, *, answered: bool) -> None:
        if answered:
            return
        with self._lock:
            before, self._why = self._breaker.open, failure
            self._breaker.failed(time.monotonic())
            opened = self._breaker.open and not before
        if opened:
            log.warning("Redis is not asked for the moment: %s", failure)

    def _described(self, error: redis.RedisError, operation: str) -> BackendError:
        if isinstance(error, _DENIED):
            message = f"{self.address} refused the credentials, or what they may do; check the user, the password and its rights"
            return AccessDeniedError(message, backend=BACKEND, operation=operation)
        if isinstance(error, redis.TimeoutError):
            what = f"no answer of {self.address} within {self._deadline:g} s"
        elif isinstance(error, redis.ReadOnlyError):
            what = f"{self.address} is read-only"
        elif isinstance(error, redis.exceptions.OutOfMemoryError):
            what = f"{self.address} is full; give it a maxmemory-policy that evicts, such as allkeys-lru"
        elif isinstance(error, redis.ResponseError):
            # Redis' code, where it comes first; what follows may quote the command, and with it a value.
            code = str(error).split(" ", 1)[0]
            what = f"{self.address} refused with {code if code.isupper() else type(error).__name__}"
        else:
            what = f"{self.address} is out of reach ({type(error).__name__})"
        return UnavailableError(what, backend=BACKEND, operation=operation)


_INHERITED: list[redis.Redis] = []
"""What a forked child has of its parent: kept, so that nothing is ended on the parent's connections."""
