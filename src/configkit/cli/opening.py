"""From the options of a command to a client."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

from configkit.cli.output import Output
from configkit.client import ConfigKit
from configkit.errors import InvalidDocumentError
from configkit.models import ConfigPath, Origin
from configkit.names import check_environment, check_service_name
from configkit.settings import Settings
from configkit.wiring import open_kit, read_settings, with_settings

AT_HOME = "run this where the server's database is, without --url and CONFIGKIT_URL"


@dataclass(frozen=True, slots=True)
class Where:
    """Which deployment, and where in it: what every command may be told. None: what the environment says."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    mode: str | None = None
    environment: str | None = None
    service: str | None = None
    json: bool = False

    def over(self, outer: Where) -> Where:
        """Return this, with what it leaves open taken from *outer*."""
        return replace(outer, **{f.name: given for f in fields(self) if (given := getattr(self, f.name)) not in (None, False)})


class Session:
    """One run of a command: what it was told, and where it prints."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self.out = Output(machine=where.json)
        self.settings = _settings(where)
        self.environment = _environment(self.settings)

    @property
    def service_name(self) -> str:
        """The service that was named. Raises `InvalidDocumentError` where none was."""
        if self.optional_service is None:
            raise InvalidDocumentError("name the service: --service NAME, or CONFIGKIT_SERVICE_NAME (_shared is for all)")
        return self.optional_service

    @property
    def optional_service(self) -> str | None:
        """The service that was named, if one was."""
        return self.settings.service_name

    def path(self, key: str) -> ConfigPath:
        """Return where *key* of the named service lies."""
        return ConfigPath(self.environment, self.service_name, key)

    @contextmanager
    def kit(self, *, serves: bool = False) -> Iterator[ConfigKit]:
        """Give a client for the block, a server's if it *serves*; it reads nothing ahead but the environment's flags."""
        settings = self.settings.model_copy(update={"service_name": None})
        kit = open_kit(settings, explicit=True, origin=origin(), serves=serves)
        try:
            yield kit
        finally:
            kit.close()


def origin() -> Origin:
    """Return whom the journal names for changes by this command."""
    return Origin(f"cli:{_user()}", f"cli {socket.gethostname()}")


def record_reads(kit: ConfigKit, paths: Sequence[ConfigPath]) -> None:
    """Journal that the secrets at *paths* are shown, where the journal is in reach; a server journals by itself."""
    if paths and kit.backends.journal is not None:
        kit.calls.run(kit.backends.journal.record_read, paths, origin=kit.origin)


def _settings(where: Where) -> Settings:
    changes: dict[str, object] = {
        "url": where.url,
        "token": where.token,
        "mode": where.mode or ("remote" if where.url else None),
        "environment": where.environment,
        "service_name": None if where.service is None else check_service_name(where.service),
    }
    return with_settings(read_settings(), {name: value for name, value in changes.items() if value is not None})


def _environment(settings: Settings) -> str:
    try:
        return check_environment(settings.environment, allowed=settings.supported_environments)
    except InvalidDocumentError as error:
        remedy = "it is development unless CONFIGKIT_ENVIRONMENT or -e NAME says otherwise"
        raise InvalidDocumentError(f"{error.detail}; {remedy}", pointer=error.pointer) from None


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return "".join(char for char in name if char.isprintable())[:200] or "unknown"
