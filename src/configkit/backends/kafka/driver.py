"""The one module that knows kafka-python: how its clients are made and closed, and its errors in configkit's words."""

from __future__ import annotations

import logging
import socket
import ssl
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    from kafka.net.manager import KafkaConnectionManager  # type: ignore[import-untyped]
    from kafka.net.selector import NetworkSelector  # type: ignore[import-untyped]

from configkit.backends.kafka.address import Address
from configkit.errors import AccessDeniedError, BackendError, UnavailableError

__all__ = [
    "Client",
    "KafkaAdminClient",
    "KafkaConsumer",
    "KafkaProducer",
    "TopicPartition",
    "abandon",
    "kafka_errors",
    "making",
    "options",
    "translated",
]

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


class _Whole:
    """Shows the end of a connection only after what came before it, which the driver would throw away: why it was refused."""

    _given = False

    def recv(self, *args: Any) -> bytes:
        given, self._given = self._given, False
        received: bytes = super().recv(*args)  # type: ignore[misc]
        if given and not received:
            raise BlockingIOError
        self._given = bool(received)
        return received


class _Socket(_Whole, socket.socket):
    """A socket over TCP."""


class _TlsSocket(_Whole, ssl.SSLSocket):
    """Closes itself after a handshake that failed or was given up, which the driver leaves to the garbage collector."""

    def __del__(self) -> None:
        self.close()


class _Network(KafkaNetSocket):  # type: ignore[misc]
    """Makes sockets, and closes those that could not be connected, which the driver leaves to the garbage collector."""

    SCHEMES = ("configkit",)

    def socket(self, *args: Any) -> socket.socket:
        return _Socket(*args)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class _Connections(KafkaConnectionManager):  # type: ignore[misc]
    """Raises that credentials were refused; the driver would try them again until its time is over."""

    def __init__(self, net: Any, **configs: Any) -> None:
        super().__init__(net, **configs)
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._refusal: Exception | None = None

    def get_connection(self, node_id: Any, **more: Any) -> Any:
        connection = super().get_connection(node_id, **more)
        if connection not in self._watched:
            self._watched.add(connection)
            connection.init_future.add_errback(self._failed)
        return connection

    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        if self._refusal is not None:
            raise self._refusal
        super().maybe_raise_auth_failure(node_id)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, _DENIED):
            self._refusal = error


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
        found["ssl_context"] = _tls(address)
    return found


def _tls(address: Address) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=address.ca_file)
    if address.certificate_file:
        context.load_cert_chain(address.certificate_file, address.key_file)
    context.sslsocket_class = _TlsSocket
    return context


@contextmanager
def making(arguments: dict[str, Any]) -> Iterator[list[KafkaNetClient]]:
    """
    Make a producer, a consumer or an admin client with *arguments*; yields the network client inside it, once it is made.

    A constructor of the driver that raises leaves its thread and its sockets behind; here they are closed.
    """
    made: list[KafkaNetClient] = []

    def client(**configs: Any) -> KafkaNetClient:
        net = NetworkSelector(**configs)
        made.append(KafkaNetClient(net, _Connections(net, **configs), **configs))
        return made[-1]

    arguments["kafka_client"] = client
    try:
        yield made
    except BaseException:
        for each in made:
            each.close()
        raise


def abandon(producer: KafkaProducer) -> None:
    """Close *producer* at once, whatever it has not sent yet."""
    with suppress(kafka_errors.KafkaError):
        producer.close(timeout=0)
        return
    # It gives up closing where something is left to send, and would go on sending.
    producer._sender.force_close()  # noqa: SLF001


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
