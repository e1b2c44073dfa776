"""The behaviours that every OpenFeature provider shows (appendix B of the specification), and what is configkit's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions, FlagType, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus

import configkit.testing
from configkit.calls import Calls
from configkit.client import ConfigKit
from configkit.errors import UnavailableError
from configkit.flags.client import Flags
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.integrations.openfeature import ConfigKitProvider
from tests.unit.flags.store import SteeredStore
from tests.waiting import eventually

FLAGS: dict[str, Any] = {
    "boolean-flag": {"is_enabled": True, "rollout_percentage": 100},
    "string-flag": {"is_enabled": True, "variants": {"greeting": "hi", "parting": "bye"}, "default_variant": "greeting"},
    "integer-flag": {"is_enabled": True, "variants": {"one": 1, "ten": 10}, "default_variant": "ten"},
    "float-flag": {"is_enabled": True, "variants": {"tenth": 0.1, "half": 0.5}, "default_variant": "half"},
    "object-flag": {
        "is_enabled": True,
        "variants": {"template": {"showImages": True, "title": "Check out these pics!", "imagesPerPage": 100}},
        "default_variant": "template",
    },
    "context-aware": {
        "is_enabled": True,
        "variants": {"internal": "INTERNAL", "external": "EXTERNAL"},
        "default_variant": "external",
        "rules": [
            {
                "name": "sulisław",
                "conditions": [
                    {"attribute": "fn", "operator": "equals", "values": ["Sulisław"]},
                    {"attribute": "ln", "operator": "equals", "values": ["Świętopełk"]},
                    {"attribute": "age", "operator": "equals", "values": [29]},
                    {"attribute": "customer", "operator": "equals", "values": [False]},
                ],
                "variant": "internal",
            }
        ],
    },
    "wrong-flag": {"is_enabled": True, "variants": {"one": "uno"}, "default_variant": "one"},
    "off-flag": {"variants": {"a": "A", "b": "B"}, "default_variant": "a", "off_variant": "b"},
    "defaulted-flag": {"variants": {"a": "A"}, "default_variant": "a"},
    "share-flag": {"is_enabled": True, "rollout_percentage": 50},
}


@pytest.fixture
def kit() -> Iterator[ConfigKit]:
    with configkit.testing.memory({}, flags=FLAGS) as made:
        yield made


@pytest.fixture
def client(kit: ConfigKit) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(ConfigKitProvider(kit))
    yield api.get_client()
    api.shutdown()
    api.clear_hooks()


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_resolves_values_of_all_types(client: OpenFeatureClient) -> None:
    assert client.get_boolean_value("boolean-flag", False) is True
    assert client.get_string_value("string-flag", "bye") == "hi"
    assert client.get_integer_value("integer-flag", 1) == 10
    assert client.get_float_value("float-flag", 0.1) == 0.5
    assert client.get_object_value("object-flag", {}) == FLAGS["object-flag"]["variants"]["template"]


def test_resolves_details_of_all_types(client: OpenFeatureClient) -> None:
    for details, value, variant in (
        (client.get_boolean_details("boolean-flag", False), True, "on"),
        (client.get_string_details("string-flag", "bye"), "hi", "greeting"),
        (client.get_integer_details("integer-flag", 1), 10, "ten"),
        (client.get_float_details("float-flag", 0.1), 0.5, "half"),
        (client.get_object_details("object-flag", {}), FLAGS["object-flag"]["variants"]["template"], "template"),
    ):
        assert (details.value, details.variant, details.reason, details.error_code) == (value, variant, Reason.STATIC, None)
        assert details.flag_metadata["environment"] == "development"
        assert isinstance(details.flag_metadata["version"], int)


def test_resolves_values_of_all_types_asynchronously(client: OpenFeatureClient) -> None:
    async def all_types() -> list[Any]:
        return [
            await client.get_boolean_value_async("boolean-flag", False),
            await client.get_string_value_async("string-flag", "bye"),
            await client.get_integer_value_async("integer-flag", 1),
            await client.get_float_value_async("float-flag", 0.1),
            (await client.get_object_details_async("object-flag", {})).value,
        ]

    assert asyncio.run(all_types()) == [True, "hi", 10, 0.5, FLAGS["object-flag"]["variants"]["template"]]


def test_resolves_based_on_context(client: OpenFeatureClient) -> None:
    attributes: Mapping[str, Any] = {"fn": "Sulisław", "ln": "Świętopełk", "age": 29, "customer": False}
    details = client.get_string_details("context-aware", "EXTERNAL", EvaluationContext(attributes=attributes))
    assert (details.value, details.variant, details.reason) == ("INTERNAL", "internal", Reason.TARGETING_MATCH)
    assert details.flag_metadata["rule"] == "sulisław"
    assert client.get_string_value("context-aware", "EXTERNAL", EvaluationContext()) == "EXTERNAL"


def test_a_flag_that_is_not_there_is_the_default_with_flag_not_found(client: OpenFeatureClient) -> None:
    details = client.get_string_details("missing-flag", "uh-oh")
    assert (details.value, details.reason, details.error_code) == ("uh-oh", Reason.ERROR, ErrorCode.FLAG_NOT_FOUND)
    assert details.error_message


def test_a_flag_of_another_type_is_the_default_with_type_mismatch(client: OpenFeatureClient) -> None:
    for details, default in (
        (client.get_integer_details("wrong-flag", 13), 13),
        (client.get_boolean_details("wrong-flag", True), True),
        (client.get_float_details("wrong-flag", 1.5), 1.5),
        (client.get_object_details("wrong-flag", {"a": 1}), {"a": 1}),
        (client.get_string_details("boolean-flag", "x"), "x"),
        (client.get_integer_details("float-flag", 3), 3),
    ):
        assert (details.value, details.reason, details.error_code) == (default, Reason.ERROR, ErrorCode.TYPE_MISMATCH)


def test_a_whole_number_is_an_integer_and_a_float(client: OpenFeatureClient) -> None:
    value = client.get_float_value("integer-flag", 0.5)
    assert (value, type(value)) == (10.0, float)
    assert type(client.get_integer_value("integer-flag", 0)) is int


def test_a_disabled_flag_is_its_off_variant_or_the_default(client: OpenFeatureClient) -> None:
    details = client.get_string_details("off-flag", "x")
    assert (details.value, details.variant, details.reason) == ("B", "b", Reason.DISABLED)
    details = client.get_string_details("defaulted-flag", "x")
    assert (details.value, details.variant, details.reason) == ("x", None, Reason.DISABLED)


def test_a_share_needs_the_targeting_key(client: OpenFeatureClient) -> None:
    details = client.get_boolean_details("share-flag", True)
    assert (details.value, details.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    assert client.get_boolean_details("share-flag", True, EvaluationContext("u1")).reason == Reason.SPLIT


def test_an_object_is_the_callers_own(client: OpenFeatureClient) -> None:
    found = client.get_object_value("object-flag", {})
    found["title"] = "changed"  # type: ignore[index]
    assert client.get_object_value("object-flag", {})["title"] == "Check out these pics!"  # type: ignore[call-overload]


# -- hooks -------------------------------------------------------------------------------------------------------------


class Witness(Hook):
    """Remembers which of its stages ran, with what they were told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.details: FlagEvaluationDetails[Any] | None = None
        self.contexts: list[HookContext] = []

    def before(self, hook_context: HookContext, hints: HookHints) -> EvaluationContext | None:
        self.stages.append("before")
        self.contexts.append(hook_context)
        return EvaluationContext(attributes={"fn": "Sulisław", "ln": "Świętopełk", "age": 29, "customer": False})

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        self.stages.append("after")

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        self.stages.append("error")

    def finally_after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        self.stages.append("finally")
        self.details = details


