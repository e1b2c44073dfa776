"""For the tests of services that use configkit: a client with known values, without files, threads or servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from configkit.backends.memory import open_memory
from configkit.client import ConfigKit
from configkit.values import JsonValue


@contextmanager
def memory(
    config: Mapping[str, JsonValue] | None = None,
    *,
    flags: Mapping[str, bool | Mapping[str, Any]] | None = None,
    service_name: str = "test-service",
    environment: str = "development",
) -> Iterator[ConfigKit]:
    """
    Give a client that holds *config* and *flags*, in this process only.

    Changes made through it are seen at once, by callbacks too, in the thread that makes them.

    Args:
        config: Values of the service by key.
        flags: By name: on or off for everybody, or the fields of a flag, such as
            ``{"is_enabled": True, "rollout_percentage": 25}``.

    Example:
        >>> with memory({"model_path": "/m"}, flags={"new_ui": True}) as kit:
        ...     kit.config.get("model_path"), kit.flags.is_enabled("new_ui", user_id="u1")
        ('/m', True)
    """
    kit = ConfigKit(open_memory(threads=False), service_name=service_name, environment=environment, threads=False)
    try:
        for key, value in (config or {}).items():
            kit.config.set(key, value)
        for name, flag in (flags or {}).items():
            fields = {"is_enabled": flag, "rollout_percentage": 100} if isinstance(flag, bool) else flag
            kit.flags.create(name, **fields)
        yield kit
    finally:
        kit.close()
