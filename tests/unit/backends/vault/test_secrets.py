"""A canary, as value, token and secret id, through everything: it is in no log, no error and no representation."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from configkit.backends.vault.config import VaultConfigStore
from configkit.errors import ConfigKitError
from configkit.models import ConfigPath, Origin
from tests.vaults import Mount

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "asr-service", "api_key")
CANARY = "canary-4711"


def outcome(call: Callable[[], object]) -> str:
    """Return all that a program may show of a call: the answer's representation, or the error with its causes."""
    try:
        return repr(call())
    except ConfigKitError as error:
        return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)


def test_the_canary_is_seen_nowhere(mount: Mount, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    def through(store: Any) -> None:
        create = lambda: store.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)  # noqa: E731
        calls: tuple[Callable[[], object], ...] = (
            create,
            create,
            lambda: store.read(PATH),
            lambda: store.update(PATH, {"password": CANARY}, origin=ORIGIN),
            lambda: store.update(PATH, CANARY, origin=ORIGIN, expected_version=99),
            lambda: store.history(PATH, limit=5),
            lambda: store.read_service("development", "asr-service"),
            lambda: store.rollback(PATH, 1, origin=ORIGIN),
            lambda: store.rollback(PATH, 99, origin=ORIGIN),
            lambda: store.delete(PATH, origin=ORIGIN),
            lambda: store.update(PATH, CANARY, origin=ORIGIN),
            store.ping,
            lambda: store,
            lambda: store._session._credentials._login,
            lambda: store._session._credentials._grant,
        )
        shown.extend(outcome(call) for call in calls)

    with closing(mount.open()) as store:
        through(store)
    with closing(mount.open(secret_id=CANARY, role_id=mount.role_id)) as store:
        through(store)
    with closing(mount.open(token=CANARY)) as store:
        through(store)
    with closing(mount.open(address="http://127.0.0.1:1", token=CANARY)) as store:
        through(store)
    with closing(mount.open(mount=f"{mount.name}-gone", secret_id=mount.secret_id, role_id=mount.role_id)) as store:
        through(store)
    logged = "\n".join(record.getMessage() + repr(record.args) for record in caplog.records)
    assert len(shown) > 60
    assert "asr-service" in logged
    assert CANARY not in "\n".join(shown)
    assert CANARY not in logged
    assert mount.secret_id not in "\n".join([*shown, logged])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_and_writes_with_connections_and_a_token_of_its_own(store: VaultConfigStore) -> None:
    store.create(PATH, "before", is_encrypted=False, origin=ORIGIN)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store.after_fork()
            answer = [store.read(PATH).value, store.update(PATH, "child", origin=ORIGIN).version]
            answer.append(len(store.read_service("development", "asr-service")))
            store.close()
        except BaseException as error:  # noqa: BLE001
            answer = [repr(error)]
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert json.loads(pipe.read()) == ["before", 2, 1]
    os.waitpid(child, 0)
    assert store.read(PATH).value == "child"
