"""Requests that must not be carried out twice, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from configkit.errors import ConflictError, InvalidDocumentError, OutcomeUnknownError
from configkit.ports import Outcome

KEPT_FOR = 24 * 3600.0
CLAIM_FOR = 60.0


@dataclass(slots=True)
class _Claim:
    fingerprint: str
    begun: float
    outcome: Outcome | None = None


class MemoryIdempotencyStore:
    """
    An `IdempotencyStore`.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, fingerprint: str) -> Outcome | None:
        """Claim *key*, or return what became of it. Raises `InvalidDocumentError` or `ConflictError`."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            claim = self._claims.get(key)
            if claim is None:
                self._claims[key] = _Claim(fingerprint, now)
                return None
            if claim.fingerprint != fingerprint:
                raise InvalidDocumentError("this Idempotency-Key was used for another request; use a new one")
            if claim.outcome is None and now - claim.begun > CLAIM_FOR:
                raise OutcomeUnknownError("the first request with this Idempotency-Key was begun, and never finished")
            if claim.outcome is None:
                raise ConflictError("the first request with this Idempotency-Key is still in flight", expected=None, actual=None)
            return claim.outcome

    def finish(self, key: str, outcome: Outcome | None) -> None:
        """Keep what became of it; None: it may be tried again."""
        with self._lock:
            claim = self._claims.get(key)
            if claim is None:
                return
            if outcome is None:
                del self._claims[key]
            else:
                claim.outcome = outcome

    def _forget(self, now: float) -> None:
        # Claims are in the order of their time, so that the old ones are the first.
        while self._claims:
            key = next(iter(self._claims))
            if now - self._claims[key].begun <= KEPT_FOR:
                return
            del self._claims[key]
