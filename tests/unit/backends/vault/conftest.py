"""A KV engine for each test, in the Vault that runs for all; the tests are skipped, with a reason, where none does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from configkit.backends.vault.config import VaultConfigStore
from tests.vaults import Mount, fresh_mount


@pytest.fixture
def mount() -> Iterator[Mount]:
    with fresh_mount() as fresh:
        yield fresh


@pytest.fixture
def store(mount: Mount) -> Iterator[VaultConfigStore]:
    with closing(mount.open()) as opened:
        assert isinstance(opened, VaultConfigStore)
        yield opened
