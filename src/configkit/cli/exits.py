"""What the command's exit codes mean, and which error becomes which."""

from __future__ import annotations

from configkit.errors import AccessDeniedError, ConfigKitError, ConflictError, InvalidDocumentError, NotFoundError

OK, FAILED, INVALID, NOT_FOUND, CONFLICT, DENIED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
BROKEN_PIPE = 141

KINDS: tuple[tuple[type[ConfigKitError], int, str], ...] = (
    (NotFoundError, NOT_FOUND, "not_found"),
    (ConflictError, CONFLICT, "conflict"),
    (InvalidDocumentError, INVALID, "invalid"),
    (AccessDeniedError, DENIED, "denied"),
    (ConfigKitError, FAILED, "failed"),
)

EPILOG = (
    "Exit codes: 0 done, 1 a backend failed or cannot be reached, 2 wrong usage or invalid input, 3 not found, "
    "4 conflict, 5 denied, 130 interrupted."
)


def classify(error: ConfigKitError) -> tuple[int, str]:
    """Return the exit code of *error*, and the word that names its kind for machines."""
    return next((code, word) for kind, code, word in KINDS if isinstance(error, kind))
