"""TLS and SASL against a real server that has both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scripts.services import Server

from configkit.backends.zookeeper import Security, open_zookeeper
from configkit.errors import AccessDeniedError, InvalidDocumentError, UnavailableError
from tests import services
from tests.unit.backends.zookeeper import zoo
from tests.unit.backends.zookeeper.zoo import ORIGIN, instance


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with services.private("zookeeper", tmp_path_factory.mktemp("zookeeper")) as started:
        yield started


@pytest.fixture
def encrypted(server: Server) -> str:
    return f"localhost:{server.place.ports['tls']}"


def test_the_connection_may_be_encrypted(server: Server, encrypted: str) -> None:
    base, security = zoo.base_path(), Security(tls=True, ca=str(server.place.certificate))
    with zoo.registry(encrypted, base, security=security) as registry, zoo.registry(server.env["ZOOKEEPER_HOSTS"], base) as other:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        registry.heartbeat("svc", "one")
        assert [one.instance_id for one in other.instances("svc")] == ["one"]


def test_a_server_that_nobody_vouches_for_is_not_spoken_to(encrypted: str) -> None:
    with (
        zoo.registry(encrypted, zoo.base_path(), deadline=1, security=Security(tls=True)) as registry,
        pytest.raises(UnavailableError),
    ):
        registry.ping()


def test_a_server_under_another_name_is_not_spoken_to(server: Server) -> None:
    security = Security(tls=True, ca=str(server.place.certificate))
    same_address = f"127.1:{server.place.ports['tls']}"
    with zoo.registry(same_address, zoo.base_path(), deadline=1, security=security) as registry, pytest.raises(UnavailableError):
        registry.ping()


def test_who_logs_in_by_sasl_owns_what_he_writes(server: Server) -> None:
    at, base = server.env["ZOOKEEPER_HOSTS"], zoo.base_path()
    security = Security(sasl="DIGEST-MD5", username="configkit", password=server.place.passwords["sasl"], acl="creator_read")
    with zoo.registry(at, base, security=security) as registry, zoo.registry(at, base) as stranger:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        assert len(stranger.instances("svc")) == 1
        with pytest.raises(AccessDeniedError):
            stranger.deregister("svc", "one", origin=ORIGIN)


def test_a_wrong_password_is_denied_and_never_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    at = server.env["ZOOKEEPER_HOSTS"]
    security = Security(sasl="DIGEST-MD5", username="configkit", password="canary", acl="creator")
    with zoo.registry(at, zoo.base_path(), deadline=3, security=security) as registry:
        with pytest.raises(AccessDeniedError) as caught:
            registry.ping()
        with pytest.raises(AccessDeniedError):
            registry.register(instance(), origin=ORIGIN)
    assert "canary" not in caplog.text + str(caught.value)
    right = replace(security, password=server.place.passwords["sasl"])
    with zoo.registry(at, zoo.base_path(), security=right) as registry:
        registry.ping()


def test_certificates_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocumentError):
        open_zookeeper("127.0.0.1:1", security=Security(tls=True, ca=str(tmp_path / "absent.pem")))
