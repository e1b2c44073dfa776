"""What is checked before anything is sent: settings, and every name that becomes part of a path."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from configkit.backends.vault import open_vault
from configkit.errors import InvalidDocumentError, UnavailableError
from configkit.models import ConfigPath, Origin
from tests.unit.backends.vault.answering import answering

ADDRESS = "http://127.0.0.1:8200"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"address": "vault.example:8200"}, "/VAULT_ADDR"),
        ({"address": "http://user:pass@vault.example"}, "/VAULT_ADDR"),
        ({"mount": "../sys"}, "/VAULT_MOUNT_POINT"),
        ({"mount": "secret/../sys"}, "/VAULT_MOUNT_POINT"),
        ({"mount": "secret//x"}, "/VAULT_MOUNT_POINT"),
        ({"mount": "secret?x"}, "/VAULT_MOUNT_POINT"),
        ({"mount": "secret%2e%2e"}, "/VAULT_MOUNT_POINT"),
        ({"mount": ""}, "/VAULT_MOUNT_POINT"),
        ({"auth_mount": "a/../../sys"}, "/VAULT_AUTH_MOUNT"),
        ({"ca_cert": "/no/such/file.pem"}, "/VAULT_CACERT"),
        ({"client_cert": "/no/such/file.pem"}, "/VAULT_CLIENT_CERT"),
        ({"client_key": "/no/such/file.pem"}, "/VAULT_CLIENT_KEY"),
        ({"namespace": "a\r\nX-Evil: 1"}, "/VAULT_NAMESPACE"),
        ({"token": None}, "/VAULT_TOKEN"),
        ({"token": "with space"}, "/VAULT_TOKEN"),
        ({"token": "with\nbreak"}, "/VAULT_TOKEN"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str | None], pointer: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        open_vault(**{"address": ADDRESS, "token": "t", **changes})  # type: ignore[arg-type]
    assert caught.value.pointer == pointer


def test_nothing_is_sent_before_the_first_use() -> None:
    with answering(200, b"{}") as (address, asked):
        with closing(open_vault(address, token="t")):
            pass
        assert asked == []


@pytest.mark.parametrize(
    "key",
    ["a/../../../sys/mounts/secret", "..", "a//b", "a/", "/a", "%2e%2e", "a%2fb", "a?x", "a#x", "a;x", "a\\b", "a\x00", "a\r\n"],
)
def test_a_path_that_would_leave_its_place_is_none(key: str) -> None:
    for fields in (("development", "asr-service", key), ("development", key, "k"), (key, "asr-service", "k")):
        with pytest.raises(InvalidDocumentError):
            ConfigPath(*fields)


def test_what_is_sent_lies_in_the_mount() -> None:
    path = ConfigPath("development", "a.b_c-d", "K.e-y_9")
    with (
        answering(500, b'{"errors":["no"]}') as (address, asked),
        closing(open_vault(address, token="t", mount="team/kv")) as store,
    ):
        store._session._mount_checked = True
        for attempt in (
            lambda: store.read(path),
            lambda: store.read_service("development", "a.b_c-d"),
            lambda: store.history(path, limit=5),
            lambda: store.create(path, 1, is_encrypted=False, origin=Origin("ann")),
        ):
            with pytest.raises(UnavailableError):
                attempt()
    assert [request for request in asked if "/auth/token/" not in request] == [
        "GET /v1/team/kv/data/development/a.b_c-d/K.e-y_9",
        "LIST /v1/team/kv/metadata/development/a.b_c-d",
        "GET /v1/team/kv/metadata/development/a.b_c-d/K.e-y_9",
        "GET /v1/team/kv/data/development/a.b_c-d/K.e-y_9",
    ]


def test_a_token_of_the_surroundings_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".vault-token").write_text("from-home", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "from-env")
    with pytest.raises(InvalidDocumentError, match="wants credentials"):
        open_vault(ADDRESS)


def test_without_hvac_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["hvac"] = None
from configkit.backends.vault import open_vault
from configkit.errors import MissingExtraError
try:
    open_vault("http://127.0.0.1:1", token="t")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "configkit[vault]" in done.stdout


def test_importing_the_backend_does_not_import_hvac() -> None:
    program = "import sys, configkit.backends.vault; print([m for m in ('hvac', 'requests', 'urllib3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
