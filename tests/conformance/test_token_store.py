"""The contract of `TokenStore`."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from configkit.errors import ConflictError, NotFoundError
from configkit.models import AccessChanged
from configkit.ports import SCOPES, Backends, Token, TokenStore
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN
from tests.conformance.test_event_bus import Heard, listening
from tests.waiting import eventually

PORT = "tokens"


def _tokens(backends: Backends) -> TokenStore:
    assert backends.tokens is not None
    return backends.tokens


def _token(**fields: Any) -> Token:
    name = fields.pop("name", None) or fresh.name("token")
    digest = hashlib.sha256(fresh.name("secret").encode()).hexdigest()
    return Token(**{"name": name, "digest": digest, "scopes": frozenset(("config:read",)), **fields})


def _found(store: TokenStore, name: str) -> Token | None:
    return {token.name: token for token in store.all()}.get(name)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"environments": frozenset(("staging",)), "services": frozenset(("asr-service", "_shared"))},
        {"environments": frozenset(), "services": frozenset()},
        {"scopes": frozenset(SCOPES)},
    ],
    ids=["without limits", "within limits", "nowhere", "every scope"],
)
def test_a_token_comes_back_as_it_was(deployment: Deployment, limits: dict[str, Any]) -> None:
    token = _token(**limits)
    _tokens(deployment.one).create(token, origin=ORIGIN)
    found = _found(_tokens(deployment.other), token.name)
    assert found is not None
    assert (found.digest, found.scopes) == (token.digest, token.scopes)
    assert (found.environments, found.services) == (token.environments, token.services)
    assert fresh.is_recent(found.created_at)


def test_a_name_is_taken_once(deployment: Deployment) -> None:
    token = _token()
    _tokens(deployment.one).create(token, origin=ORIGIN)
    with pytest.raises(ConflictError):
        _tokens(deployment.other).create(_token(name=token.name), origin=ORIGIN)
    found = _found(_tokens(deployment.one), token.name)
    assert found is not None
    assert found.digest == token.digest


def test_a_revoked_token_is_gone_and_its_name_is_free(deployment: Deployment) -> None:
    token = _token()
    _tokens(deployment.one).create(token, origin=ORIGIN)
    _tokens(deployment.other).revoke(token.name, origin=ORIGIN)
    assert _found(_tokens(deployment.one), token.name) is None
    with pytest.raises(NotFoundError):
        _tokens(deployment.one).revoke(token.name, origin=ORIGIN)
    _tokens(deployment.one).create(_token(name=token.name), origin=ORIGIN)
    assert _found(_tokens(deployment.other), token.name) is not None


def test_a_token_that_never_was_cannot_be_revoked(deployment: Deployment) -> None:
    with pytest.raises(NotFoundError):
        _tokens(deployment.one).revoke(fresh.name("token"), origin=ORIGIN)


def test_tokens_are_listed_by_name(deployment: Deployment) -> None:
    for prefix in ("b", "Zeta", "a"):
        _tokens(deployment.one).create(_token(name=fresh.name(prefix)), origin=ORIGIN)
    listed = [token.name for token in _tokens(deployment.other).all()]
    assert listed == sorted(listed)


def test_creating_and_revoking_is_told(deployment: Deployment) -> None:
    token = _token()
    with listening(deployment.one.bus) as heard:
        _tokens(deployment.other).create(token, origin=ORIGIN)
        eventually(lambda: _is_told(heard))
        heard.events.clear()
        _tokens(deployment.other).revoke(token.name, origin=ORIGIN)
        eventually(lambda: _is_told(heard))


def _is_told(heard: Heard) -> bool:
    return any(isinstance(event, AccessChanged) for event in list(heard.events))
