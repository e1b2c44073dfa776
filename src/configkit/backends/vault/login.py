"""Ways to get a token: one that is given, AppRole, and a Kubernetes service account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hvac.api.auth_methods import AppRole, Kubernetes, Token

from configkit.backends.vault.answers import AbsentError, BadRequestError, denied, documented, payload, unavailable
from configkit.backends.vault.transport import Call, Transport
from configkit.errors import AccessDeniedError


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A token, and how long it lasts.

    Attributes:
        seconds: From now until it ends; 0: never.
    """

    token: str = field(repr=False)
    seconds: float
    renewable: bool


class Login(Protocol):
    """A way to get a token."""

    @property
    def repeatable(self) -> bool:
        """Whether logging in again gives another token."""

    def obtain(self, transport: Transport, call: Call) -> Grant:
        """Return a token. Raises `AccessDeniedError` where Vault does not accept the credentials, or `UnavailableError`."""


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token that somebody else obtained."""

    token: str = field(repr=False)
    repeatable: bool = False

    def obtain(self, transport: Transport, call: Call) -> Grant:
        """Return the token; how long it lasts is looked up by `looked_up`."""
        del transport, call
        return Grant(self.token, 0.0, renewable=False)


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """Login with a role id and, unless the role needs none, a secret id."""

    role_id: str
    secret_id: str | None = field(repr=False)
    mount: str
    repeatable: bool = True

    def obtain(self, transport: Transport, call: Call) -> Grant:
        """Log in."""
        remedy = "check VAULT_ROLE_ID and VAULT_SECRET_ID (it may have expired, or been used up)"
        return _logged_in(
            transport,
            call,
            lambda adapter: AppRole(adapter).login(self.role_id, self.secret_id, use_token=False, mount_point=self.mount),
            remedy,
        )


@dataclass(frozen=True, slots=True)
class KubernetesLogin:
    """Login with the service account of the pod, whose token is read from its file each time, since it is replaced there."""

    role: str
    mount: str
    token_file: str
    repeatable: bool = True

    def obtain(self, transport: Transport, call: Call) -> Grant:
        """Log in."""
        try:
            jwt = Path(self.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise denied(call.operation, f"the service account's token cannot be read from {self.token_file}") from error
        return _logged_in(
            transport,
            call,
            lambda adapter: Kubernetes(adapter).login(self.role, jwt, use_token=False, mount_point=self.mount),
            f"check VAULT_K8S_ROLE and that the role is bound to this service account (token from {self.token_file})",
        )


def looked_up(transport: Transport, call: Call, token: str) -> Grant:
    """Return how long *token* still lasts. Raises `AccessDeniedError` where it is no token of Vault's (any more)."""
    answer = transport.ask(call, token, lambda adapter: Token(adapter).lookup_self())  # type: ignore[no-untyped-call]
    with documented(call.operation):
        data = payload(call.operation, answer)["data"]
        return Grant(token, float(data["ttl"]), bool(data.get("renewable")))


def renewed(transport: Transport, call: Call, token: str) -> Grant:
    """Ask for a longer life of *token* and return what it is now."""
    answer = transport.ask(call, token, lambda adapter: Token(adapter).renew_self())  # type: ignore[no-untyped-call]
    return _grant(call, answer)


def revoke(transport: Transport, call: Call, token: str) -> None:
    """End *token*."""
    transport.ask(call, token, lambda adapter: Token(adapter).revoke_self())  # type: ignore[no-untyped-call]


def _logged_in(transport: Transport, call: Call, request: Any, remedy: str) -> Grant:
    try:
        return _grant(call, transport.ask(call, None, request))
    except AbsentError:
        raise denied(call.operation, "nothing to log in at: is this login method enabled, and VAULT_AUTH_MOUNT right?") from None
    except (AccessDeniedError, BadRequestError) as error:
        raise denied(call.operation, f"the login was refused; {remedy}") from error


def _grant(call: Call, answer: Any) -> Grant:
    with documented(call.operation):
        auth: Mapping[str, Any] = payload(call.operation, answer)["auth"]
        token = auth["client_token"]
        if not isinstance(token, str) or not token:
            raise unavailable(call.operation, "the login gave no token")
        return Grant(token, float(auth["lease_duration"]), bool(auth["renewable"]))
