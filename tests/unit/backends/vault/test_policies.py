"""The policies that the documentation gives are enough, and no more than that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from configkit.errors import AccessDeniedError
from configkit.models import ConfigPath, ConfigSelector, Origin
from tests.vaults import Mount

PAGE = Path(__file__).parents[4] / "docs" / "VAULT_INTEGRATION.md"
FULL, READING = re.findall(r"^```hcl\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ORIGIN = Origin("ann")
PATH = ConfigPath("production", "asr-service", "model_path")


@contextmanager
def under(policy: str, mount: Mount) -> Iterator[Any]:
    mount.ask("POST", f"sys/policies/acl/{mount.name}", {"policy": policy.replace('"secret/', f'"{mount.name}/')})
    with closing(mount.open(environments=frozenset(("production",)))) as store:
        yield store


def test_the_documented_policy_allows_all_that_configkit_does_and_no_destroying(mount: Mount) -> None:
    mount.ask("POST", f"{mount.name}/data/{PATH}", {"data": {"value": "foreign"}})
    mount.ask("POST", f"{mount.name}/data/{PATH}", {"data": {"value": "foreign again"}})
    with under(FULL, mount) as store:
        store.ping()
        assert store.update(PATH, "mine", origin=ORIGIN, is_encrypted=True).version == 3
        store.create(ConfigPath("production", "asr-service", "other"), 1, is_encrypted=True, origin=ORIGIN)
        assert store.rollback(PATH, 1, origin=ORIGIN).version == 4
        assert store.delete(PATH, origin=ORIGIN) == 4
        assert store.create(PATH, "again", is_encrypted=False, origin=ORIGIN).version == 5
        assert store.history(PATH, limit=10).total == 5
        assert store.list(ConfigSelector(), limit=10).total == len(store.read_service("production", "asr-service")) == 2
        token = mount.token()
        assert mount.ask("DELETE", f"{mount.name}/metadata/{PATH}", token=token).status == 403
        assert mount.ask("PUT", f"{mount.name}/destroy/{PATH}", {"versions": [1]}, token=token).status == 403
        assert mount.ask("DELETE", f"{mount.name}/data/{PATH}", token=token).status == 403


def test_the_documented_policy_of_a_service_lets_it_read_its_own_and_the_shared_keys(mount: Mount) -> None:
    other = ConfigPath("production", "nmt-service", "k")
    shared = ConfigPath("production", "_shared", "k")
    with closing(mount.open()) as writer:
        for path in (PATH, shared, other):
            writer.create(path, 1, is_encrypted=False, origin=ORIGIN)
        writer.update(PATH, 2, origin=ORIGIN)
    with under(READING, mount) as store:
        store.ping()
        assert store.read_service("production", "asr-service")[PATH.key].version == 2
        assert list(store.read_service("production", "_shared")) == ["k"]
        assert store.history(PATH, limit=5).total == 2
        forbidden: tuple[Callable[[], object], ...] = (
            lambda: store.read(other),
            lambda: store.read_service("production", "nmt-service"),
            lambda: store.update(PATH, 3, origin=ORIGIN),
            lambda: store.create(ConfigPath("production", "asr-service", "new"), 1, is_encrypted=False, origin=ORIGIN),
            lambda: store.delete(PATH, origin=ORIGIN),
        )
        for attempt in forbidden:
            with pytest.raises(AccessDeniedError):
                attempt()
        assert store.read(PATH).version == 2
