"""Configuration in HashiCorp Vault: `open_vault` gives the store; the extra `vault` brings what it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from configkit.errors import InvalidDocumentError, MissingExtraError
from configkit.models import check_url

if TYPE_CHECKING:
    from configkit.backends.vault.config import VaultConfigStore
    from configkit.backends.vault.kv1 import VaultKv1ConfigStore
    from configkit.backends.vault.login import Login

_MOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  # where Kubernetes puts it


def open_vault(  # noqa: PLR0913  # one for each setting
    address: str,
    *,
    token: str | None = None,
    role_id: str | None = None,
    secret_id: str | None = None,
    k8s_role: str | None = None,
    k8s_token_file: str = SERVICE_ACCOUNT_TOKEN,
    auth_mount: str | None = None,
    mount: str = "secret",
    kv_version: int = 2,
    namespace: str | None = None,
    ca_cert: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    environments: frozenset[str] | None = None,
    deadline: float = 5.0,
) -> VaultConfigStore | VaultKv1ConfigStore:
    """
    Return the store; nothing is sent before its first use. `ping`, `close` and `after_fork` are its methods.

    Args:
        role_id, secret_id: Log in as this AppRole.
        k8s_role, k8s_token_file: Otherwise, log in as this role with the pod's service account.
        token: Otherwise, present this token.
        auth_mount: Where the login method is enabled; ``approle`` or ``kubernetes`` unless told.
        mount, kv_version: Where the KV engine is, and which one.
        ca_cert, client_cert, client_key: Files of certificates, in PEM.
        environments: Those to look through where a list selects none; None: all that the mount has.
        deadline: Seconds that each operation may take in all.

    Raises:
        InvalidDocumentError: A setting is wrong; the pointer names its variable.
        MissingExtraError: hvac is not installed.
    """
    check_url(address, pointer="/VAULT_ADDR")
    for name, given in (("VAULT_MOUNT_POINT", mount), ("VAULT_AUTH_MOUNT", auth_mount or "approle")):
        _check_mount(given.strip("/"), pointer=f"/{name}")
    if namespace is not None and not (namespace.isascii() and namespace.isprintable()):
        raise InvalidDocumentError("a namespace is printable ASCII, such as team-a", pointer="/VAULT_NAMESPACE")
    for name, file in (("VAULT_CACERT", ca_cert), ("VAULT_CLIENT_CERT", client_cert), ("VAULT_CLIENT_KEY", client_key)):
        if file is not None and not Path(file).is_file():
            raise InvalidDocumentError("there is no such file", pointer=f"/{name}")
    try:
        import hvac  # noqa: F401, PLC0415  only direct mode needs it
    except ImportError as error:
        raise MissingExtraError("vault", "configuration in Vault") from error
    from configkit.backends.vault.config import VaultConfigStore  # noqa: PLC0415
    from configkit.backends.vault.kv1 import VaultKv1ConfigStore  # noqa: PLC0415
    from configkit.backends.vault.session import Session  # noqa: PLC0415
    from configkit.backends.vault.transport import Address  # noqa: PLC0415

    login = _login(token, role_id, secret_id, k8s_role, k8s_token_file, auth_mount and auth_mount.strip("/"))
    where = Address(address.rstrip("/"), namespace, ca_cert, client_cert, client_key)
    session = Session(where, login, mount=mount.strip("/"), kv_version=kv_version, deadline=deadline)
    store = VaultKv1ConfigStore if kv_version == 1 else VaultConfigStore
    return store(session, environments=environments)


def _login(
    token: str | None, role_id: str | None, secret_id: str | None, k8s_role: str | None, k8s_token_file: str, mount: str | None
) -> Login:
    from configkit.backends.vault.login import AppRoleLogin, GivenToken, KubernetesLogin  # noqa: PLC0415

    if role_id:
        return AppRoleLogin(role_id, secret_id, mount or "approle")
    if k8s_role:
        return KubernetesLogin(k8s_role, mount or "kubernetes", k8s_token_file)
    if token:
        if not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidDocumentError("a token is printable ASCII without spaces", pointer="/VAULT_TOKEN")
        return GivenToken(token)
    raise InvalidDocumentError(
        "Vault wants credentials: set VAULT_ROLE_ID and VAULT_SECRET_ID, or VAULT_K8S_ROLE, or VAULT_TOKEN", pointer="/VAULT_TOKEN"
    )


def _check_mount(given: str, *, pointer: str) -> None:
    if not _MOUNT.fullmatch(given) or ".." in given:
        raise InvalidDocumentError("where an engine is mounted, such as secret or team/kv", pointer=pointer)
