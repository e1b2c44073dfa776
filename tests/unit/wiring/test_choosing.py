from pathlib import Path

import pytest

import configkit
from configkit import wiring
from configkit.errors import InvalidDocumentError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("CONFIGKIT_") or name in (
            "DATABASE_URL",
            "VAULT_TOKEN",
            "SUPPORTED_ENVIRONMENTS",
            "SERVICE_INSTANCE_ID",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_default_is_a_file_in_the_users_data_folder(tmp_path: Path) -> None:
    with configkit.connect(service_name="asr-service") as kit:
        kit.config.set("k", 1)
        assert kit.status().mode == "embedded"
        assert kit.status().ready
    assert (tmp_path / "data" / "configkit" / "configkit.db").exists()


def test_a_library_does_not_grab_the_database_url_of_its_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/theirs.db")
    configkit.connect().close()
    assert not (tmp_path / "theirs.db").exists()
    monkeypatch.setenv("CONFIGKIT_MODE", "embedded")
    configkit.connect().close()
    assert (tmp_path / "theirs.db").exists()


def test_the_prefixed_variable_wins_and_counts_in_any_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@db/app")
    monkeypatch.setenv("CONFIGKIT_DATABASE_URL", f"sqlite:///{tmp_path}/ours.db")
    configkit.connect().close()
    assert (tmp_path / "ours.db").exists()


def test_another_database_is_refused_by_name_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@db/app")
    with pytest.raises(InvalidDocumentError, match="DATABASE_URL") as caught:
        configkit.connect(mode="embedded")
    assert "hunter2" not in str(caught.value)
    configkit.connect().close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONFIGKIT_MODE", "hunter2"),
        ("CONFIGKIT_DEADLINE", "hunter2"),
        ("CONFIGKIT_ENVIRONMENT", "no such/hunter2"),
        ("CONFIGKIT_SERVICE_NAME", "Bad/hunter2"),
        ("SERVICE_INSTANCE_ID", "../hunter2"),
        ("VAULT_KV_VERSION", "3"),
        ("REDIS_PORT", "70000"),
        ("SUPPORTED_ENVIRONMENTS", "production,hunter2/x"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidDocumentError) as caught:
        wiring.read_settings()
    assert name.removeprefix("CONFIGKIT_").lower() in str(caught.value).lower()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("given", "missing"), [("DATABASE_URL", "VAULT_ADDR"), ("VAULT_ADDR", "DATABASE_URL")])
def test_the_direct_mode_says_which_system_it_cannot_do_without(monkeypatch: pytest.MonkeyPatch, given: str, missing: str) -> None:
    monkeypatch.delenv(missing, raising=False)
    monkeypatch.setenv(given, {"VAULT_ADDR": "http://127.0.0.1:1", "DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}[given])
    with pytest.raises(InvalidDocumentError, match=missing) as caught:
        configkit.connect(mode="direct")
    assert "hunter2" not in str(caught.value)


def test_an_environment_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidDocumentError):
        configkit.connect(mode="memory", environment="prodution")
    monkeypatch.setenv("SUPPORTED_ENVIRONMENTS", "qa, live")
    with configkit.connect(mode="memory", environment="qa") as kit:
        assert kit.environments == {"qa", "live"}
        with pytest.raises(InvalidDocumentError):
            kit.documents.read(configkit.ConfigPath("production", "asr-service", "k"))


def test_an_address_chooses_the_remote_mode_and_the_remote_mode_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with configkit.connect("http://127.0.0.1:9", deadline=0.5) as kit:
        assert kit.status().mode == "remote"
        assert not kit.status().ready
    monkeypatch.setenv("CONFIGKIT_URL", "http://127.0.0.1:9")
    with configkit.connect(deadline=0.5) as kit:
        assert kit.status().mode == "remote"
    monkeypatch.delenv("CONFIGKIT_URL")
    with pytest.raises(InvalidDocumentError, match="CONFIGKIT_URL"):
        configkit.connect(mode="remote")


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "CONFIGKIT_TOKEN",
        "CONFIGKIT_MASTER_KEY",
        "VAULT_TOKEN",
        "VAULT_SECRET_ID",
        "REDIS_PASSWORD",
        "ZOOKEEPER_PASSWORD",
        "DATABASE_URL",
    ):
        monkeypatch.setenv(name, "hunter2")
    assert "hunter2" not in repr(wiring.read_settings())
