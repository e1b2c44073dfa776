"""The real servers that the tests run against, on this machine and without containers: `python -m scripts.services start`."""

from scripts.services.fleet import SHARED, Fleet, FleetError, private, read_env
from scripts.services.provision import MissingSoftwareError
from scripts.services.servers import Server, ServerFailedError

__all__ = ["SHARED", "Fleet", "FleetError", "MissingSoftwareError", "Server", "ServerFailedError", "private", "read_env"]
