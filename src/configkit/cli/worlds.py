"""What the demonstration runs on: a file in its folder, or the five real systems that the settings lead to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import AliasChoices

from configkit.errors import ConfigKitError, InvalidDocumentError
from configkit.models import ConfigPath
from configkit.settings import Settings
from configkit.wiring import read_settings, with_settings

NEEDED = ("VAULT_ADDR", "DATABASE_URL", "REDIS_HOST", "KAFKA_BOOTSTRAP_SERVERS", "ZOOKEEPER_HOSTS")
"""The variables that lead to the five systems."""

_OWN = frozenset(
    {
        "MODE", "URL", "TOKEN", "HOST", "PORT", "SERVICE_NAME", "ENVIRONMENT", "SUPPORTED_ENVIRONMENTS", "MASTER_KEY",
        "SERVICE_INSTANCE_ID", "SERVICE_REGISTRY_ENABLED", "DATABASE_SCHEMA", "REDIS_NAMESPACE", "KAFKA_TOPIC_CONFIG_UPDATES",
        "ZOOKEEPER_BASE_PATH",
    }
)  # fmt: skip
"""What the demonstration says itself, whatever the caller's settings are."""


class World(Protocol):
    """
    Where the demonstration's data are.

    Attributes:
        service: The name of the service that it shows.
        begin, end: What is said first and last.
        where: Where the server keeps its data.
        elsewhere: Where else than in files a secret's text is not.
    """

    @property
    def service(self) -> str: ...  # noqa: D102
    @property
    def begin(self) -> str: ...  # noqa: D102
    @property
    def end(self) -> str: ...  # noqa: D102
    @property
    def where(self) -> str: ...  # noqa: D102
    @property
    def elsewhere(self) -> str: ...  # noqa: D102

    def server(self, folder: Path) -> dict[str, str]:
        """Return the server's settings, without their prefix."""

    def member(self, number: int, server: str) -> tuple[str, dict[str, str]]:
        """Return how the service's process *number* reaches configkit, in words and as settings."""

    def has(self, text: str) -> bool:
        """Whether *text* is anywhere that secrets must not be."""

    def remove(self) -> None:
        """Remove everything that is not in the folder."""


class FileWorld:
    """The embedded mode, in the demonstration's folder."""

    service = "asr-service"
    begin = "What follows really happens, in processes on this machine and a temporary folder."
    end = "Nothing is left: processes ended, folder removed."
    where = "with the database in one file"
    elsewhere = ""

    def server(self, folder: Path) -> dict[str, str]:
        """Return the server's settings."""
        return {"MODE": "embedded", "DATABASE_URL": f"sqlite:///{folder / 'configkit.db'}"}

    def member(self, number: int, server: str) -> tuple[str, dict[str, str]]:  # noqa: ARG002  every one is alike
        """Return how a service reaches the server."""
        return "", {"URL": server}

    def has(self, text: str) -> bool:  # noqa: ARG002  everything is in the folder
        """Return False: the folder is looked through anyway."""
        return False

    def remove(self) -> None:
        """Do nothing: the folder goes."""


class DirectWorld:
    """
    The direct mode, beside whatever else is in those systems: a service, schema, namespace, topic and base path of its own.

    Raises:
        InvalidDocumentError: Not all five systems are configured.
    """

    begin = "What follows really happens, on Vault, PostgreSQL, Redis, Kafka and ZooKeeper, under names of its own."
    where = "in the direct mode"
    elsewhere = ", and not in Redis"

    def __init__(self) -> None:
        missing = [name for name in NEEDED if not (os.environ.get(f"CONFIGKIT_{name}") or os.environ.get(name))]
        if missing:
            raise InvalidDocumentError(
                f"configkit demo --direct needs the five systems, and these are not set: {', '.join(missing)}. In the repository: "
                "nox -s services -- start, then: set -a; . .services/env; set +a"
            )
        name = f"configkit-demo-{uuid.uuid4().hex[:8]}"
        self.service = f"asr-service-{name[-8:]}"
        self._given = _given()
        self._names = {
            "DATABASE_SCHEMA": name.replace("-", "_"),
            "REDIS_NAMESPACE": name,
            "KAFKA_TOPIC_CONFIG_UPDATES": name,
            "ZOOKEEPER_BASE_PATH": f"/{name}",
        }
        own = {field: value for field, value in self._fields().items() if value}
        self._settings: Settings = with_settings(read_settings(), {**own, "mode": "direct", "service_registry_enabled": True})
        self._left: Sequence[str] = ()

    @property
    def end(self) -> str:
        """What is left, if anything is."""
        if self._left:
            return f"Left behind: {'; '.join(self._left)}."
        return "Nothing is left: processes, folder, schema, keys, topic, nodes and secrets are gone."

    def server(self, folder: Path) -> dict[str, str]:  # noqa: ARG002  nothing is kept there
        """Return the server's settings."""
        return {**self._given, **self._names, "MODE": "direct"}

    def member(self, number: int, server: str) -> tuple[str, dict[str, str]]:
        """Return how a service reaches configkit: the first through the server, the second straight on the systems."""
        if number == 1:
            return ", which uses the server,", {"URL": server}
        return ", which uses Vault, Redis, Kafka and ZooKeeper itself,", {**self._given, **self._names, "MODE": "direct"}

    def has(self, text: str) -> bool:
        """Whether *text* is anywhere under its namespace in Redis."""
        from configkit.wiring.removal import kept_in_redis  # noqa: PLC0415  only this world needs it

        return any(text.encode() in content for content in kept_in_redis(self._settings))

    def remove(self) -> None:
        """Remove everything; what the policies keep is told by `end`."""
        from configkit.wiring.removal import remove_deployment  # noqa: PLC0415  only this world needs it

        paths = [ConfigPath("development", self.service, "model_path"), ConfigPath("production", self.service, "api_key")]
        try:
            self._left = remove_deployment(self._settings, paths)
        except ConfigKitError as error:
            self._left = (str(error),)

    def _fields(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self._names.items()}


def _given() -> dict[str, str]:
    """Return the caller's settings, without their prefix."""
    found = {}
    for field in Settings.model_fields.values():
        assert isinstance(field.validation_alias, AliasChoices)  # noqa: S101  each has its names
        names = [str(choice) for choice in field.validation_alias.choices]
        setting = names[0].removeprefix("CONFIGKIT_")
        value = next((os.environ[name] for name in names if os.environ.get(name)), None)
        if value is not None and setting not in _OWN:
            found[setting] = value
    return found
