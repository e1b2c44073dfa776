"""Configuration with versions, in Vault's KV engine version 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from configkit.backends.vault.answers import MismatchError, moment
from configkit.backends.vault.engine import MAX_VERSIONS, Engine, Secret
from configkit.backends.vault.listing import Listing
from configkit.backends.vault.session import Session
from configkit.backends.vault.shape import Content, Draft, content
from configkit.backends.vault.transport import Call
from configkit.errors import ConflictError, NotFoundError, UnavailableError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.names import check_text
from configkit.values import JsonValue

EVER_SECRET = "configkit_ever_secret"  # noqa: S105  # the name of a mark
CREATED_AT = "configkit_created_at"
"""Names in a key's custom metadata, which every read shows."""

_CLAIM_STANDS = timedelta(seconds=60)


class VaultConfigStore:
    """
    A `ConfigStore` in a KV engine of version 2, which neither journals nor announces its changes.

    Every write is a compare-and-set on the version read before it. A delete has none in Vault, so it is claimed by one
    first: the claims lie beside a service's keys, in the folder `.deletions`.
    """

    def __init__(self, session: Session, *, environments: frozenset[str] | None = None) -> None:
        self._session = self.session = session
        self._engine = Engine(session)
        self._listing = Listing(session, self._engine, self._live_or_none, environments=environments)
        self.ping = session.ping
        self.close = session.close

    def __repr__(self) -> str:
        return f"<VaultConfigStore {self._session!r}>"

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._session.after_fork()
        self._listing.forget()

    # -- reads ---------------------------------------------------------------------------------------------------------

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """Return *version*, or the latest. Raises `NotFoundError`."""
        call = self._session.call("read")
        latest = self._latest(call, path)
        found = latest if version is None else self._version(call, path, version, latest)
        if found is None or found.content is None:
            raise _missing(path, latest, version)
        return self._shown(call, path, found, ever_secret=is_secret(latest))

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service."""
        return self._listing.service(self._session.call("read"), environment, service_name)

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key)."""
        return self._listing.page(self._session.call("list"), selector, limit=limit, offset=offset)

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions, newest first. Raises `NotFoundError` if there never was one."""
        call = self._session.call("history")
        metadata = self._engine.metadata(call, str(path))
        if metadata is None or not metadata.versions:
            raise _missing(path, None, None)
        newest_first = sorted(metadata.versions, reverse=True)
        page = newest_first[offset : offset + limit]
        # The latest tells whether the key is secret now, on whatever page it is.
        wanted = [number for number in {*page, newest_first[0]} if not metadata.versions[number][1]]
        read = dict(zip(wanted, self._session.of_each(call, wanted, lambda n: self._engine.read(call, str(path), n)), strict=True))
        ever_secret = EVER_SECRET in metadata.custom or any(is_secret(secret) for secret in read.values())
        first = metadata.versions.get(1)
        created_at = first[0] if first else None
        shown = []
        for number in page:
            secret = read.get(number) or Secret(number, metadata.versions[number][0], None, metadata.custom)
            created_at = created_at or _created_at(secret) or metadata.created_at
            shown.append(_document(path, secret, created_at, ever_secret=ever_secret))
        return Page(tuple(shown), len(newest_first), limit, offset)

    # -- writes --------------------------------------------------------------------------------------------------------

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version, or the next one after a tombstone. Raises `ConflictError` if the key is there."""
        draft = Draft.of(value, is_encrypted=is_encrypted, changed_by=origin.changed_by, comment=comment)
        call = self._session.call("create")
        while True:
            latest = self._latest(call, path)
            if latest is not None and latest.content is not None:
                raise ConflictError(f"{path} exists; update it instead", expected=0, actual=latest.version)
            if written := self._write(call, path, draft, latest):
                return written

    def update(
        self,
        path: ConfigPath,
        value: JsonValue,
        *,
        origin: Origin,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
        adopt: bool = False,
    ) -> ConfigVersion:
        """Write the next version of a key that is there. Raises `NotFoundError` or `ConflictError`."""
        draft = Draft.of(value, is_encrypted=True, changed_by=origin.changed_by, comment=comment)
        call = self._session.call("update")
        while True:
            latest, present = self._live(call, path, expected_version)
            if present.is_foreign and not adopt:
                raise _foreign(path, latest, expected_version)
            mark = present.is_encrypted if is_encrypted is None else is_encrypted
            if written := self._write(call, path, replace(draft, is_encrypted=mark), latest):
                return written

    def delete(
        self,
        path: ConfigPath,
        *,
        origin: Origin,  # noqa: ARG002  # a deleted version shows no author; the journal does
        expected_version: int | None = None,
    ) -> int:
        """Soft-delete the latest version and return its number. Raises `NotFoundError` or `ConflictError`."""
        call = self._session.call("delete")
        while True:
            latest, _ = self._live(call, path, expected_version)
            if is_secret(latest) and EVER_SECRET not in latest.custom:
                self._engine.note(call, str(path), {EVER_SECRET: "true"})
            won = self._claim(call, path, latest)
            if won is None:
                continue
            self._engine.delete(call, str(path), latest.version)
            self._listing.gone(path)
            if not won:
                raise _missing(path, replace(latest, content=None), None)
            return latest.version

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value and the secret mark of *version* as a new version. Raises `NotFoundError`."""
        if comment is not None:
            check_text(comment, limit=1024, pointer="/comment")
        call = self._session.call("rollback")
        while True:
            latest = self._latest(call, path)
            source = self._version(call, path, version, latest)
            if latest is None or source is None or source.content is None:
                raise _missing(path, latest, version)
            if latest.content is not None and latest.content.is_foreign:
                raise _foreign(path, latest, None)
            old = source.content
            draft = Draft.of(old.value, is_encrypted=old.is_encrypted, changed_by=origin.changed_by, comment=comment)
            if written := self._write(call, path, draft, latest):
                return written

    def _write(self, call: Call, path: ConfigPath, draft: Draft, latest: Secret | None) -> ConfigVersion | None:
        """Write the version after *latest*; None: somebody else did."""
        custom = self._prepare(call, path, latest, is_encrypted=draft.is_encrypted)
        kept = draft.fields()
        try:
            number, at = self._engine.write(call, str(path), kept, cas=latest.version if latest else 0)
        except MismatchError:
            return None
        self._listing.seen(path)
        try:
            return self._shown(call, path, Secret(number, at, content(kept), custom))
        except UnavailableError as error:
            error.nothing_changed = False
            raise

    def _prepare(self, call: Call, path: ConfigPath, latest: Secret | None, *, is_encrypted: bool) -> Mapping[str, str]:
        """
        Bring the key's metadata up to what is about to be written, and return its custom part.

        It comes first: a lasting mark without its secret does no harm, a secret without the lasting mark would.
        """
        if latest is None:
            marked = {EVER_SECRET: "true"} if is_encrypted else {}
            self._engine.begin(call, str(path), marked)
            return marked
        noted: dict[str, str] = {}
        max_versions = None
        if CREATED_AT not in latest.custom:
            created_at, kept = self._beginning(call, path, latest)
            noted[CREATED_AT] = created_at.isoformat()
            max_versions = kept or MAX_VERSIONS
        if EVER_SECRET not in latest.custom and (is_encrypted or is_secret(latest)):
            noted[EVER_SECRET] = "true"
        if noted:
            self._engine.note(call, str(path), noted, max_versions=max_versions)
        return {**latest.custom, **noted}

    def _claim(self, call: Call, path: ConfigPath, latest: Secret) -> bool | None:
        """
        Say of one version that it is deleted, by compare-and-set: who says so first has deleted it.

        Returns False where somebody else has; what they may have died before doing, whoever finds the claim does too. An
        old claim is void: that version was undeleted since. None: the claim was overtaken, look again.
        """
        mine = {"version": str(latest.version), "created_time": latest.at.isoformat()}
        place = f"{path.environment}/{path.service_name}/.deletions/{path.key}"
        found = self._engine.read(call, place)
        said = found.content.value if found is not None and found.content is not None else None
        if found is not None and said == mine and abs(datetime.now(UTC) - found.at) < _CLAIM_STANDS:
            return False
        try:
            self._engine.write(call, place, dict(mine), cas=found.version if found else 0)
        except MismatchError:
            return None
        return True

    # -- what is there -------------------------------------------------------------------------------------------------

    def _latest(self, call: Call, path: ConfigPath) -> Secret | None:
        return self._engine.read(call, str(path))

    def _version(self, call: Call, path: ConfigPath, version: int, latest: Secret | None) -> Secret | None:
        if latest is None or not 1 <= version <= latest.version:
            return None
        return latest if version == latest.version else self._engine.read(call, str(path), version)

    def _live(self, call: Call, path: ConfigPath, expected_version: int | None) -> tuple[Secret, Content]:
        latest = self._latest(call, path)
        if latest is None or latest.content is None:
            raise _missing(path, latest, None)
        if expected_version is not None and latest.version != expected_version:
            raise ConflictError(f"{path} is at version {latest.version}", expected=expected_version, actual=latest.version)
        return latest, latest.content

    def _live_or_none(self, call: Call, path: ConfigPath) -> ConfigVersion | None:
        latest = self._latest(call, path)
        return None if latest is None or latest.content is None else self._shown(call, path, latest)

    def _shown(self, call: Call, path: ConfigPath, secret: Secret, *, ever_secret: bool = False) -> ConfigVersion:
        created_at = _created_at(secret) or self._beginning(call, path, secret)[0]
        return _document(path, secret, created_at, ever_secret=ever_secret or is_secret(secret))

    def _beginning(self, call: Call, path: ConfigPath, secret: Secret) -> tuple[datetime, int]:
        """Return when the key got its first version, and how many versions are kept (0: the mount says)."""
        metadata = self._engine.metadata(call, str(path))
        if metadata is None:
            return secret.at, 0
        first = metadata.versions.get(1)
        return (first[0] if first else metadata.created_at), metadata.max_versions


def is_secret(secret: Secret | None) -> bool:
    """Whether this version is secret, or any version of its key was."""
    return secret is not None and (EVER_SECRET in secret.custom or (secret.content is not None and secret.content.is_encrypted))


def _created_at(secret: Secret) -> datetime | None:
    """Return when the key got its first version, as far as one of its versions tells."""
    if secret.version == 1:
        return secret.at
    noted = secret.custom.get(CREATED_AT)
    try:
        return moment(noted) if noted else None
    except ValueError:
        return None


def _document(path: ConfigPath, secret: Secret, created_at: datetime, *, ever_secret: bool) -> ConfigVersion:
    found = secret.content
    return ConfigVersion(
        path=path,
        version=secret.version,
        value=None if found is None else found.value,
        is_encrypted=ever_secret if found is None else found.is_encrypted,
        ever_secret=ever_secret,
        created_at=created_at,
        updated_at=secret.at,
        changed_by=None if found is None else found.changed_by,
        comment=None if found is None else found.comment,
        deleted=found is None,
    )


def _missing(path: ConfigPath, latest: Secret | None, version: int | None) -> NotFoundError:
    if latest is None:
        return NotFoundError(f"{path} does not exist")
    deleted = latest.content is None
    what = f"{path} was deleted" if version is None else f"{path} has no version {version} (any more)"
    return NotFoundError(what, deleted=deleted, version=latest.version if deleted else 0)


def _foreign(path: ConfigPath, latest: Secret, expected_version: int | None) -> ConflictError:
    return ConflictError(
        f"{path} holds fields that another program wrote; adopt it to replace them",
        expected=expected_version,
        actual=latest.version,
    )
