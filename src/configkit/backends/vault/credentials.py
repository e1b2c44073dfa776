"""The token that calls present: obtained when first needed, renewed in time, replaced when it is refused."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from contextlib import suppress

from configkit import chance
from configkit.backends.vault.answers import denied, unavailable
from configkit.backends.vault.login import Grant, Login, looked_up, renewed, revoke
from configkit.backends.vault.transport import Call, Transport
from configkit.errors import AccessDeniedError, ConfigKitError, UnavailableError

logger = logging.getLogger("configkit.vault")

_LOGIN_ANEW_AFTER = 60.0
"""Seconds between two logins only because a path was refused: the role may have got other policies."""
_FAILURE_STANDS = 1.0
"""Seconds for which a refused login answers for those who come after it."""
_REVOKE_WITHIN = 0.5


def renewal_due(seconds: float, draw: float) -> float:
    """Return how long to wait before a lease of *seconds* is renewed: about two thirds of it; *draw* of 0-1 spreads it."""
    return seconds * (0.6 + 0.12 * draw)


def grows(renewed_for: float, left: float) -> bool:
    """Whether a renewal that gave *renewed_for* seconds has moved the end of a lease that had *left* seconds to go."""
    return renewed_for > left * 1.05


class Credentials:
    """
    Keeps one valid token for all threads.

    However many of them find it refused, one logs in, and the others wait for what comes of it.
    """

    def __init__(self, transport: Transport, login: Login, *, deadline: float) -> None:
        self._transport = transport
        self._login = login
        self._deadline = deadline
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._keeper: threading.Thread | None = None
        self._grant: Grant | None = None
        self._granted_at = 0.0
        self._known = False
        self._flight: Future[str | None] | None = None
        self._failure: tuple[AccessDeniedError, float] | None = None

    def token(self, call: Call) -> str:
        """Return the token. Raises as `Login.obtain` does."""
        grant = self._grant
        if grant is not None:
            return grant.token
        token = self._replace(None, call)
        if token is None:
            raise denied(call.operation, "there is no token")
        return token

    def instead_of(self, refused: str, call: Call) -> str | None:
        """Return another token than the *refused* one; None: it is in order, and what it was refused is not allowed."""
        return self._replace(refused, call) if self._login.repeatable else None

    def close(self) -> None:
        """End the renewals, and the token if it was obtained here."""
        with self._lock:
            self._closed = True
            grant, self._grant = self._grant, None
            keeper = self._keeper
        self._wake.set()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(_REVOKE_WITHIN)
        if grant is not None and self._login.repeatable:
            with suppress(ConfigKitError):
                revoke(self._transport, Call("close", time.monotonic() + _REVOKE_WITHIN), grant.token)

    def after_fork(self) -> None:
        """Begin anew in a forked child, with a token of its own."""
        self._reset()

    def _replace(self, refused: str | None, call: Call) -> str | None:
        """Return a token other than *refused*, obtained by one thread for all."""
        with self._lock:
            if self._grant is not None and self._grant.token != refused:
                return self._grant.token
            if self._failure is not None and time.monotonic() < self._failure[1]:
                raise self._failure[0]
            flight, leads = self._flight, self._flight is None
            if flight is None:
                flight = self._flight = Future()
        if leads:
            self._fly(flight, refused, call)
        try:
            return flight.result(timeout=call.left())
        except TimeoutError:
            raise unavailable(call.operation, "the login was not answered within the deadline") from None

    def _fly(self, flight: Future[str | None], refused: str | None, call: Call) -> None:
        try:
            kept = refused is not None and self._is_in_order(refused, call)
            grant = None if kept else self._login.obtain(self._transport, call)
        except BaseException as error:  # noqa: BLE001  everybody who waits gets it
            with self._lock:
                self._flight = None
                if isinstance(error, AccessDeniedError):
                    self._failure = (error, time.monotonic() + _FAILURE_STANDS)
            flight.set_exception(error)
            return
        with self._lock:
            self._flight = None
            if grant is not None:
                self._keep(grant)
        flight.set_result(None if grant is None else grant.token)

    def _is_in_order(self, token: str, call: Call) -> bool:
        """Whether a refused token is valid and fresh, so that it was refused for what it was used for."""
        if time.monotonic() - self._granted_at > _LOGIN_ANEW_AFTER:
            return False
        try:
            looked_up(self._transport, call, token)
        except AccessDeniedError:
            return False
        return True

    def _keep(self, grant: Grant) -> None:
        """Use *grant* from now on; the lock is held."""
        if self._closed:
            return
        self._grant, self._granted_at, self._failure = grant, time.monotonic(), None
        self._wake.set()
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._renew_for_ever, name="configkit-vault-token", daemon=True)
            self._keeper.start()

    # -- renewal, on a thread of its own -------------------------------------------------------------------------------

    def _renew_for_ever(self) -> None:
        wake, failures = self._wake, 0
        pause = self._pause()
        while not self._closed:
            if wake.wait(pause):
                wake.clear()
                pause, failures = self._pause(), 0
                continue
            try:
                self._prolong()
                pause, failures = self._pause(), 0
            except UnavailableError:
                failures += 1
                pause = min(0.25 * 2**failures, 5.0) * (0.5 + chance.random() / 2)
            except ConfigKitError as error:
                logger.warning("the Vault token cannot be renewed: %s", error)
                pause = None if not self._login.repeatable else 5.0

    def _pause(self) -> float | None:
        """Return the seconds until there is something to do; None: for ever."""
        grant = self._grant
        if grant is None or not grant.seconds:
            return 0.0 if grant is not None and not self._login.repeatable and not self._known else None
        left = grant.seconds - (time.monotonic() - self._granted_at)
        return max(renewal_due(grant.seconds, chance.random()) - (grant.seconds - left), 0.1)

    def _prolong(self) -> None:
        """Renew the token, or get another one where that does not help."""
        grant = self._grant
        if grant is None:
            return
        if not self._login.repeatable and not self._known:
            self._known = True
            self._extend(grant, looked_up(self._transport, self._call(), grant.token))
            return
        left = grant.seconds - (time.monotonic() - self._granted_at)
        try:
            longer = renewed(self._transport, self._call(), grant.token) if grant.renewable else None
        except AccessDeniedError:
            longer = None
        if longer is not None and grows(longer.seconds, left):
            self._extend(grant, longer)
        elif self._login.repeatable:
            self._log_in_again(grant)
        else:
            logger.warning("the Vault token ends in %.0f s and cannot be renewed; give VAULT_TOKEN another one", max(left, 0.0))
            self._extend(grant, Grant(grant.token, 0.0, renewable=False))

    def _extend(self, grant: Grant, longer: Grant) -> None:
        with self._lock:
            if self._grant is grant:
                self._grant, self._granted_at = longer, time.monotonic()

    def _log_in_again(self, grant: Grant) -> None:
        fresh = self._login.obtain(self._transport, self._call())
        with self._lock:
            if self._grant is grant:
                self._keep(fresh)

    def _call(self) -> Call:
        return Call("renew", time.monotonic() + self._deadline)
