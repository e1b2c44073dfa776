"""How the server is: for orchestrators, for people and for Prometheus."""

from __future__ import annotations

from typing import Any

from configkit_server import metrics
from configkit_server.answers import NO_STORE, Answer, answer_json
from configkit_server.call import Call
from configkit_server.problems import NOT_READY, RETRY_AFTER, ProblemError
from configkit_server.service import Service

PING_SECONDS = 1.0
_WHY = {"MasterKeyError": "this process does not have the master key; give it the present one, and start it again"}


async def live(service: Service, call: Call) -> Answer:  # noqa: ARG001  every handler is called alike
    """Answer that the process serves; nothing else is asked."""
    return answer_json(200, {"status": "alive"})


async def ready(service: Service, call: Call) -> Answer:  # noqa: ARG001  every handler is called alike
    """Answer whether the server has what it needs, naming what is missing."""
    missing = list(service.kit.status().missing)
    if service.draining:
        missing.append("shutting down")
    found = await _backends(service)
    missing += [name for name, component in found.items() if component["status"] == "unhealthy"]
    if missing:
        extra = {"missing": missing}
        raise ProblemError(NOT_READY, f"waiting for: {', '.join(missing)}", headers=[RETRY_AFTER], extra=extra)
    return answer_json(200, {"status": "ready"})


async def health(service: Service, call: Call) -> Answer:  # noqa: ARG001  every handler is called alike
    """Answer how each part is, under a hard deadline; 503 where a backend is away."""
    backends = await _backends(service)
    parts = _own_parts(service)
    statuses = {component["status"] for component in (*backends.values(), *parts.values())}
    worst = next(status for status in ("unhealthy", "degraded", "healthy") if status in statuses)
    return answer_json(503 if worst == "unhealthy" else 200, {"status": worst, "components": {**backends, **parts}})


async def show_metrics(service: Service, call: Call) -> Answer:  # noqa: ARG001  every handler is called alike
    """Answer the metrics in Prometheus' text format."""
    return Answer(200, service.metrics.text(), [NO_STORE], content_type=metrics.CONTENT_TYPE)


async def _backends(service: Service) -> dict[str, dict[str, Any]]:
    asked = await service.pings.ask(PING_SECONDS)
    optional = service.kit.backends.optional
    return {
        name: _component("healthy", "answers", ping.latency_ms)
        if ping.error is None
        else _component(
            "degraded" if name in optional else "unhealthy", _WHY.get(ping.error, f"no answer ({ping.error})"), ping.latency_ms
        )
        for name, ping in asked.items()
    }


def _own_parts(service: Service) -> dict[str, dict[str, Any]]:
    status = service.kit.status()
    parts = {
        "events": _component("degraded", "not subscribed to changes")
        if "events" in status.missing
        else _component("healthy", "subscribed"),
        "registry": _component("healthy", "enabled" if service.kit.registry_enabled else "switched off"),
    }
    for name in status.stale:
        parts[f"{name}-cache"] = _component("degraded", "serving the last known values")
    if service.draining:
        parts["server"] = _component("degraded", "shutting down")
    return parts


def _component(status: str, detail: str, latency_ms: float | None = None) -> dict[str, Any]:
    return {"status": status, "latency_ms": latency_ms, "detail": detail}
