"""The one module that knows kafka-python: how its clients are made and closed, and its errors in configkit's words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

with warnings.catch_warnings():
    # It reads its own files in a way that Python means to remove.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import (  # type: ignore[import-untyped]
        KafkaAdminClient,
        KafkaConsumer,
        KafkaProducer,
        TopicPartition,
    )
    from kafka import errors as kafka_errors
    from kafka.net.compat import KafkaNetClient  # type: ignore[import-untyped]
    from kafka.net.inet import KafkaNetSocket  # type: ignore[import-untyped]

from configkit.backends.kafka.address import Address
from configkit.errors import AccessDeniedError, BackendError, UnavailableError

__all__ = ["Client", "KafkaAdminClient", "KafkaConsumer", "KafkaProducer", "TopicPartition", "kafka_errors", "making", "translated"]

BACKEND = "kafka"

_DENIED = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.AuthorizationError,
)

Client = KafkaNetClient

_driver_log = logging.getLogger("kafka")
if _driver_log.level == logging.NOTSET:
    # It logs each attempt of an outage as an error; what matters is raised, and logged once by who goes on.
    _driver_log.setLevel(logging.CRITICAL)


class _ClosingSocket(KafkaNetSocket):  # type: ignore[misc]
    """Closes what could not be connected, which the driver leaves to the garbage collector."""

    SCHEMES = ("configkit",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


def options(address: Address, *, seconds: float) -> dict[str, Any]:
    """Return what every client of *address* is made with, so that each of its steps takes *seconds* at most."""
    milliseconds = max(1, int(seconds * 1000))
    found: dict[str, Any] = {
        "bootstrap_servers": address.brokers,
        "client_id": "configkit",
        "security_protocol": address.protocol,
        "proxy_url": "configkit://direct",
        "bootstrap_timeout_ms": milliseconds,
        "request_timeout_ms": milliseconds,
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 1000,
    }
    if address.has_sasl:
        found |= {
            "sasl_mechanism": address.mechanism,
            "sasl_plain_username": address.username,
            "sasl_plain_password": address.password,
        }
    if address.protocol.endswith("SSL"):
        found |= {"ssl_cafile": address.ca_file, "ssl_certfile": address.certificate_file, "ssl_keyfile": address.key_file}
    return found


@contextmanager
def making(arguments: dict[str, Any]) -> Iterator[list[KafkaNetClient]]:
    """
    Make a producer, a consumer or an admin client with *arguments*; yields the network client inside it, once it is made.

    A constructor of the driver that raises leaves its thread and its sockets behind; here they are closed.
    """
    made: list[KafkaNetClient] = []

    def client(**configs: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    arguments["kafka_client"] = client
    try:
        yield made
    except BaseException:
        for each in made:
            each.close()
        raise


@contextmanager
def translated(address: Address, operation: str) -> Iterator[None]:
    """Raise configkit's errors in place of the driver's."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise described(error, address, operation) from error
    except (OSError, ValueError, RuntimeError) as error:
        message = f"{address} cannot be used: {type(error).__name__}"
        raise UnavailableError(message, backend=BACKEND, operation=operation) from error


def described(error: Exception, address: Address, operation: str) -> BackendError:
    """Return the configkit error for what the driver said while it did *operation*."""
    if isinstance(error, _DENIED):
        message = f"{address} refused the credentials, or what they may do; check the account and its rights on the topic"
        return AccessDeniedError(message, backend=BACKEND, operation=operation)
    what = f"no answer of {address} in time" if isinstance(error, kafka_errors.KafkaTimeoutError) else type(error).__name__
    return UnavailableError(f"{operation} failed: {what}", backend=BACKEND, operation=operation)
