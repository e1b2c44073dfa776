"""The table of everything that the API can do."""

from __future__ import annotations

from configkit_server import queries, table_registry
from configkit_server.operations import Operation
from configkit_server.routes import config, config_writes, events, flags, health, ofrep
from configkit_server.wire import config as config_wire
from configkit_server.wire import flags as flag_wire
from configkit_server.wire import health as health_wire
from configkit_server.wire import ofrep as ofrep_wire
from configkit_server.wire.text import KEY

_CONFIG, _FLAGS = "/api/v1/config", "/api/v1/feature-flags"
_PLACE = (queries.ONE_ENVIRONMENT, queries.ONE_SERVICE)
_ENVIRONMENT = (queries.ONE_ENVIRONMENT,)
_KEY = {"key": KEY}
_NAME = {"name": KEY}

CONFIG = (
    Operation(
        "POST", _CONFIG, "createConfig", "Write the first version of a key.", config_writes.create_config,
        {201: config_wire.Config}, scope="config:write", body=config_wire.ConfigCreate, problems=(409,),
        replay=config_writes.replay_create, etag=True,
    ),
    Operation(
        "GET", _CONFIG, "listConfig", "List values; secrets are masked unless revealed to whom may read them.",
        config.list_config, {200: config_wire.ConfigPage}, scope="config:read",
        parameters=(
            queries.ENVIRONMENTS, queries.SERVICES, queries.KEYS,
            queries.flag("reveal", "Show secrets, where the token has secrets:read."), *queries.PAGING,
        ),
    ),
    Operation(
        "GET", _CONFIG + "/{key}", "readConfig", "Read a value; a secret is masked without secrets:read.",
        config.read_config, {200: config_wire.Config}, scope="config:read", path_parameters=_KEY, problems=(404,), etag=True,
        parameters=(
            *_PLACE, queries.VERSION,
            queries.flag("resolve", "Layer: the service's value, or else the shared one; `source` names it."),
        ),
    ),
    Operation(
        "PUT", _CONFIG + "/{key}", "updateConfig", "Write the next version of a key.", config_writes.update_config,
        {200: config_wire.Config}, scope="config:write", body=config_wire.ConfigUpdate, parameters=_PLACE,
        path_parameters=_KEY, problems=(404, 409), replay=config_writes.replay_write, etag=True, preconditions=True,
    ),
    Operation(
        "DELETE", _CONFIG + "/{key}", "deleteConfig", "Delete the latest version for good; earlier ones stay.",
        config_writes.delete_config, {204: None}, scope="config:write", parameters=_PLACE, path_parameters=_KEY,
        problems=(404, 409), replay=config_writes.replay_empty, preconditions=True,
    ),
    Operation(
        "GET", _CONFIG + "/{key}/history", "readConfigHistory", "List a key's versions, newest first.", config.read_history,
        {200: config_wire.ConfigHistory}, scope="config:read", path_parameters=_KEY, problems=(404,),
        parameters=(
            *_PLACE, queries.flag("reveal", "Show secrets, where the token has secrets:read."), *queries.PAGING,
        ),
    ),
    Operation(
        "POST", _CONFIG + "/{key}/rollback", "rollbackConfig", "Write an old version's value and mark as a new version.",
        config_writes.rollback_config, {200: config_wire.Config}, scope="config:write", body=config_wire.ConfigRollback,
        parameters=_PLACE, path_parameters=_KEY, problems=(404, 409), replay=config_writes.replay_write, etag=True,
    ),
    Operation(
        "POST", _CONFIG + "/bulk", "readConfigBulk", "Read many keys of one service at once.", config.read_bulk,
        {200: config_wire.ConfigBulkResult}, scope="config:read", body=config_wire.ConfigBulk,
    ),
)  # fmt: skip

