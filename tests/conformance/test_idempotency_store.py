"""The contract of `IdempotencyStore`. How long claims and outcomes last is told by each backend's own tests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from configkit.errors import ConflictError, InvalidDocumentError
from configkit.ports import Backends, IdempotencyStore, Outcome
from tests.conformance import fresh
from tests.conformance.backends import Deployment

PORT = "idempotency"


def _store(backends: Backends) -> IdempotencyStore:
    assert backends.idempotency is not None
    return backends.idempotency


@pytest.mark.parametrize("outcome", [Outcome(201, "development/asr/key", 3), Outcome(204, "", None)], ids=["version", "none"])
def test_a_request_is_carried_out_once_and_its_outcome_kept(deployment: Deployment, outcome: Outcome) -> None:
    key = fresh.name("key")
    assert _store(deployment.one).begin(key, "fingerprint") is None
    _store(deployment.one).finish(key, outcome)
    assert _store(deployment.one).begin(key, "fingerprint") == outcome
    assert _store(deployment.other).begin(key, "fingerprint") == outcome


def test_a_key_belongs_to_one_request(deployment: Deployment) -> None:
    key = fresh.name("key")
    _store(deployment.one).begin(key, "fingerprint")
    _store(deployment.one).finish(key, Outcome(200, "subject", 1))
    with pytest.raises(InvalidDocumentError):
        _store(deployment.other).begin(key, "another")
    assert _store(deployment.other).begin(key, "fingerprint") == Outcome(200, "subject", 1)


def test_a_request_that_is_still_carried_out_conflicts(deployment: Deployment) -> None:
    key = fresh.name("key")
    assert _store(deployment.one).begin(key, "fingerprint") is None
    with pytest.raises(ConflictError):
        _store(deployment.other).begin(key, "fingerprint")
    with pytest.raises(ConflictError):
        _store(deployment.one).begin(key, "fingerprint")


def test_a_request_that_failed_may_be_tried_again(deployment: Deployment) -> None:
    key = fresh.name("key")
    _store(deployment.one).begin(key, "fingerprint")
    _store(deployment.one).finish(key, None)
    assert _store(deployment.other).begin(key, "fingerprint") is None


def test_different_keys_do_not_meet(deployment: Deployment) -> None:
    first, second = fresh.name("key"), fresh.name("key")
    assert _store(deployment.one).begin(first, "fingerprint") is None
    assert _store(deployment.one).begin(second, "fingerprint") is None
    _store(deployment.one).finish(first, Outcome(201, "first", 1))
    with pytest.raises(ConflictError):
        _store(deployment.one).begin(second, "fingerprint")


def test_finishing_what_was_never_begun_is_harmless(deployment: Deployment) -> None:
    key = fresh.name("key")
    _store(deployment.one).finish(key, None)
    assert _store(deployment.one).begin(key, "fingerprint") is None


def test_of_callers_that_begin_the_same_request_one_carries_it_out(deployment: Deployment) -> None:
    key = fresh.name("key")
    stores = (_store(deployment.one), _store(deployment.other))

    def begin(number: int) -> bool:
        try:
            return stores[number % 2].begin(key, "fingerprint") is None
        except ConflictError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, range(8))) == [False] * 7 + [True]
