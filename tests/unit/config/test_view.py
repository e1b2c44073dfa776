import dataclasses
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field

import configkit
from configkit import testing
from configkit.backends.memory import open_memory
from configkit.client import ConfigKit
from configkit.config.watching import ValueChanged
from configkit.errors import AccessDeniedError, ConflictError, InvalidDocumentError, NotFoundError, UnavailableError
from configkit.flags.model import Flag
from configkit.models import ConfigPath, ConfigVersion, Origin
from tests.waiting import eventually

ORIGIN = Origin("test")


@pytest.fixture
def kit() -> Iterator[ConfigKit]:
    with testing.memory() as kit:
        yield kit


def shared(key: str) -> ConfigPath:
    return ConfigPath("development", "_shared", key)


def test_a_value_comes_back_and_a_missing_one_is_an_error_or_the_default(kit: ConfigKit) -> None:
    kit.config.set("model_path", "/m")
    assert kit.config.get("model_path") == "/m"
    assert kit.config.get("nothing", "fallback") == "fallback"
    assert kit.config.get("nothing", None) is None
    with pytest.raises(NotFoundError, match="nothing"):
        kit.config.get("nothing")


def test_a_key_is_in_it_if_it_has_a_value(kit: ConfigKit) -> None:
    kit.config.set("k", False)
    assert "k" in kit.config
    assert "nothing" not in kit.config


def test_falsy_values_are_values(kit: ConfigKit) -> None:
    values: tuple[object, ...] = (False, 0, "", [], {})
    for value in values:
        kit.config.set("k", value)
        assert kit.config.get("k", "default") == value


def test_a_value_handed_out_is_the_callers_own(kit: ConfigKit) -> None:
    kit.config.set("k", {"a": [1]})
    kit.config.get("k")["a"].append(2)
    assert kit.config.get("k") == {"a": [1]}


def test_the_services_own_key_hides_the_shared_one_and_deleted_lets_it_through(kit: ConfigKit) -> None:
    kit.documents.create(shared("k"), "shared", is_encrypted=False, origin=ORIGIN)
    assert kit.config.get("k") == "shared"
    kit.config.set("k", "own")
    assert kit.config.get("k") == "own"
    kit.documents.update(shared("k"), "shared 2", origin=ORIGIN)
    assert kit.config.get("k") == "own"
    kit.config.delete("k")
    assert kit.config.get("k") == "shared 2"
    assert kit.config.keys() == ["k"]


def test_a_key_that_is_no_key_is_refused_even_with_a_default(kit: ConfigKit) -> None:
    for key in ("../x", "", "a/b"):
        with pytest.raises(InvalidDocumentError):
            kit.config.get(key, "default")


def test_set_makes_versions_and_compares_them(kit: ConfigKit) -> None:
    assert kit.config.set("k", 1, expected_version=0) == 1
    assert kit.config.set("k", 2, expected_version=1) == 2
    with pytest.raises(ConflictError) as caught:
        kit.config.set("k", 3, expected_version=1)
    assert caught.value.actual == 2
    with pytest.raises(ConflictError):
        kit.config.set("k", 3, expected_version=0)
    with pytest.raises(ConflictError):
        kit.config.set("absent", 3, expected_version=4)
    assert kit.config.get("k") == 2
    assert kit.config.rollback("k", 1) == 3
    assert [version.version for version in kit.config.history("k")] == [3, 2, 1]


def test_subscribers_hear_of_their_key_in_order_until_they_close(kit: ConfigKit) -> None:
    heard: list[tuple[object, int, bool]] = []

    def remember(change: ValueChanged) -> None:
        heard.append((change.value, change.version, change.removed))

    with kit.config.on_change("k", remember):
        kit.config.set("other", 1)
        kit.config.set("k", "a")
        kit.config.set("k", "b")
        kit.config.delete("k")
    kit.config.set("k", "c")
    assert heard == [("a", 1, False), ("b", 2, False), (None, 0, True)]


