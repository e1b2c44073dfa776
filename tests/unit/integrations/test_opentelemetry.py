"""What OpenTelemetry is told of flags: counts, and events without personal data unless that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from configkit.client import ConfigKit
from configkit.integrations.openfeature import ConfigKitProvider
from configkit.integrations.opentelemetry import COUNTER, EVENT, EvaluationEvents, observe_usage
from configkit.testing import memory

THEME = {"is_enabled": True, "variants": {"light": "#fff", "dark": "#000"}, "default_variant": "light", "targets": {"dark": ["u1"]}}


@pytest.fixture
def kit() -> Iterator[ConfigKit]:
    with memory(flags={"theme": THEME, "share": {"is_enabled": True, "rollout_percentage": 50}}) as kit:
        yield kit


class Told:
    """A logger provider, and what it was told."""

    def __init__(self) -> None:
        self._exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.provider = LoggerProvider()
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self._exporter))

    def events(self) -> list[dict[str, Any]]:
        records = [data.log_record for data in self._exporter.get_finished_logs()]
        assert {record.event_name for record in records} <= {EVENT}
        return [dict(record.attributes or {}) for record in records]


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    yield told
    told.provider.shutdown()


def test_counts_are_read_when_they_are_exported(kit: ConfigKit) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe_usage(kit.flags, provider=provider)
    for user in ("u1", "u2", "u3"):
        kit.flags.value("theme", "", user_id=user)
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    found = {str(point.attributes["feature_flag.result.variant"]): point.value for point in metric.data.data_points}  # type: ignore[index,union-attr]
    assert (metric.name, found) == (COUNTER, {"dark": 1, "light": 2})
    provider.shutdown()


def test_an_event_says_what_was_decided_and_not_for_whom(kit: ConfigKit, told: Told) -> None:
    events = EvaluationEvents(provider=told.provider)
    events.emit(kit.flags.evaluate("theme", user_id="u1"), user_id="u1")
    events.emit(kit.flags.evaluate("share", default=True))
    assert told.events() == [
        {
            "feature_flag.key": "theme",
            "feature_flag.result.reason": "targeting_match",
            "feature_flag.result.variant": "dark",
            "feature_flag.provider.name": "configkit",
            "feature_flag.set.id": "development",
            "feature_flag.version": "1",
        },
        {
            "feature_flag.key": "share",
            "feature_flag.result.reason": "error",
            "feature_flag.result.value": True,
            "feature_flag.provider.name": "configkit",
            "feature_flag.set.id": "development",
            "feature_flag.version": "2",
            "error.type": "targeting_key_missing",
        },
    ]


def test_the_user_goes_with_it_where_that_is_said(kit: ConfigKit, told: Told) -> None:
    EvaluationEvents(context_id=True, provider=told.provider).emit(kit.flags.evaluate("theme", user_id=7), user_id=7)
    assert told.events()[0]["feature_flag.context.id"] == "7"


def test_a_hook_tells_of_every_evaluation_through_openfeature(kit: ConfigKit, told: Told) -> None:
    api.set_provider_and_wait(ConfigKitProvider(kit))
    client = api.get_client()
    client.add_hooks([EvaluationEvents(provider=told.provider).hook()])
    client.get_string_value("theme", "", EvaluationContext("u1"))
    client.get_boolean_value("nothing", False)
    api.shutdown()
    first, second = told.events()
    assert (first["feature_flag.result.variant"], first["feature_flag.set.id"], first["feature_flag.version"]) == (
        "dark",
        "development",
        "1",
    )
    assert "feature_flag.context.id" not in first
    assert (second["error.type"], second["feature_flag.result.value"]) == ("flag_not_found", False)
    assert second["feature_flag.error.message"] == "there is no such flag"
