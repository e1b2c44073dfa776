"""
Configuration and secrets, feature flags and service discovery for Python services.

    import configkit

    kit = configkit.connect(service_name="asr-service", environment="development")
    kit.config.get("model_path", default="/models/base")
    kit.flags.is_enabled("new_ui", user_id="u123")
    kit.services.url("nmt-service")

Reads never block, writes are never lost, failure is visible and survivable.
"""

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
]
