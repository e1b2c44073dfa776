"""Making kazoo clients as the settings say, with none of its dangerous defaults."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from kazoo.client import KazooClient
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from configkit.backends.zookeeper.handler import Handler
from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.backends.zookeeper.security import Security
from configkit.backends.zookeeper.session import Session
from configkit.errors import InvalidDocumentError, MissingExtraError

_FIRST_RETRY, _LAST_RETRY, _JITTER = 0.05, 0.7, 0.4
_LONGEST_HANDSHAKE = 3.0
_ACLS = {"open": OPEN_ACL_UNSAFE, "creator": CREATOR_ALL_ACL, "creator_read": [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE]}

# What matters of kazoo's talk is said once by the session; kazoo itself would say it with each attempt.
_kazoo_logger = logging.getLogger("configkit.zookeeper.kazoo")
_kazoo_logger.setLevel(logging.CRITICAL)


def open_registry(
    hosts: str,
    base_path: str,
    *,
    connection_timeout: float,
    session_timeout: float,
    deadline: float,
    security: Security,
    payload_class: str | None,
) -> ZooKeeperRegistry:
    """Return the registry; it connects in the background."""
    if any(part in ("", ".", "..") or not part.isprintable() for part in base_path.strip("/").split("/")) and base_path.strip("/"):
        raise InvalidDocumentError("a path such as /services", pointer="/ZOOKEEPER_BASE_PATH")
    if security.sasl is not None and find_spec("puresasl") is None:
        raise MissingExtraError("zookeeper", "SASL (the package pure-sasl)")

    def make(handler: Handler) -> KazooClient:
        retry = KazooRetry(
            max_tries=-1, delay=_FIRST_RETRY, max_delay=_LAST_RETRY, max_jitter=_JITTER, sleep_func=handler.sleep_func
        )
        return KazooClient(
            hosts=hosts,
            timeout=session_timeout,
            handler=handler,
            connection_retry=retry,
            command_retry=KazooRetry(sleep_func=handler.sleep_func),
            logger=_kazoo_logger,
            **_secured(security),
        )

    tls = _tls(security) if security.tls else None
    try:
        make(Handler(connection_timeout))
    except ValueError:
        raise InvalidDocumentError(
            "host:port, separated by commas, such as zk1:2181,zk2:2181", pointer="/ZOOKEEPER_HOSTS"
        ) from None
    patience = min(connection_timeout, _LONGEST_HANDSHAKE)
    session = Session(make, lambda: Handler(patience, tls), deadline=deadline)
    registry = ZooKeeperRegistry(session, base_path, payload_class=payload_class)
    session.open()
    return registry


def _secured(security: Security) -> dict[str, Any]:
    options: dict[str, Any] = {"default_acl": _ACLS[security.acl]}
    if security.sasl is not None:
        options["sasl_options"] = {"mechanism": security.sasl}
        if security.username is not None:
            options["sasl_options"] |= {"username": security.username, "password": security.password or ""}
    elif security.username is not None:
        options["auth_data"] = {("digest", f"{security.username}:{security.password or ''}")}
    return options


def _tls(security: Security) -> Callable[[], ssl.SSLContext]:
    """Return what makes contexts. Raises `InvalidDocumentError` if it cannot."""

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=security.ca)
        if security.certificate is not None:
            context.load_cert_chain(security.certificate, security.key, security.key_password)
        return context

    try:
        make()
    except OSError as error:
        raise InvalidDocumentError(f"a certificate or key cannot be read: {error.strerror}", pointer="/ZOOKEEPER_TLS") from None
    return make
