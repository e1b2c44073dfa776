"""From settings to backends: the one place that chooses."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from configkit.client import START_SECONDS, ConfigKit
from configkit.errors import InvalidDocumentError
from configkit.models import Origin
from configkit.ports import Backends

if TYPE_CHECKING:
    from configkit.settings import Settings

LEAST_START_SECONDS = 0.4
"""How long a new client waits for its first reads, even if opening the backends took its time."""


def connect(
    url: str | None = None,
    *,
    mode: str | None = None,
    service_name: str | None = None,
    environment: str | None = None,
    token: str | None = None,
    deadline: float | None = None,
) -> ConfigKit:
    """
    Return a client; what is not given comes from the environment variables, and the default is the embedded mode.

    Args:
        url: A configkit server's address, which chooses the remote mode.
        mode: ``embedded`` (one SQLite file on this machine), ``direct`` (Vault and PostgreSQL, with Redis, Kafka and
            ZooKeeper where configured), ``remote`` (a server) or ``memory`` (this process only).
        service_name: This service, whose configuration `.config` gives.
        environment: Where it runs, such as ``production``.
        token: The bearer token for the remote mode.
        deadline: Seconds within which every call is answered.

    Raises:
        InvalidDocumentError: A setting is wrong; the message names it.
        MissingExtraError: The mode needs an optional dependency; the message names the extra.
        MasterKeyError: The embedded file's secrets were written with another key.
        UnavailableError: The embedded file cannot be opened.
    """
    settings = read_settings()
    changes: dict[str, object] = {
        "url": url,
        "mode": mode or ("remote" if url else None),
        "service_name": service_name,
        "environment": environment,
    }
    changes |= {"deadline": deadline, "token": token}
    explicit = mode is not None or settings.mode is not None
    settings = with_settings(settings, {name: value for name, value in changes.items() if value is not None})
    return open_kit(settings, explicit=explicit)


def read_settings() -> Settings:
    """Return what the environment says. Raises `InvalidDocumentError` naming the variable, never its value."""
    return with_settings(None, {})


def with_settings(settings: Settings | None, changes: dict[str, object]) -> Settings:
    """Return *settings* (or the environment's) with *changes* validated and applied."""
    import pydantic  # noqa: PLC0415  only where a client is made

    from configkit.settings import Settings  # noqa: PLC0415

    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    try:
        return Settings(**{**given, **changes})
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        raise InvalidDocumentError(f"setting {first['loc'][0]}: {first['msg']}") from None


def open_kit(settings: Settings, *, explicit: bool, origin: Origin | None = None, serves: bool = False) -> ConfigKit:
    """
    Return a client wired as *settings* say.

    Args:
        explicit: The mode was chosen on purpose, so variables without the prefix count.
        origin: Who changes are journalled as.
        serves: It is a server's, which also does what must be done for the whole deployment.
    """
    began = time.monotonic()
    backends = open_backends(settings, explicit=explicit, serves=serves)
    return ConfigKit(
        backends,
        service_name=settings.service_name,
        environment=settings.environment,
        environments=settings.supported_environments,
        deadline=settings.deadline,
        origin=origin or Origin(settings.service_name or "library", f"library {os.uname().nodename} pid {os.getpid()}"),
        registry_enabled=settings.service_registry_enabled,
        instance_id=settings.service_instance_id,
        start_within=max(LEAST_START_SECONDS, START_SECONDS - (time.monotonic() - began)),
    )


def open_backends(settings: Settings, *, explicit: bool, serves: bool = False) -> Backends:
    """Return the backends of the mode that *settings* choose. Raises as `connect` does."""
    mode = settings.mode or ("remote" if settings.url else "embedded")
    if mode == "memory":
        from configkit.backends.memory import open_memory  # noqa: PLC0415

        return open_memory(deadline=settings.deadline)
    if mode == "remote":
        from configkit.backends.http import open_http  # noqa: PLC0415

        if not settings.url:
            raise InvalidDocumentError("the remote mode needs a server's address; set CONFIGKIT_URL or pass url", pointer="/url")
        token = settings.token.get_secret_value() if settings.token else None
        return open_http(settings.url, token=token, deadline=settings.deadline)
    if mode == "direct":
        from configkit.wiring.direct import open_direct  # noqa: PLC0415

        return open_direct(settings, serves=serves)
    from configkit.backends.sql import open_sqlite  # noqa: PLC0415

    return open_sqlite(database_file(settings, explicit=explicit), master_key=settings.master_key, deadline=settings.deadline)


def database_file(settings: Settings, *, explicit: bool) -> str:
    """
    Return the embedded mode's file, as an SQLite URL.

    `DATABASE_URL` without the prefix counts only where the mode was chosen on purpose: it may be meant for somebody else.
    """
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    if url and not url.startswith("sqlite:"):
        if explicit or "CONFIGKIT_DATABASE_URL" in os.environ:
            raise InvalidDocumentError(
                "the embedded mode keeps its data in SQLite: set it to sqlite:////path/to/configkit.db", pointer="/DATABASE_URL"
            )
        url = ""
    if url and (explicit or "CONFIGKIT_DATABASE_URL" in os.environ):
        return url
    return f"sqlite:///{data_folder() / 'configkit.db'}"


def data_folder() -> Path:
    """Return the folder of the user's data: `$XDG_DATA_HOME/configkit`, or as the platform has it."""
    if given := os.environ.get("XDG_DATA_HOME"):
        return Path(given) / "configkit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "configkit"
    return Path.home() / ".local" / "share" / "configkit"
