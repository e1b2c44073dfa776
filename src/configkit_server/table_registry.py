"""The registry's part of the table of operations."""

from __future__ import annotations

from configkit_server import queries
from configkit_server.operations import Operation
from configkit_server.routes import registry
from configkit_server.wire import registry as wire
from configkit_server.wire.text import FOREIGN_SERVICE

_REGISTRY = "/api/v1/registry"
_NAME = {"name": FOREIGN_SERVICE}

REGISTRY = (
    Operation(
        "POST", _REGISTRY + "/register", "registerInstance", "List an instance; the same instance id again replaces it.",
        registry.register, {201: wire.Instance, 200: wire.Instance}, scope="registry:write", body=wire.Register,
        problems=(429,), replay=registry.replay_register,
    ),
    Operation(
        "POST", _REGISTRY + "/deregister", "deregisterInstance", "Remove an instance.", registry.deregister,
        {200: wire.Deregistered}, scope="registry:write", body=wire.InstanceRef, problems=(404,),
        replay=registry.replay_deregister,
    ),
    Operation(
        "POST", _REGISTRY + "/heartbeat", "renewLease", "Renew an instance's lease for its own length.", registry.heartbeat,
        {200: wire.Heartbeat}, scope="registry:write", body=wire.InstanceRef, problems=(404,),
        replay=registry.replay_heartbeat,
    ),
    Operation(
        "GET", _REGISTRY + "/services", "listServices", "List the services that have instances.", registry.list_services,
        {200: wire.SummaryPage}, scope="registry:read", parameters=queries.PAGING,
    ),
    Operation(
        "GET", _REGISTRY + "/services/{name}", "readService", "List every instance of a service, whatever its health.",
        registry.read_service, {200: wire.InstanceList}, scope="registry:read", path_parameters=_NAME,
    ),
    Operation(
        "GET", _REGISTRY + "/services/{name}/url", "chooseInstance", "Choose one instance to call; 503 if none is healthy.",
        registry.service_url, {200: wire.ServiceUrl}, scope="registry:read", path_parameters=_NAME,
        parameters=(queries.STRATEGY, queries.ZONE_PREFERRED),
    ),
    Operation(
        "POST", _REGISTRY + "/services/{name}/health", "checkService", "Check every instance of a service now.",
        registry.check_service, {200: wire.ServiceHealth}, scope="registry:read", path_parameters=_NAME, problems=(429,),
    ),
    Operation(
        "GET", _REGISTRY + "/discover/{name}", "discover", "List the instances of a service that can be called.",
        registry.discover, {200: wire.InstanceList}, scope="registry:read", path_parameters=_NAME,
        parameters=(queries.ZONE_PREFERRED,),
    ),
)  # fmt: skip
