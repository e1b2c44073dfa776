"""Tokens: obtained once for all threads, renewed in time, replaced when revoked, refused with a remedy."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from configkit.backends.vault import open_vault
from configkit.backends.vault.answers import moment
from configkit.backends.vault.credentials import grows, renewal_due
from configkit.errors import AccessDeniedError, ConfigKitError
from configkit.models import ConfigPath, Origin
from tests.unit.backends.vault.answering import answering
from tests.vaults import Answer, Mount, fresh_mount
from tests.waiting import eventually

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "asr-service", "model_path")
THREADS = 20


def tokens(mount: Mount) -> dict[str, dict[str, Any]]:
    """Return the living tokens that logins with the mount's role gave, by accessor."""
    found = {}
    for accessor in mount.ask("LIST", "auth/token/accessors").body["data"]["keys"]:
        answer = mount.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        if answer.status == 200 and mount.name in answer.body["data"]["policies"] and "approle" in answer.body["data"]["path"]:
            found[accessor] = answer.body["data"]
    return found


def revoke(mount: Mount) -> None:
    for accessor in tokens(mount):
        assert mount.ask("POST", "auth/token/revoke-accessor", {"accessor": accessor}).status == 204


def look(mount: Mount, token: str) -> Answer:
    return mount.ask("POST", "auth/token/lookup", {"token": token})


@contextmanager
def role(**settings: Any) -> Iterator[Mount]:
    with fresh_mount(**settings) as mount:
        yield mount


def test_many_threads_that_begin_at_once_log_in_once(mount: Mount) -> None:
    with closing(mount.open()) as store, ThreadPoolExecutor(THREADS) as pool:
        begin = Barrier(THREADS)

        def read(_: int) -> dict[str, object]:
            begin.wait()
            return dict(store.read_service("development", "asr-service"))

        assert list(pool.map(read, range(THREADS))) == [{}] * THREADS
        assert len(tokens(mount)) == 1


def test_after_a_token_was_revoked_many_threads_log_in_once_and_all_have_their_answer(mount: Mount) -> None:
    with closing(mount.open()) as store, ThreadPoolExecutor(THREADS) as pool:
        written = store.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
        revoke(mount)
        assert tokens(mount) == {}
        begin = Barrier(THREADS)

        def read(_: int) -> object:
            begin.wait()
            return store.read(PATH)

        assert list(pool.map(read, range(THREADS))) == [written] * THREADS
        assert len(tokens(mount)) == 1


def test_a_path_that_the_policy_refuses_causes_no_storm_of_logins(mount: Mount) -> None:
    mount.ask("POST", f"sys/policies/acl/{mount.name}", {"policy": f'path "{mount.name}/config" {{ capabilities = ["read"] }}'})
    with closing(mount.open()) as store:
        for _ in range(10):
            with pytest.raises(AccessDeniedError, match="policy"):
                store.read(PATH)
        assert len(tokens(mount)) == 1


def test_closing_ends_the_token_that_was_obtained(mount: Mount) -> None:
    with closing(mount.open()) as store:
        store.ping()
        assert len(tokens(mount)) == 1
    assert tokens(mount) == {}
    store.close()
    with pytest.raises(ConfigKitError, match="closed"):
        store.read(PATH)


def test_a_token_is_renewed_before_its_lease_ends() -> None:
    with role(token_ttl="2s", token_max_ttl="1h") as mount, closing(mount.open()) as store:
        store.ping()
        (accessor,) = tokens(mount)
        eventually(lambda: tokens(mount)[accessor].get("last_renewal"), timeout=5)
        issued = tokens(mount)[accessor]["issue_time"]
        eventually(lambda: tokens(mount)[accessor]["expire_time"][:19] > _after(issued, 3)[:19], timeout=8)
        assert list(tokens(mount)) == [accessor]


