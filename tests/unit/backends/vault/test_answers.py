"""What Vault's answers mean, and those of what stands before it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest

from configkit.backends.vault import open_vault
from configkit.backends.vault.answers import moment
from configkit.errors import AccessDeniedError, InvalidDocumentError, UnavailableError
from configkit.models import ConfigPath, ConfigSelector, Origin
from tests.unit.backends.vault.answering import answering

PATH = ConfigPath("development", "asr-service", "model_path")
ORIGIN = Origin("ann")
SEALED = b'{"errors":["Vault is sealed"]}'
NO_MOUNT = b'{"errors":["no handler for route \\"secret/data/development\\". route entry not found."]}'


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, SEALED, "sealed"),
        (503, b'{"errors":["something else"]}', "something else"),
        (501, b"{}", "not initialised"),
        (429, b'{"errors":["request path: rate limit quota exceeded"]}', "standby node"),
        (472, b"{}", "failed"),
        (473, b"{}", "failed"),
        (500, b'{"errors":["internal error"]}', "internal error"),
        (502, b"<html>bad gateway canary</html>", "failed"),
        (404, b"<html>not here canary</html>", "VAULT_MOUNT_POINT"),
        (404, NO_MOUNT, "VAULT_MOUNT_POINT"),
        (404, b'{"errors":null,"warnings":["Invalid path for a versioned K/V secrets engine"]}', "VAULT_MOUNT_POINT"),
        (200, b"<html>welcome canary</html>", "not Vault's"),
        (200, b"[]", "not Vault's"),
        (200, b'{"data":{"keys":5}}', "not Vault's"),
        (204, b"", "not Vault's"),
        (412, b'{"errors":["required index state not present"]}', "required index"),
        (400, b'{"errors":["bad request"]}', "bad request"),
    ],
)
def test_what_is_no_answer_of_a_working_vault_is_unavailable_and_never_missing(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as (address, _), closing(open_vault(address, token="t-canary")) as store:
        for attempt in (
            lambda: store.read(PATH),
            lambda: store.read_service("development", "asr-service"),
            lambda: store.list(ConfigSelector(environments=frozenset(("development",))), limit=5),
            lambda: store.create(PATH, "v-canary", is_encrypted=True, origin=ORIGIN),
            lambda: store.delete(PATH, origin=ORIGIN),
        ):
            with pytest.raises(UnavailableError) as caught:
                attempt()
            assert said in str(caught.value)
            assert "canary" not in str(caught.value)


def test_a_refused_token_is_denied() -> None:
    with answering(403, b'{"errors":["permission denied"]}') as (address, _), closing(open_vault(address, token="t")) as store:
        with pytest.raises(AccessDeniedError):
            store.read(PATH)
        with pytest.raises(AccessDeniedError):
            store.create(PATH, 1, is_encrypted=False, origin=ORIGIN)


def test_a_redirect_is_not_followed() -> None:
    with answering(200, b"{}") as (elsewhere, asked):
        away = {"Location": f"{elsewhere}/v1/secret/data/x"}
        with answering(307, headers=away) as (address, _), closing(open_vault(address, token="t")) as store:
            with pytest.raises(UnavailableError, match="redirects are not followed"):
                store.read(PATH)
            with pytest.raises(UnavailableError, match="redirects are not followed"):
                store.create(PATH, 1, is_encrypted=True, origin=ORIGIN)
        assert asked == []


def test_a_value_that_the_storage_refuses_for_its_size_is_the_callers_fault() -> None:
    too_large = json.dumps({"errors": ["put failed due to value being too large; got 2, max: 1: value too large"]}).encode()
    with (
        answering(500, too_large) as (address, _),
        closing(open_vault(address, token="t")) as store,
        pytest.raises(InvalidDocumentError, match="larger"),
    ):
        store.create(PATH, 1, is_encrypted=False, origin=ORIGIN)


@pytest.mark.parametrize(
    ("status", "said"), [(429, "standby"), (472, "disaster"), (473, "performance"), (501, "init"), (503, "unseal"), (599, "599")]
)
def test_a_ping_tells_what_is_wrong_with_vault(status: int, said: str) -> None:
    with (
        answering(status, b"{}") as (address, _),
        closing(open_vault(address, token="t")) as store,
        pytest.raises(UnavailableError, match=said),
    ):
        store.ping()


def test_nobody_at_the_address_is_told_at_once() -> None:
    with answering(200) as (address, _):
        pass
    with closing(open_vault(address, token="t")) as store:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="connection failed"):
            store.read(PATH)
        assert time.monotonic() - began < 1.0


def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, b"{}") as (proxy, asked_proxy), answering(403, b'{"errors":["no"]}') as (address, asked):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy)
        with closing(open_vault(address, token="t")) as store, pytest.raises(AccessDeniedError):
            store.read(PATH)
        assert asked
        assert asked_proxy == []


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("2026-11-25T23:38:01.123456789Z", 123456),
        ("2026-11-25T23:38:01.1Z", 100000),
        ("2026-11-25T23:38:01Z", 0),
        ("2026-11-26T00:38:01.5+01:00", 500000),
    ],
)
def test_times_of_vault_are_utc_to_the_microsecond(text: str, micro: int) -> None:
    assert moment(text) == datetime(2026, 11, 25, 23, 38, 1, micro, UTC)
    assert moment(text).tzinfo is UTC