FLAGS = (
    Operation(
        "POST", _FLAGS + "/evaluate", "evaluateFlag", "Decide a flag for a user; an unknown flag is decided too: off.",
        flags.evaluate, {200: flag_wire.FlagEvaluation}, scope="flags:read", body=flag_wire.Evaluate,
        parameters=(queries.flag("explain", "Tell step by step why; it counts as no use of the flag."),),
    ),
    Operation(
        "POST", _FLAGS + "/evaluate/batch", "evaluateFlags", "Decide many flags for a user.", flags.evaluate_batch,
        {200: flag_wire.FlagEvaluations}, scope="flags:read", body=flag_wire.EvaluateBatch,
    ),
    Operation(
        "POST", _FLAGS, "createFlag", "Add a flag.", flags.create_flag, {201: flag_wire.FeatureFlag}, scope="flags:write",
        body=flag_wire.FlagCreate, problems=(409,), replay=flags.replay_create, etag=True,
    ),
    Operation(
        "GET", _FLAGS, "listFlags",
        "List flags. For one environment the ETag is that of its whole set, the same on every page: "
        '`"flags:{environment}:{version}"`, where the version grows by one with each change of a flag of it.',
        flags.list_flags, {200: flag_wire.FlagPage}, scope="flags:read", etag=True,
        parameters=(
            queries.ENVIRONMENTS, queries.flag("enabled", "Only those that are on, or off.", default=None),
            queries.SINCE, *queries.PAGING,
        ),
    ),
    Operation(
        "GET", _FLAGS + "/{name}", "readFlag", "Read a flag.", flags.read_flag, {200: flag_wire.FeatureFlag},
        scope="flags:read", parameters=_ENVIRONMENT, path_parameters=_NAME, problems=(404,), etag=True,
    ),
    Operation(
        "PUT", _FLAGS + "/{name}", "updateFlag", "Change a flag: an absent field stays, null resets it, a list replaces.",
        flags.update_flag, {200: flag_wire.FeatureFlag}, scope="flags:write", body=flag_wire.FlagUpdate,
        parameters=_ENVIRONMENT, path_parameters=_NAME, problems=(404, 409), replay=flags.replay_update, etag=True,
        preconditions=True,
    ),
    Operation(
        "DELETE", _FLAGS + "/{name}", "deleteFlag", "Remove a flag.", flags.delete_flag, {204: None}, scope="flags:write",
        parameters=_ENVIRONMENT, path_parameters=_NAME, problems=(404, 409), replay=config_writes.replay_empty,
        preconditions=True,
    ),
)  # fmt: skip

OFREP = (
    Operation(
        "POST", "/ofrep/v1/evaluate/flags/{key}", "ofrepEvaluateFlag", "OpenFeature's remote evaluation: decide a flag.",
        ofrep.evaluate_flag, {200: ofrep_wire.OfrepEvaluation}, scope="flags:read",
        body=ofrep_wire.OfrepContext, parameters=(queries.ANY_ENVIRONMENT,), path_parameters=_KEY, problems=(404, 429),
        failures={400: ofrep_wire.OfrepFailure, 404: ofrep_wire.OfrepFailure},
    ),
    Operation(
        "POST", "/ofrep/v1/evaluate/flags", "ofrepEvaluateFlags",
        "OpenFeature's remote evaluation: decide every flag. The tag covers flags, context and time.",
        ofrep.evaluate_flags, {200: ofrep_wire.OfrepEvaluations}, scope="flags:read",
        body=ofrep_wire.OfrepContext, parameters=(queries.ANY_ENVIRONMENT,), etag=True, problems=(429,),
        failures={400: ofrep_wire.OfrepFailure},
    ),
    Operation(
        "GET", "/ofrep/v1/events", "ofrepEvents", "OpenFeature's remote evaluation: server-sent events that say when to ask again.",
        ofrep.stream_refetches, {200: None}, scope="flags:read", parameters=(queries.ANY_ENVIRONMENT,),
        media_type="text/event-stream",
    ),
)  # fmt: skip

SERVER = (
    Operation(
        "GET", "/live", "live", "Whether the process serves; asks nothing else.", health.live, {200: health_wire.Alive},
        is_open=True,
    ),
    Operation(
        "GET", "/ready", "ready", "Whether the server has what it needs.", health.ready, {200: health_wire.Ready},
        is_open=True, problems=(503,),
    ),
    Operation(
        "GET", "/health", "health", "How each part is.", health.health, {200: health_wire.Health, 503: health_wire.Health},
    ),
    Operation(
        "GET", "/metrics", "metrics", "Metrics in Prometheus' text format.", health.show_metrics, {200: None},
        media_type="text/plain",
    ),
    Operation(
        "GET", "/api/v1/events", "streamEvents",
        "Server-sent events: what changed, never values. Last-Event-ID resumes; after an unknown one, and for a reader that "
        "is too slow, comes the event `resync`.",
        events.stream_events, {200: None}, media_type="text/event-stream", problems=(503,),
    ),
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (*FLAGS, *OFREP, *CONFIG, *table_registry.REGISTRY, *SERVER)
