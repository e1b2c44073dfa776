"""
Every error that configkit raises.

    ConfigKitError
    ├── NotFoundError                 nothing there, or the version is gone
    │   └── NoInstanceError           no healthy instance to call
    ├── ConflictError                 a compare-and-set did not match
    │   └── OutcomeUnknownError       it was begun once, and nobody knows what became of it
    ├── InvalidDocumentError          the input is at fault; names the field and the remedy
    ├── ClosedError                   the client was closed
    ├── MissingExtraError             an optional dependency is not installed
    └── BackendError                  a backend is at fault
        ├── UnavailableError          it did not answer in time; trying again may help
        ├── AccessDeniedError         it refused these credentials
        └── MasterKeyError            secrets at rest were written with another key

Missing, unavailable and denied are three different answers everywhere. No message carries a configuration value.
"""

from __future__ import annotations


class ConfigKitError(Exception):
    """Base of every error of configkit."""


class NotFoundError(ConfigKitError):
    """
    There is nothing under that name.

    Attributes:
        deleted: It existed, and its latest version is deleted.
        version: The version that was deleted, where *deleted*.
    """

    def __init__(self, message: str, *, deleted: bool = False, version: int = 0) -> None:
        super().__init__(message)
        self.deleted = deleted
        self.version = version


class NoInstanceError(NotFoundError):
    """No instance of the service is healthy."""


class ConflictError(ConfigKitError):
    """
    A compare-and-set did not match; nothing was written.

    Attributes:
        expected: The version the caller expected; 0 means "absent or deleted".
        actual: The version that is there.
    """

    def __init__(self, message: str, *, expected: int | None, actual: int | None) -> None:
        super().__init__(message)
        self.expected = expected
        self.actual = actual


class OutcomeUnknownError(ConflictError):
    """A request was begun once, and whether it was carried out cannot be known any more: read, and decide anew."""

    def __init__(self, message: str) -> None:
        super().__init__(message, expected=None, actual=None)


class InvalidDocumentError(ConfigKitError):
    """
    The input breaks a rule; nothing was changed.

    Attributes:
        detail: What is wrong and what would be right, without the value.
        pointer: JSON pointer to the offending field, such as ``/rollout_percentage``.
    """

    def __init__(self, detail: str, *, pointer: str = "") -> None:
        super().__init__(f"{pointer.lstrip('/')}: {detail}" if pointer else detail)
        self.detail = detail
        self.pointer = pointer


class ClosedError(ConfigKitError):
    """The client was closed, or is closing."""

    def __init__(self, message: str = "this configkit client is closed; connect() gives a new one") -> None:
        super().__init__(message)


class MissingExtraError(ConfigKitError, ImportError):
    """A feature needs an optional dependency; the message names the extra to install."""

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'configkit[{extra}]'")
        self.extra = extra


class BackendError(ConfigKitError):
    """
    A backend failed.

    Attributes:
        backend: Its short name, such as ``sqlite`` or ``http``.
        operation: What was asked of it, such as ``read``.
    """

    def __init__(self, message: str, *, backend: str, operation: str) -> None:
        super().__init__(f"{backend}: {message}")
        self.backend = backend
        self.operation = operation


class UnavailableError(BackendError):
    """
    The backend did not answer within its deadline; trying again later may help.

    Attributes:
        nothing_changed: It is certain that the call changed nothing. Where it is not, a change may have happened.
    """

    def __init__(self, message: str, *, backend: str, operation: str, nothing_changed: bool = False) -> None:
        super().__init__(message, backend=backend, operation=operation)
        self.nothing_changed = nothing_changed


class AccessDeniedError(BackendError):
    """The backend refused the credentials, or they do not reach this far."""


class MasterKeyError(BackendError):
    """Secrets at rest cannot be decrypted: the master key is another one, or damaged."""
