"""A Vault of the test's own, harmed: every caller has an answer in time, and afterwards all goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scripts.services import Server
from scripts.services.vault import seal, unseal

from configkit.backends.vault import open_vault
from configkit.errors import UnavailableError
from configkit.models import ConfigPath, ConfigSelector, Origin
from tests import services
from tests.waiting import eventually

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "asr-service", "model_path")
DEADLINE = 1.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with services.private("vault", tmp_path / "vault") as private:
        yield private


def opened(server: Server, **settings: Any) -> Any:
    env = server.env
    login = {"role_id": env["VAULT_ROLE_ID"], "secret_id": env["VAULT_SECRET_ID"]}
    return open_vault(**{"address": env["VAULT_ADDR"], "deadline": DEADLINE, **login, **settings})


def calls(store: Any) -> list[Callable[[], object]]:
    return [
        lambda: store.read(PATH),
        lambda: store.read(PATH, 1),
        lambda: store.read_service("development", "asr-service"),
        lambda: store.list(ConfigSelector(), limit=5),
        lambda: store.history(PATH, limit=5),
        lambda: store.create(PATH, 1, is_encrypted=False, origin=ORIGIN),
        lambda: store.update(PATH, 2, origin=ORIGIN),
        lambda: store.delete(PATH, origin=ORIGIN),
        lambda: store.rollback(PATH, 1, origin=ORIGIN),
        store.ping,
    ]


def test_a_sealed_vault_says_so_at_once_and_answers_again_when_unsealed(server: Server) -> None:
    with closing(opened(server)) as store:
        written = store.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
        seal(server.place)
        for call in calls(store):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="sealed"):
                call()
            assert time.monotonic() - began < DEADLINE + 0.1
        unseal(server.place)
        assert eventually(lambda: store.read(PATH), timeout=5) == written


def test_a_vault_that_hangs_costs_every_caller_the_deadline_and_no_more(server: Server) -> None:
    deadline = 0.5
    with closing(opened(server, deadline=deadline)) as store, closing(opened(server, deadline=deadline)) as cold:
        written = store.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
        server.pause()
        try:
            for call in [*calls(store), *calls(cold)[:1]]:
                began = time.monotonic()
                with pytest.raises(UnavailableError):
                    call()
                assert time.monotonic() - began < deadline + 0.1
        finally:
            server.resume()
        assert store.read(PATH) == written
        assert cold.read(PATH) == written


def test_a_vault_that_is_killed_is_unavailable_and_the_same_store_goes_on_when_it_is_back(server: Server) -> None:
    with closing(opened(server)) as store:
        written = store.create(PATH, "x", is_encrypted=True, origin=ORIGIN)
        server.kill()
        for call in calls(store):
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                call()
            assert time.monotonic() - began < DEADLINE + 0.1
        server.start()
        assert store.read(PATH) == written
        assert store.update(PATH, "y", origin=ORIGIN).version == 2


def test_closing_while_vault_hangs_is_bounded(server: Server) -> None:
    store = opened(server)
    store.read_service("development", "asr-service")
    server.pause()
    try:
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 2.0
    finally:
        server.resume()


def test_over_tls_the_server_is_checked_against_the_given_authority(server: Server) -> None:
    place = server.place
    address = f"https://127.0.0.1:{place.ports['tls']}"
    with closing(opened(server, address=address, ca_cert=str(place.certificate))) as store:
        store.ping()
        assert store.create(PATH, "x", is_encrypted=True, origin=ORIGIN).version == 1
    with closing(opened(server, address=address)) as store, pytest.raises(UnavailableError, match="VAULT_CACERT"):
        store.read(PATH)
