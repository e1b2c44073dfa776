"""
Configuration and secrets, feature flags and service discovery for Python services.

    import configkit

    kit = configkit.connect(service_name="asr-service", environment="development")
    kit.config.get("model_path", default="/models/base")
    kit.flags.is_enabled("new_ui", user_id="u123")
    kit.services.url("nmt-service")

Reads never block, writes are never lost, failure is visible and survivable.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configkit import testing
    from configkit.client import ConfigKit, Status
    from configkit.config.view import Config, current
    from configkit.config.watching import Subscription, ValueChanged
    from configkit.errors import (
        AccessDeniedError,
        BackendError,
        ClosedError,
        ConfigKitError,
        ConflictError,
        InvalidDocumentError,
        MasterKeyError,
        MissingExtraError,
        NoInstanceError,
        NotFoundError,
        UnavailableError,
    )
    from configkit.flags.model import Evaluation, Flag
    from configkit.models import ConfigPath, ConfigVersion, Instances, ServiceInstance
    from configkit.wiring import connect

__version__ = "0.1.0"

_HOMES = {
    "configkit.client": ("ConfigKit", "Status"),
    "configkit.config.view": ("Config", "current"),
    "configkit.config.watching": ("Subscription", "ValueChanged"),
    "configkit.errors": (
        "AccessDeniedError",
        "BackendError",
        "ClosedError",
        "ConfigKitError",
        "ConflictError",
        "InvalidDocumentError",
        "MasterKeyError",
        "MissingExtraError",
        "NoInstanceError",
        "NotFoundError",
        "UnavailableError",
    ),
    "configkit.flags.model": ("Evaluation", "Flag"),
    "configkit.models": ("ConfigPath", "ConfigVersion", "Instances", "ServiceInstance"),
    "configkit.wiring": ("connect",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that importing the package alone costs next to nothing."""
    if name == "testing":
        return import_module("configkit.testing")
    if name not in _HOME:
        raise AttributeError(f"module 'configkit' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "AccessDeniedError",
    "BackendError",
    "ClosedError",
    "Config",
    "ConfigKit",
    "ConfigKitError",
    "ConfigPath",
    "ConfigVersion",
    "ConflictError",
    "Evaluation",
    "Flag",
    "Instances",
    "InvalidDocumentError",
    "MasterKeyError",
    "MissingExtraError",
    "NoInstanceError",
    "NotFoundError",
    "ServiceInstance",
    "Status",
    "Subscription",
    "UnavailableError",
    "ValueChanged",
    "connect",
    "current",
    "testing",
]