def test_when_the_lease_stops_growing_another_login_comes_before_its_end() -> None:
    with role(token_ttl="1s", token_max_ttl="2s") as mount, closing(mount.open()) as store:
        store.ping()
        (first,) = tokens(mount)
        eventually(lambda: set(tokens(mount)) - {first}, timeout=8)
        store.ping()


def test_a_given_token_is_renewed_too(mount: Mount) -> None:
    token = mount.token(period="2s")
    with closing(mount.open(token=token)) as store:
        store.ping()
        eventually(lambda: look(mount, token).body["data"].get("last_renewal"), timeout=5)
    assert look(mount, token).status == 200  # it is not ours to end


def test_a_given_token_that_is_revoked_is_denied(mount: Mount) -> None:
    token = mount.token()
    with closing(mount.open(token=token)) as store:
        store.ping()
        mount.ask("POST", "auth/token/revoke", {"token": token})
        for attempt in (lambda: store.read(PATH), store.ping):
            with pytest.raises(AccessDeniedError):
                attempt()


def test_a_wrong_secret_id_is_denied_with_a_remedy_and_tried_once_a_second(mount: Mount) -> None:
    with closing(mount.open(role_id=mount.role_id, secret_id="wrong-canary")) as store:
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(AccessDeniedError, match="VAULT_SECRET_ID") as caught:
                store.read(PATH)
            assert "canary" not in str(caught.value)
        assert time.monotonic() - began < 1.5


def test_a_login_method_that_is_not_there_is_denied_with_a_remedy(mount: Mount) -> None:
    nowhere = mount.open(role_id=mount.role_id, secret_id=mount.secret_id, auth_mount="nowhere")
    with closing(nowhere) as store, pytest.raises(AccessDeniedError, match="VAULT"):
        store.read(PATH)


def test_a_service_account_logs_in_with_the_token_that_lies_in_its_file_at_that_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    login = {"auth": {"client_token": "t", "lease_duration": 0, "renewable": False}, "data": None}
    with (
        answering(200, json.dumps(login).encode()) as (address, asked),
        closing(open_vault(address, k8s_role="configkit", k8s_token_file=str(file), auth_mount="cluster")) as store,
    ):
        with pytest.raises(AccessDeniedError, match="cannot be read"):
            store.read(PATH)
        assert asked == []
        file.write_text("first-jwt\n", encoding="utf-8")

        def is_asked() -> bool:
            with pytest.raises(ConfigKitError):
                store.read(PATH)
            return bool(asked)

        eventually(is_asked, timeout=3)
        assert asked[0] == "POST /v1/auth/cluster/login"


def test_a_service_account_that_vault_does_not_know_is_denied(mount: Mount, tmp_path: Path) -> None:
    file = tmp_path / "token"
    part = base64.urlsafe_b64encode(b'{"alg":"RS256"}').decode().rstrip("=")
    file.write_text(f"{part}.{part}.{part}", encoding="utf-8")
    where = f"k8s-{mount.name}"
    assert mount.ask("POST", f"sys/auth/{where}", {"type": "kubernetes"}).status == 204
    try:
        unknown = mount.open(role_id=None, k8s_role="r", k8s_token_file=str(file), auth_mount=where)
        with closing(unknown) as store, pytest.raises(AccessDeniedError, match="VAULT_K8S_ROLE"):
            store.read(PATH)
    finally:
        mount.ask("DELETE", f"sys/auth/{where}")


def test_a_lease_is_renewed_at_about_two_thirds_and_never_all_at_the_same_time() -> None:
    assert [renewal_due(300, draw) for draw in (0.0, 0.5, 1.0)] == pytest.approx([180, 198, 216])


@pytest.mark.parametrize(("renewed_for", "left", "answer"), [(60, 20, True), (20, 20, False), (19.5, 20, False), (0, 5, False)])
def test_a_renewal_that_moves_no_end_is_none(renewed_for: float, left: float, answer: bool) -> None:
    assert grows(renewed_for, left) is answer


def _after(moment_text: str, seconds: int) -> str:
    return (moment(moment_text) + timedelta(seconds=seconds)).isoformat()
