"""`env.template` and the settings say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices

from configkit.settings import Settings
from configkit.wiring import read_settings

TEMPLATE = Path(__file__).parents[2] / "env.template"

ORIGINAL = [
    "DATABASE_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_PASSWORD",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC_CONFIG_UPDATES",
    "VAULT_ADDR",
    "VAULT_TOKEN",
    "VAULT_MOUNT_POINT",
    "VAULT_KV_VERSION",
    "ZOOKEEPER_HOSTS",
    "ZOOKEEPER_BASE_PATH",
    "ZOOKEEPER_CONNECTION_TIMEOUT",
    "ZOOKEEPER_SESSION_TIMEOUT",
    "SERVICE_REGISTRY_ENABLED",
    "SERVICE_HEALTH_CHECK_INTERVAL",
    "SERVICE_INSTANCE_ID",
]


def aliases() -> dict[str, tuple[str, ...]]:
    """Return the variables of each field, the winning one first."""
    found = {}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.validation_alias, AliasChoices)
        found[name] = tuple(str(choice) for choice in field.validation_alias.choices)
    return found


def template() -> dict[str, str]:
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for names in aliases().values() for name in names]:
        monkeypatch.delenv(name, raising=False)


def test_the_template_names_exactly_the_variables_of_the_settings() -> None:
    assert sorted(template()) == sorted(names[-1] for names in aliases().values())


def test_every_variable_of_the_original_service_is_in_the_template_and_exists_with_the_prefix_too() -> None:
    assert set(ORIGINAL) <= set(template())
    pairs = {names[-1]: names[0] for names in aliases().values()}
    assert {name: pairs[name] for name in ORIGINAL} == {name: f"CONFIGKIT_{name}" for name in ORIGINAL}


def test_every_variable_of_the_template_is_explained_on_the_line_above() -> None:
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    unexplained = [
        line for above, line in zip(["", *lines], lines, strict=False) if line[:1].isupper() and not above.startswith("# ")
    ]
    assert unexplained == []


@pytest.mark.usefixtures("bare_environment")
def test_the_values_of_the_template_parse_and_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = read_settings()
    for name, value in template().items():
        monkeypatch.setenv(name, value)
    assert read_settings() == defaults


@pytest.mark.usefixtures("bare_environment")
def test_a_variable_with_the_prefix_wins_over_the_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "1111")
    monkeypatch.setenv("CONFIGKIT_REDIS_PORT", "2222")
    assert read_settings().redis_port == 2222
    monkeypatch.delenv("CONFIGKIT_REDIS_PORT")
    assert read_settings().redis_port == 1111


def test_the_template_holds_no_credential() -> None:
    credentials = {
        "CONFIGKIT_TOKEN",
        "CONFIGKIT_MASTER_KEY",
        "VAULT_TOKEN",
        "VAULT_SECRET_ID",
        "REDIS_PASSWORD",
        "ZOOKEEPER_PASSWORD",
        "DATABASE_URL",
    }
    assert {name: value for name, value in template().items() if name in credentials and value} == {}