def test_hooks_run_before_after_and_finally_with_the_details(client: OpenFeatureClient) -> None:
    witness = Witness()
    options = FlagEvaluationOptions(hooks=[witness])
    assert client.get_string_value("context-aware", "x", EvaluationContext("u"), options) == "INTERNAL"
    assert witness.stages == ["before", "after", "finally"]
    assert witness.details is not None
    assert (witness.details.variant, witness.details.flag_metadata["rule"]) == ("internal", "sulisław")
    context = witness.contexts[0]
    assert (context.flag_key, context.flag_type, context.default_value) == ("context-aware", FlagType.STRING, "x")
    assert context.provider_metadata is not None
    assert context.provider_metadata.name == "configkit"


@pytest.mark.parametrize(("flag", "code"), [("missing-flag", ErrorCode.FLAG_NOT_FOUND), ("wrong-flag", ErrorCode.TYPE_MISMATCH)])
def test_hooks_run_error_and_finally_where_it_fails(client: OpenFeatureClient, flag: str, code: ErrorCode) -> None:
    witness = Witness()
    assert client.get_boolean_value(flag, True, None, FlagEvaluationOptions(hooks=[witness])) is True
    assert witness.stages == ["before", "error", "finally"]
    assert witness.details is not None
    assert (witness.details.error_code, witness.details.reason) == (code, Reason.ERROR)


