"""
The one way to Vault: hvac over a pooled session, bounded in time.

hvac's own client is not used: it takes tokens and certificates from the environment and the home folder, follows redirects
with the token, and waits 30 seconds. Redirects are never followed here, and no proxy is taken from the environment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from hvac.adapters import JSONAdapter
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError
from urllib3.util import Timeout

from configkit.backends.vault.answers import translated, unavailable
from configkit.errors import ClosedError

T = TypeVar("T")

CONNECTIONS = 64
_CONNECT_WITHIN = 2.0
_READS = frozenset(("get", "list"))
_ABANDONED: list[requests.Session] = []


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where Vault is, and how to know that it is the right one.

    Attributes:
        ca_cert: File of the certificates to trust; None: those of the `certifi` package.
        client_cert, client_key: Files that present this client, where Vault asks for a certificate.
    """

    url: str
    namespace: str | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of the store, and the monotonic time by which its caller has the answer."""

    operation: str
    ends: float

    def left(self) -> float:
        """Return the seconds that are left. Raises `UnavailableError` where none are."""
        seconds = self.ends - time.monotonic()
        if seconds <= 0:
            raise unavailable(self.operation, "no answer within the deadline")
        return seconds


class Transport:
    """Sends requests through hvac's adapter, each with the token and the deadline of its call."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._closed = False
        self._open()

    def _open(self) -> None:
        self._session = _session(self.address)
        self._adapter = _BoundAdapter(base_uri=self.address.url, session=self._session, allow_redirects=False)

    def __repr__(self) -> str:
        return f"<Transport {self.address.url}>"

    def ask(self, call: Call, token: str | None, request: Callable[[Any], T]) -> T:
        """
        Return what *request* makes of the adapter it is given.

        Raises:
            AbsentError, MismatchError: See there.
            UnavailableError, AccessDeniedError: Vault cannot be used, or not with this token.
            ClosedError: The store was closed.
        """
        if self._closed:
            raise ClosedError
        with translated(call.operation, self.address.url), self._adapter.bound(call, token, self.address.namespace):
            return request(self._adapter)

    def status(self, call: Call) -> int:
        """Return the status of `sys/health`, which only the root namespace has."""
        with translated(call.operation, self.address.url), self._adapter.bound(call, None, None):
            answer = self._adapter.request("get", "/v1/sys/health", raise_exception=False)
        return 200 if isinstance(answer, dict) else int(answer.status_code)

    def close(self) -> None:
        """Close every idle connection; nothing more is sent."""
        self._closed = True
        self._session.close()

    def after_fork(self) -> None:
        """Begin anew: the connections are the parent's, and whoever held a lock of them is not here."""
        _ABANDONED.append(self._session)
        self._open()


class _Bound(threading.local):
    call: Call | None = None
    token: str | None = None
    namespace: str | None = None


class _BoundAdapter(JSONAdapter):
    """hvac's adapter, with the token, namespace and deadline of the present thread's call in place of its own."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._bound = _Bound()

    def bound(self, call: Call, token: str | None, namespace: str | None) -> _Binding:
        return _Binding(self._bound, call, token, namespace)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        raise_exception: bool = True,  # noqa: FBT001, FBT002  # as hvac has it
        **kwargs: Any,
    ) -> Any:
        for last in (False, True):
            prepared = {**self._headers(), **(headers or {})}
            try:
                return super().request(method, url, prepared, raise_exception, timeout=self._timeout(), **kwargs)
            except requests.ConnectionError as error:
                # An idle connection was closed while the request was on its way: a new one tells whether Vault is there.
                broken = error.args and isinstance(error.args[0], ProtocolError)
                if last or not broken or method not in _READS:
                    raise
        raise AssertionError

    def _headers(self) -> dict[str, str]:
        bound = self._bound
        named = {"X-Vault-Request": "true", "X-Vault-Token": bound.token, "X-Vault-Namespace": bound.namespace}
        return {name: text for name, text in named.items() if text}

    def _timeout(self) -> Timeout:
        assert self._bound.call is not None  # noqa: S101  # nothing is sent outside of `bound`
        left = self._bound.call.left()
        return Timeout(total=left, connect=min(left, _CONNECT_WITHIN))


class _Binding:
    """Binds a thread's requests to a call while the block lasts."""

    def __init__(self, bound: _Bound, call: Call, token: str | None, namespace: str | None) -> None:
        self._bound = bound
        self._now = (call, token, namespace)

    def __enter__(self) -> None:
        bound = self._bound
        self._before = (bound.call, bound.token, bound.namespace)
        bound.call, bound.token, bound.namespace = self._now

    def __exit__(self, *_: object) -> None:
        bound = self._bound
        bound.call, bound.token, bound.namespace = self._before


def _session(address: Address) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = address.ca_cert or True
    if address.client_cert:
        session.cert = (address.client_cert, address.client_key) if address.client_key else address.client_cert
    pooled = HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, max_retries=0)
    session.mount("https://", pooled)
    session.mount("http://", pooled)
    return session
