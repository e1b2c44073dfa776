"""What is measured, for Prometheus. Labels are route templates and words of ours, never anything a caller sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


MAX_FLAG_SERIES = 10_000
"""So many variants are shown, those that were served most; others are not forgotten, only not shown."""


class _Evaluations(Collector):
    """Reads, when it is asked, what evaluation counts anyway."""

    def __init__(self, counts: Callable[[], Iterable[tuple[str, str, str, int]]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        """Return the one family."""
        labels = ["environment", "flag", "variant"]
        family = CounterMetricFamily("configkit_flag_evaluations", "Decisions of flags by this server.", labels=labels)
        most = sorted(self._counts(), key=lambda each: each[-1], reverse=True)[:MAX_FLAG_SERIES]
        for environment, flag, variant, number in most:
            family.add_metric([environment, flag, variant], number)
        return [family]


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "configkit_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._duration = Histogram(
            "configkit_http_request_duration_seconds",
            "From a request's headers to the end of its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.streams = Gauge("configkit_event_streams", "Event streams that are open.", registry=self._registry)
        self.events = Counter("configkit_events", "Events of the deployment, by kind.", ["kind"], registry=self._registry)
        self.resyncs = Counter(
            "configkit_event_stream_resyncs", "Times a reader was told to read everything again.", registry=self._registry
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        found = self._known.get((method, route, status))
        if found is None:
            label = method if method in _METHODS else "other"
            found = (self._requests.labels(label, route, str(status)), self._duration.labels(label, route))
            if label == method:
                self._known[(method, route, status)] = found
        found[0].inc()
        found[1].observe(seconds)

    def show_readback(self, cycle: Callable[[], float | None]) -> None:
        """Show how long what others write straight into the store can stay unseen; NaN until that is known."""
        gauge = Gauge(
            "configkit_readback_cycle_seconds",
            "How long reading every known value back from the store takes: what others wrote straight into it is seen by then.",
            registry=self._registry,
        )

        def seconds() -> float:
            found = cycle()
            return nan if found is None else found

        gauge.set_function(seconds)

    def show_flags(self, counts: Callable[[], Iterable[tuple[str, str, str, int]]]) -> None:
        """Show how often each variant of each flag was served: *counts* gives environment, flag, variant and number."""
        self._registry.register(_Evaluations(counts))

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