# -- lifecycle and events ----------------------------------------------------------------------------------------------


class Kit:
    """As much of a client as the provider uses, on a store to steer."""

    def __init__(self, store: SteeredStore) -> None:
        self.sets = FlagSets(store, Calls(workers=0))
        self.flags = Flags(self.sets, "production")
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Heard:
    """Remembers the events of the provider."""

    def __init__(self, client: OpenFeatureClient) -> None:
        self.events: list[tuple[str, list[str] | None]] = []
        for event in ProviderEvent:
            client.add_handler(event, self._handler(event))

    def _handler(self, event: ProviderEvent) -> Any:
        return lambda details: self._take(event, details)

    def _take(self, event: ProviderEvent, details: EventDetails) -> None:
        if details.provider_name == "configkit":
            self.events.append((event.value, details.flags_changed))


@pytest.fixture
def steered() -> Iterator[tuple[SteeredStore, Kit]]:
    store = SteeredStore(Flag("f", "production", is_enabled=True, rollout_percentage=100))
    yield store, Kit(store)
    api.shutdown()


def test_the_provider_is_ready_changes_goes_stale_and_heals(steered: tuple[SteeredStore, Kit]) -> None:
    store, kit = steered
    client = api.get_client()
    heard = Heard(client)
    api.set_provider_and_wait(ConfigKitProvider(kit))  # type: ignore[arg-type]
    assert client.get_provider_status() == ProviderStatus.READY
    eventually(lambda: heard.events == [("PROVIDER_READY", None)])
    kit.sets.update("production", "f", {"is_enabled": False}, origin=None)  # type: ignore[arg-type]
    eventually(lambda: heard.events[-1] == ("PROVIDER_CONFIGURATION_CHANGED", ["f"]))
    assert client.get_boolean_value("f", True) is False
    store.failure = UnavailableError("away", backend="store", operation="load")
    with pytest.raises(UnavailableError):
        kit.sets.refresh("production")
    assert client.get_provider_status() == ProviderStatus.STALE
    assert client.get_boolean_details("f", True).reason == Reason.STALE
    store.failure = None
    kit.sets.refresh("production")
    assert client.get_provider_status() == ProviderStatus.READY
    assert client.get_boolean_details("f", True).reason == Reason.DISABLED
    eventually(lambda: [event for event, _ in heard.events] == [
        "PROVIDER_READY", "PROVIDER_CONFIGURATION_CHANGED", "PROVIDER_STALE", "PROVIDER_READY",
    ])  # fmt: skip


def test_without_flags_the_provider_is_not_ready_and_becomes_it_by_itself(steered: tuple[SteeredStore, Kit]) -> None:
    store, kit = steered
    store.failure = UnavailableError("away", backend="store", operation="load")
    client = api.get_client()
    provider = ConfigKitProvider(kit, within=0.2)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="no flags could be loaded yet"):
        api.set_provider_and_wait(provider)
    details = client.get_boolean_details("f", False)
    assert (details.value, details.reason) == (False, Reason.ERROR)
    store.failure = None
    kit.sets.refresh("production")
    assert client.get_provider_status() == ProviderStatus.READY
    assert client.get_boolean_value("f", False) is True


def test_shutting_down_ends_the_events_and_leaves_the_kit_to_its_owner(steered: tuple[SteeredStore, Kit]) -> None:
    _, kit = steered
    provider = ConfigKitProvider(kit)  # type: ignore[arg-type]
    api.set_provider_and_wait(provider)
    heard = Heard(api.get_client())
    eventually(lambda: heard.events == [("PROVIDER_READY", None)])
    provider.shutdown()
    provider.shutdown()
    kit.sets.update("production", "f", {"is_enabled": False}, origin=None)  # type: ignore[arg-type]
    assert (heard.events, kit.closed) == ([("PROVIDER_READY", None)], 0)


def test_tracking_is_ignored(client: OpenFeatureClient) -> None:
    client.track("bought", EvaluationContext("u1"))


def test_many_threads_resolve_at_once(client: OpenFeatureClient) -> None:
    wrong: list[object] = []

    def resolve() -> None:
        for number in range(200):
            context = EvaluationContext(f"u{number}")
            first, again = (client.get_boolean_value("share-flag", False, context) for _ in range(2))
            if first is not again:
                wrong.append(number)

    threads = [threading.Thread(target=resolve) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: not any(thread.is_alive() for thread in threads))
    assert wrong == []
