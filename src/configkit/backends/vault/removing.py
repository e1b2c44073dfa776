"""Removing keys with their whole history, which configkit's own policy does not allow: for demonstrations and tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from operator import methodcaller

from configkit.backends.vault.answers import AbsentError
from configkit.backends.vault.config import VaultConfigStore
from configkit.backends.vault.kv1 import VaultKv1ConfigStore
from configkit.errors import AccessDeniedError, NotFoundError
from configkit.models import ConfigPath, Origin


def remove(store: VaultConfigStore | VaultKv1ConfigStore, paths: Sequence[ConfigPath]) -> list[ConfigPath]:
    """
    Remove the keys, and return those whose history stays because the policy does not allow more than deleting.

    Raises:
        UnavailableError: Vault did not answer.
    """
    kept = []
    for path in paths:
        with suppress(NotFoundError):
            store.delete(path, origin=Origin("configkit demo"))
        if isinstance(store, VaultConfigStore) and not _removed(store, path):
            kept.append(path)
    return kept


def _removed(store: VaultConfigStore, path: ConfigPath) -> bool:
    session = store.session
    folders = (str(path), f"{path.environment}/{path.service_name}/.deletions/{path.key}")
    try:
        for at in folders:
            with suppress(AbsentError):
                session.ask(session.call("remove"), methodcaller("delete", f"/v1/{session.mount}/metadata/{at}"))
    except AccessDeniedError:
        return False
    return True