def test_a_subscriber_that_fails_is_logged_and_harms_nobody(kit: ConfigKit, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def fails(change: ValueChanged) -> None:
        raise RuntimeError

    kit.config.on_change(None, fails)
    kit.config.on_change(None, lambda change: heard.append(change.key))
    kit.config.set("k", "a", is_encrypted=True)
    assert heard == ["k"]
    assert "callback failed" in caplog.text


def test_a_shared_change_that_is_hidden_tells_nobody(kit: ConfigKit) -> None:
    heard: list[str] = []
    kit.config.set("k", "own")
    kit.config.on_change("k", lambda change: heard.append(change.key))
    kit.documents.create(shared("k"), "shared", is_encrypted=False, origin=ORIGIN)
    assert heard == []


class AsrSettings(BaseModel):
    model_path: str
    workers: int = Field(2, ge=1)
    token: str = Field("none", alias="api_key")


def test_a_bound_model_follows_and_refuses_what_does_not_validate(kit: ConfigKit, caplog: pytest.LogCaptureFixture) -> None:
    kit.config.set("model_path", "/a")
    settings = kit.config.bind(AsrSettings)
    assert (settings.model_path, settings.workers) == ("/a", 2)
    kit.config.set("workers", 4)
    assert settings.workers == 4
    with caplog.at_level(logging.ERROR):
        kit.config.set("workers", "hunter2")
    assert settings.workers == 4
    assert "workers" in caplog.text
    assert "hunter2" not in caplog.text
    kit.config.set("model_path", "/b")
    assert settings.model_path == "/a"
    kit.config.set("workers", 8)
    assert (settings.model_path, settings.workers) == ("/b", 8)
    assert isinstance(configkit.current(settings), AsrSettings)
    with pytest.raises(AttributeError, match="set the key"):
        settings.workers = 3


def test_binding_reads_keys_by_alias_and_prefix(kit: ConfigKit) -> None:
    kit.config.set("asr.model_path", "/m")
    kit.config.set("asr.api_key", "s", is_encrypted=True)
    settings = kit.config.bind(AsrSettings, prefix="asr.")
    assert (settings.model_path, settings.token) == ("/m", "s")


def test_binding_to_values_that_do_not_validate_names_the_field_only(kit: ConfigKit) -> None:
    kit.config.set("model_path", "/m")
    kit.config.set("workers", "hunter2")
    with pytest.raises(InvalidDocumentError) as caught:
        kit.config.bind(AsrSettings)
    assert caught.value.pointer == "/workers"
    assert "hunter2" not in str(caught.value)


def test_no_repr_shows_a_secret(kit: ConfigKit) -> None:
    kit.config.set("api_key", "secret_key_123", is_encrypted=True)
    document = kit.config.version("api_key")
    assert "secret_key_123" not in repr(document) + repr(ValueChanged("api_key", "secret_key_123", 1))


class Masking:
    """A store whose credentials may not read secrets."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        return {
            key: dataclasses.replace(found, value=None, masked=True) if found.ever_secret else found
            for key, found in self._inner.read_service(environment, service_name).items()
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_binding_to_a_secret_that_may_not_be_read_is_denied_and_never_the_models_default() -> None:
    backends = open_memory(threads=False)
    for key, value, secret in (("model_path", "/m", False), ("api_key", "hunter2", True)):
        path = ConfigPath("development", "asr-service", key)
        backends.config.create(path, value, is_encrypted=secret, origin=ORIGIN)
    masking = dataclasses.replace(backends, config=Masking(backends.config))
    with ConfigKit(masking, service_name="asr-service", threads=False) as kit:
        with pytest.raises(AccessDeniedError, match="api_key"):
            kit.config.bind(AsrSettings)
        with pytest.raises(AccessDeniedError, match="api_key"):
            kit.config.get("api_key", "default")
        assert kit.config.get("model_path") == "/m"


def test_a_model_that_keeps_its_last_good_values_is_in_the_status(kit: ConfigKit) -> None:
    kit.config.set("model_path", "/m")
    settings = kit.config.bind(AsrSettings)
    assert kit.status().refused == ()
    kit.config.set("workers", 0)
    assert kit.status().refused == ("AsrSettings",)
    kit.config.set("workers", 3)
    assert kit.status().refused == ()
    assert settings.workers == 3


def test_an_error_of_get_has_no_inner_error_before_it(kit: ConfigKit) -> None:
    with pytest.raises(NotFoundError) as caught:
        kit.config.get("nothing")
    assert caught.value.__context__ is None


def test_flags_are_loaded_though_the_configuration_cannot_be_read() -> None:
    backends = open_memory()
    backends.flags.create(Flag("on", "development", is_enabled=True, rollout_percentage=100), origin=ORIGIN)
    with ConfigKit(dataclasses.replace(backends, config=Gone()), service_name="asr-service", deadline=1.0) as kit:  # type: ignore[arg-type]
        assert kit.flags.is_enabled("on", user_id="u")
        assert kit.status().missing == ("config",)


class Gone:
    """A store of which every call fails."""

    def __getattr__(self, name: str) -> object:
        def fail(*_: object, **__: object) -> object:
            raise UnavailableError("gone", backend="test", operation=name)

        return fail


def test_without_a_store_the_default_answers_once_logged_and_no_default_raises(caplog: pytest.LogCaptureFixture) -> None:
    backends = dataclasses.replace(open_memory(), config=Gone())  # type: ignore[arg-type]
    with ConfigKit(backends, service_name="asr-service", deadline=1.0) as kit:
        assert not kit.status().ready
        assert "config" in kit.status().missing
        for _ in range(3):
            assert kit.config.get("model_path", "/base") == "/base"
        with pytest.raises(UnavailableError):
            kit.config.get("model_path")
        with pytest.raises(UnavailableError):
            assert "model_path" in kit.config
        with pytest.raises(UnavailableError):
            kit.config.bind(AsrSettings)
    assert caplog.text.count("model_path cannot be read") == 1


def test_callbacks_come_on_a_thread_of_the_client_and_a_slow_one_stops_no_reader() -> None:
    go = threading.Event()
    threads: list[threading.Thread] = []

    def slow(change: ValueChanged) -> None:
        threads.append(threading.current_thread())
        assert go.wait(5)

    with ConfigKit(open_memory(), service_name="asr-service") as kit:
        kit.config.on_change("k", slow)
        kit.config.set("k", 1)
        assert eventually(lambda: threads)
        kit.config.set("k", 2)
        assert kit.config.get("k") == 2
        go.set()
        assert eventually(lambda: len(threads) == 2)
    assert threading.current_thread() not in threads
