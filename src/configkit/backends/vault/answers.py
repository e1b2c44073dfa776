"""What Vault's answers mean: hvac's and requests' exceptions as configkit's, and the two that callers decide about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import requests
from hvac import exceptions as vault
from urllib3.exceptions import NewConnectionError

from configkit.errors import AccessDeniedError, ConfigKitError, InvalidDocumentError, UnavailableError

BACKEND = "vault"

_MISMATCH = "did not match the current version"
_SEALED = "is sealed"
_TOO_LARGE = ("too large", "exceeds max", "exceeded max")
_SHOWN = 200
_UNINITIALISED_REMEDY = "it is not initialised; run `vault operator init`"
_SEALED_REMEDY = "it is sealed; unseal it with `vault operator unseal`"


class AbsentError(Exception):
    """
    There is nothing there.

    Attributes:
        body: The answer's `data`, where Vault tells of a deleted version.
    """

    def __init__(self, body: Mapping[str, Any] | None) -> None:
        super().__init__("nothing there")
        self.body = body


class MismatchError(Exception):
    """The compare-and-set parameter is not the current version; nothing was written."""


class BadRequestError(UnavailableError):
    """Vault calls the request wrong."""


def unavailable(operation: str, message: str, *, nothing_changed: bool = False) -> UnavailableError:
    """Return the error of a Vault that cannot be used now."""
    return UnavailableError(message, backend=BACKEND, operation=operation, nothing_changed=nothing_changed)


def denied(operation: str, message: str) -> AccessDeniedError:
    """Return the error of refused credentials."""
    return AccessDeniedError(message, backend=BACKEND, operation=operation)


@contextmanager
def translated(operation: str, address: str) -> Iterator[None]:
    """Turn what hvac and requests raise into `AbsentError`, `MismatchError`, or an error of configkit."""
    try:
        yield
    except vault.InvalidPath as error:
        if _is_absence(error):
            raise AbsentError(_body(error)) from None
        raise unavailable(operation, f"{_said(error)}; is VAULT_MOUNT_POINT right?", nothing_changed=True) from error
    except vault.InvalidRequest as error:
        if _MISMATCH in _said(error):
            raise MismatchError from None
        message = f"the request was refused: {_said(error)}"
        raise BadRequestError(message, backend=BACKEND, operation=operation, nothing_changed=True) from error
    except vault.VaultError as error:
        raise _of_status(operation, error) from error
    except requests.RequestException as error:
        message = f"no answer from {address}: {_reason(error)}"
        raise unavailable(operation, message, nothing_changed=_was_not_sent(error)) from error


@contextmanager
def documented(operation: str) -> Iterator[None]:
    """Turn an answer that is not shaped as Vault's into `UnavailableError`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ConfigKitError):
            raise
        raise unavailable(operation, "the answer is not Vault's; does VAULT_ADDR lead to Vault itself?") from error


def payload(operation: str, answer: Any) -> Mapping[str, Any]:
    """Return the JSON object of a 200; anything else is not what was asked for."""
    if isinstance(answer, dict):
        return answer
    status = getattr(answer, "status_code", None)
    if isinstance(status, int) and 300 <= status < 400:
        raise unavailable(operation, f"redirects are not followed ({status}); set VAULT_ADDR to the active node's address")
    raise unavailable(operation, "the answer is not Vault's; does VAULT_ADDR lead to Vault itself?")


def moment(text: str) -> datetime:
    """Return a time of Vault's, RFC 3339 with nanoseconds, to the microsecond."""
    whole, _, rest = text.partition(".")
    if not rest:
        return datetime.fromisoformat(text).astimezone(UTC)
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return datetime.fromisoformat(f"{whole}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}").astimezone(UTC)


def health(status: int) -> str | None:
    """Return what is wrong with a Vault whose `sys/health` answers *status*; None: nothing."""
    return {
        200: None,
        429: "it is a standby node; set VAULT_ADDR to the active node, or to the load balancer before it",
        472: "it is a disaster recovery secondary, which answers nobody",
        473: "it is a performance standby node; set VAULT_ADDR to the active node",
        474: "it is a standby node whose active node is gone",
        501: _UNINITIALISED_REMEDY,
        503: _SEALED_REMEDY,
        530: "it was removed from its cluster",
    }.get(status, f"its health check answers {status}")


def _of_status(operation: str, error: vault.VaultError) -> ConfigKitError:
    said = _said(error)
    if isinstance(error, vault.Forbidden | vault.Unauthorized):
        return denied(
            operation, "permission denied; the token's policy must allow this path (docs/VAULT_INTEGRATION.md lists them)"
        )
    if any(sign in said for sign in _TOO_LARGE):
        return InvalidDocumentError("larger than what Vault's storage takes", pointer="/value")
    if isinstance(error, vault.VaultDown):
        sealed = _SEALED in said
        return unavailable(operation, _SEALED_REMEDY if sealed else f"it cannot answer now: {said}", nothing_changed=sealed)
    if isinstance(error, vault.VaultNotInitialized):
        return unavailable(operation, _UNINITIALISED_REMEDY, nothing_changed=True)
    if isinstance(error, vault.RateLimitExceeded):
        return unavailable(operation, "it is a standby node, or a rate limit quota is exceeded", nothing_changed=True)
    return unavailable(operation, f"it failed: {said}")


def _is_absence(error: vault.VaultError) -> bool:
    """Only Vault's own empty answer says that nothing is there: a proxy's 404 and a mount that is missing do not."""
    return isinstance(error.json, dict) and not error.errors and not error.json.get("warnings")


def _body(error: vault.VaultError) -> Mapping[str, Any] | None:
    body = error.json.get("data") if isinstance(error.json, dict) else None
    return body if isinstance(body, dict) else None


def _said(error: vault.VaultError) -> str:
    """Return Vault's own words, which name paths and reasons; what a proxy says in its place is not repeated."""
    if isinstance(error.errors, list) and error.errors:
        return " ".join(" ".join(str(line) for line in error.errors).split())[:_SHOWN]
    return type(error).__name__


def _was_not_sent(error: requests.RequestException) -> bool:
    """Whether there was no connection yet."""
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or isinstance(getattr(cause, "reason", None), NewConnectionError)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS handshake failed; VAULT_CACERT names the authority that signed its certificate"
    if isinstance(error, requests.Timeout):
        return "timed out"
    return "the connection failed" if isinstance(error, requests.ConnectionError) else type(error).__name__
