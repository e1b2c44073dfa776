"""``configkit config``: reading and writing configuration."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from configkit.cli.asking import given_value
from configkit.cli.commands import command, group
from configkit.cli.exits import DENIED
from configkit.cli.opening import Session, record_reads
from configkit.cli.output import in_table, shown, timestamp
from configkit.client import ConfigKit
from configkit.errors import AccessDeniedError, ConflictError, NotFoundError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Page
from configkit.names import SHARED
from configkit.values import JsonValue

app = group("config", "Configuration and secrets: read, write, go back, import and export.")

PAGE = 500
ATTEMPTS = 5

Key = Annotated[str, typer.Argument(metavar="KEY", help="The key.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show secrets in the clear.")]
Expected = Annotated[
    int | None, typer.Option("--expected-version", min=0, help="Only if this is the version that is there; 0: only if none is.")
]
Comment = Annotated[str | None, typer.Option("--comment", help="Why, for the history.")]


def is_secret(document: ConfigVersion) -> bool:
    """Return whether *document* is hidden unless asked for: once a version of a key was secret, all of them are."""
    return document.is_encrypted or document.ever_secret or document.masked


def wire(document: ConfigVersion, *, reveal: bool) -> dict[str, Any]:
    """Return *document* as the REST API shows it, secrets masked unless *reveal*."""
    hidden = document.masked or (is_secret(document) and not reveal)
    return {
        "key": document.path.key,
        "value": None if hidden else document.value,
        "environment": document.path.environment,
        "service_name": document.path.service_name,
        "is_encrypted": document.is_encrypted,
        "masked": hidden,
        "version": document.version,
        "created_at": timestamp(document.created_at),
        "updated_at": timestamp(document.updated_at),
        "changed_by": document.changed_by,
        "comment": document.comment,
    }


@command(app, "get")
def get(
    session: Session,
    key: Key,
    version: Annotated[int | None, typer.Option("--version", min=1, help="An older version.")] = None,
    reveal: Reveal = False,  # noqa: FBT002
    resolve: Annotated[bool, typer.Option("--resolve", help="Where the service has none, the value that all share.")] = False,  # noqa: FBT002
) -> None:
    """
    Print the value of KEY: text as it is, anything else as JSON.

    A secret is printed only where --reveal asks for it: without it the exit code is 5, and with --json the value is null.
    """
    with session.kit() as kit:
        document = _read(kit, session.path(key), version, resolve=resolve)
        if reveal:
            _may_show(kit, [document])
    if session.out.machine:
        session.out.data(wire(document, reveal=reveal))
        return
    if is_secret(document) and not reveal:
        # A mask on the standard output would be taken for the value.
        session.out.note(f"{document.path} is a secret: --reveal shows it")
        raise typer.Exit(DENIED)
    session.out.line(shown(document.value, hidden=False))


@command(app, "set")
def set_(
    session: Session,
    key: Key,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The value; - reads it from the standard input.", show_default=False)
    ] = None,
    secret: Annotated[
        bool | None, typer.Option("--secret/--no-secret", help="Encrypted and hidden, or not; otherwise as it was.")
    ] = None,
    json_value: Annotated[bool, typer.Option("--json-value", help="VALUE is JSON, not text.")] = False,  # noqa: FBT002
    prompt: Annotated[bool, typer.Option("--prompt", help="Ask for the value without showing it.")] = False,  # noqa: FBT002
    expected_version: Expected = None,
    comment: Comment = None,
) -> None:
    """
    Create KEY or write its next version, and print that version.

    Give a secret through --prompt or the standard input: a command line is seen by other users and kept by the shell.
    """
    content = given_value(value, prompt=prompt, as_json=json_value)
    path = session.path(key)
    with session.kit() as kit:
        document, created = write(kit, path, content, secret=secret, expected_version=expected_version, comment=comment)
    if value not in (None, "-") and is_secret(document):
        session.out.note("a secret on a command line is seen by other users and kept by the shell: rather use --prompt or -")
    done = "created" if created else "written"
    session.out.done(f"{path}: version {document.version} {done}", wire(document, reveal=False))


@command(app, "list")
def list_(
    session: Session,
    reveal: Reveal = False,  # noqa: FBT002
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many; otherwise all.")] = None,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Leave out the first ones.")] = 0,
) -> None:
    """List the keys of the environment, or of one service of it."""
    services = None if session.optional_service is None else frozenset({session.optional_service})
    selector = ConfigSelector(frozenset({session.environment}), services)
    with session.kit() as kit:
        page = listed(kit, selector, limit=limit, offset=offset)
        if reveal:
            _may_show(kit, [document for document in page if not document.masked])
    if session.out.machine:
        items = [wire(document, reveal=reveal) for document in page]
        session.out.data({"items": items, "total": page.total, "limit": limit, "offset": offset})
        return
    rows = [_row(document, reveal=reveal) for document in page]
    session.out.table(("service", "key", "value", "version", "secret", "updated", "by"), rows, empty="no keys")
    if len(page) < page.total:
        session.out.note(f"{len(page)} of {page.total}")


@command(app, "history")
def history(
    session: Session,
    key: Key,
    reveal: Reveal = False,  # noqa: FBT002
    limit: Annotated[int, typer.Option("--limit", min=1, max=PAGE, help="At most so many versions.")] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Leave out the newest ones.")] = 0,
) -> None:
    """List the versions of KEY, newest first."""
    path = session.path(key)
    with session.kit() as kit:
        page = kit.documents.history(path, limit=limit, offset=offset)
        if reveal:
            _may_show(kit, [version for version in page if not version.masked])
    if session.out.machine:
        items = [wire(version, reveal=reveal) | {"deleted": version.deleted} for version in page]
        session.out.data({"items": items, "total": page.total, "limit": limit, "offset": offset})
        return
    rows = [
        (v.version, "(deleted)" if v.deleted else _value(v, reveal=reveal), is_secret(v), v.updated_at, v.changed_by, v.comment)
        for v in page
    ]
    session.out.table(("version", "value", "secret", "written", "by", "comment"), rows, empty="no versions")


@command(app, "rollback")
def rollback(
    session: Session,
    key: Key,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version to go back to.")],
    comment: Comment = None,
) -> None:
    """Write the value of an older VERSION of KEY as its next version; it may revive a deleted key."""
    path = session.path(key)
    with session.kit() as kit:
        document = kit.documents.rollback(path, version, origin=kit.origin, comment=comment)
    session.out.done(f"{path}: version {document.version} written, as version {version} was", wire(document, reveal=False))


@command(app, "delete")
def delete(session: Session, key: Key, expected_version: Expected = None) -> None:
    """
    Delete KEY.

    The value of the version that is deleted can neither be read nor rolled back to any more. Rollback to an earlier version
    brings the key back, as the next version.
    """
    path = session.path(key)
    with session.kit() as kit:
        version = kit.documents.delete(path, origin=kit.origin, expected_version=expected_version)
    document = {"environment": path.environment, "service_name": path.service_name, "key": key, "version": version}
    session.out.done(f"{path}: version {version} deleted", document | {"deleted": True})


def write(
    kit: ConfigKit,
    path: ConfigPath,
    value: JsonValue,
    *,
    secret: bool | None,
    expected_version: int | None = None,
    comment: str | None = None,
) -> tuple[ConfigVersion, bool]:
    """
    Write the next version of *path*, or its first one; return it and whether it was the first.

    Args:
        secret: The mark; None keeps the present one.
        expected_version: 0: only create. Otherwise only update that version. None: whichever it takes.
    """
    if expected_version is None:
        return _write_anyhow(kit, path, value, secret=secret, comment=comment)
    if expected_version == 0:
        return kit.documents.create(path, value, is_encrypted=bool(secret), origin=kit.origin, comment=comment), True
    document = kit.documents.update(
        path, value, origin=kit.origin, is_encrypted=secret, expected_version=expected_version, comment=comment
    )
    return document, False


def _write_anyhow(
    kit: ConfigKit, path: ConfigPath, value: JsonValue, *, secret: bool | None, comment: str | None
) -> tuple[ConfigVersion, bool]:
    for attempt in range(ATTEMPTS):
        try:
            return kit.documents.update(path, value, origin=kit.origin, is_encrypted=secret, comment=comment), False
        except NotFoundError:
            try:
                return kit.documents.create(path, value, is_encrypted=bool(secret), origin=kit.origin, comment=comment), True
            except ConflictError:
                # Somebody else created it in between; it can be updated now.
                if attempt == ATTEMPTS - 1:
                    raise
    raise AssertionError  # pragma: no cover


def listed(kit: ConfigKit, selector: ConfigSelector, *, limit: int | None, offset: int = 0) -> Page[ConfigVersion]:
    """Return what *selector* selects, all of it unless *limit* says otherwise."""
    items: list[ConfigVersion] = []
    while True:
        wanted = PAGE if limit is None else min(PAGE, limit - len(items))
        page = kit.documents.list(selector, limit=wanted, offset=offset + len(items))
        items += page.items
        if not page.items or len(items) == limit or offset + len(items) >= page.total:
            return Page(tuple(items), page.total, len(items) if limit is None else limit, offset)


def _read(kit: ConfigKit, path: ConfigPath, version: int | None, *, resolve: bool) -> ConfigVersion:
    try:
        return kit.documents.read(path, version)
    except NotFoundError:
        if not resolve or version is not None or path.service_name == SHARED:
            raise
        return kit.documents.read(ConfigPath(path.environment, SHARED, path.key))


def _may_show(kit: ConfigKit, documents: list[ConfigVersion]) -> None:
    """Journal the secrets that are about to be shown. Raises `AccessDeniedError` where one was withheld."""
    if withheld := next((document for document in documents if document.masked), None):
        raise AccessDeniedError(
            f"these credentials may not read the secret {withheld.path}; a token with the scope secrets:read may",
            backend=kit.backends.mode,
            operation="read",
        )
    record_reads(kit, sorted({document.path for document in documents if is_secret(document)}))


def _value(document: ConfigVersion, *, reveal: bool) -> str:
    return in_table(document.value, hidden=document.masked or (is_secret(document) and not reveal))


def _row(document: ConfigVersion, *, reveal: bool) -> tuple[object, ...]:
    path = document.path
    value = _value(document, reveal=reveal)
    return (path.service_name, path.key, value, document.version, is_secret(document), document.updated_at, document.changed_by)
