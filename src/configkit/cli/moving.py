"""What becomes of a deployment in an embedded file when it moves to the direct mode: first compared, then written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from configkit.errors import BackendError, ConflictError, NotFoundError
from configkit.flags.model import CHANGEABLE, Flag
from configkit.flags.references import in_order
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin
from configkit.ports import Backends, Token
from configkit.values import encode

PAGE = 500
MOST_VERSIONS = 90
"""Vault keeps 100 of each key: what is written after the move has room."""

What = Literal["new", "continued", "same", "different"]


@dataclass(frozen=True, slots=True)
class Step:
    """
    One key, flag or token, and what becomes of it.

    Attributes:
        what: ``new``, ``continued`` (an earlier move was interrupted), ``same``, or ``different``: something else is there.
        versions: How many versions of a key are written.
        write: Writes it, as whom; over what is there, if that is different.
    """

    kind: Literal["config", "flag", "token"]
    name: str
    what: What
    versions: int | None
    write: Callable[[Origin], None]


def planned(source: Backends, target: Backends, *, history: bool) -> list[Step]:
    """
    Return what a move from *source* to *target* does, key by key.

    Raises:
        UnavailableError, AccessDeniedError: One of both cannot be read.
    """
    return [*_configuration(source, target, history=history), *_flags(source, target), *_tokens(source, target)]


def carried_out(steps: Sequence[Step], origin: Origin, progressed: Callable[[], None]) -> None:
    """
    Write every step that is not the same already.

    Raises:
        ConflictError: Somebody changed the target meanwhile.
        BackendError: A backend failed. What was written stays; the same command goes on where it ended.
    """
    for count, step in enumerate(steps):
        try:
            step.write(origin)
        except (BackendError, ConflictError) as error:
            error.args = (f"{error}\n{count} of {len(steps)} were moved before; running it again moves the rest",)
            raise
        progressed()


def _configuration(source: Backends, target: Backends, *, history: bool) -> Iterator[Step]:
    for document in documents(source):
        versions = _versions(source, document)[-MOST_VERSIONS:] if history else [document]
        there = _there(target, document.path)
        kept = [version for version in there if not version.deleted]
        what: What = "new" if not there else "different"
        if there and not there[-1].deleted:
            if _alike(there[-1], document):
                what = "same"
            elif len(kept) < len(versions) and all(map(_alike, kept, versions)):
                what = "continued"
        todo = versions[len(kept) :] if what == "continued" else [document] if what == "different" else versions
        latest = there[-1] if there else None
        yield Step("config", str(document.path), what, len(todo), _writing(target, document, todo, latest))


def documents(backends: Backends) -> Iterator[ConfigVersion]:
    """Return the latest version of every live key."""
    offset = 0
    while True:
        page = backends.config.list(ConfigSelector(), limit=PAGE, offset=offset)
        yield from page.items
        offset += PAGE
        if offset >= page.total:
            return


def _versions(backends: Backends, document: ConfigVersion) -> list[ConfigVersion]:
    """Return the versions that still have a value, oldest first."""
    return [version for version in _history(backends, document.path) if not version.deleted]


def _there(backends: Backends, path: ConfigPath) -> list[ConfigVersion]:
    try:
        return _history(backends, path)
    except NotFoundError:
        return []


def _history(backends: Backends, path: ConfigPath) -> list[ConfigVersion]:
    found: list[ConfigVersion] = []
    while True:
        page = backends.config.history(path, limit=PAGE, offset=len(found))
        found.extend(page.items)
        if len(found) >= page.total or not page.items:
            return found[::-1]


def _alike(there: ConfigVersion, here: ConfigVersion) -> bool:
    """Whether both hold the same value; a mark of the target alone is no difference, as a secret stays one."""
    marked = there.is_encrypted or not here.is_encrypted
    return not there.deleted and marked and encode(there.value) == encode(here.value)


def _writing(
    target: Backends, document: ConfigVersion, versions: Sequence[ConfigVersion], latest: ConfigVersion | None
) -> Callable[[Origin], None]:
    def write(origin: Origin) -> None:
        number = latest.version if latest is not None else None
        is_there = latest is not None and not latest.deleted
        for version in versions:
            # What was secret once is hidden in every version, so each is written as a secret but for the last one's own mark.
            secret = version.is_encrypted or (document.ever_secret and version is not versions[-1])
            author = Origin(version.changed_by or origin.changed_by, origin.source)
            if is_there:
                written = target.config.update(
                    document.path,
                    version.value,
                    origin=author,
                    is_encrypted=secret,
                    expected_version=number,
                    comment=version.comment,
                    adopt=True,
                )
            else:
                written = target.config.create(
                    document.path, version.value, is_encrypted=secret, origin=author, comment=version.comment
                )
            number, is_there = written.version, True

    return write


def _flags(source: Backends, target: Backends) -> Iterator[Step]:
    there = {(flag.environment, flag.name): flag for flag in _all_flags(target)}
    for flag in in_order(_all_flags(source)):
        present = there.get((flag.environment, flag.name))
        same = present is not None and all(getattr(present, field) == getattr(flag, field) for field in CHANGEABLE)
        what: What = "new" if present is None else "same" if same else "different"
        yield Step("flag", f"{flag.environment}/{flag.name}", what, None, _writing_flag(target, flag, present))


def _all_flags(backends: Backends) -> Iterator[Flag]:
    offset = 0
    while True:
        page = backends.flags.list(limit=PAGE, offset=offset)
        yield from page.items
        offset += PAGE
        if offset >= page.total:
            return


def _writing_flag(target: Backends, flag: Flag, present: Flag | None) -> Callable[[Origin], None]:
    def write(origin: Origin) -> None:
        if present is None:
            target.flags.create(flag, origin=origin)
        else:
            changes = {field: getattr(flag, field) for field in CHANGEABLE}
            target.flags.update(flag.environment, flag.name, changes, origin=origin, expected_version=present.version)

    return write


def _tokens(source: Backends, target: Backends) -> Iterator[Step]:
    if source.tokens is None or target.tokens is None:
        return
    there = {token.name: token for token in target.tokens.all()}
    for token in source.tokens.all():
        present = there.get(token.name)
        what: What = "new" if present is None else "same" if _rights(present) == _rights(token) else "different"
        yield Step("token", token.name, what, None, _writing_token(target, token, present))


def _rights(token: Token) -> tuple[object, ...]:
    return (token.digest, token.scopes, token.environments, token.services)


def _writing_token(target: Backends, token: Token, present: Token | None) -> Callable[[Origin], None]:
    def write(origin: Origin) -> None:
        assert target.tokens is not None  # noqa: S101  it was read before
        if present is not None:
            target.tokens.revoke(token.name, origin=origin)
        target.tokens.create(token, origin=origin)

    return write
