"""HTTPS: certificates are checked, and deadlines and closing hold there too."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from configkit.errors import UnavailableError
from configkit.models import ConfigPath, Event, Origin
from tests.unit.backends.http.conftest import Connect
from tests.unit.backends.http.servers import Reply, Request, Script, Server, config_document
from tests.unit.backends.http.test_events import config_event, ids
from tests.waiting import eventually

PATH = ConfigPath("development", "asr", "model_path")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a key and a certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "configkit test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def secure(stack: ExitStack, certificate: Path, script: Script) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return stack.enter_context(Server(script, tls=context).running())


def test_a_server_whose_certificate_is_trusted_is_used(
    stack: ExitStack, certificate: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = secure(stack, certificate, lambda _, reply: reply.json(200, config_document()))
    store = connect(server.url).config
    assert [store.read(PATH).version for _ in range(3)] == [3, 3, 3]
    assert server.connections == 1


def test_a_server_whose_certificate_is_not_trusted_gets_no_token(stack: ExitStack, certificate: Path, connect: Connect) -> None:
    server = secure(stack, certificate, lambda _, reply: reply.json(200, config_document()))
    with pytest.raises(UnavailableError, match="certificate"):
        connect(server.url, token="canary-4711").config.read(PATH)
    assert server.requests == []


def test_certificates_that_cannot_be_read_are_unavailable(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(UnavailableError, match="certificates"):
        connect("https://127.0.0.1:1").config.read(PATH)


def test_a_server_that_never_finishes_the_handshake_is_left_by_the_deadline(connect: Connect) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        store = connect(f"https://127.0.0.1:{mute.getsockname()[1]}", deadline=0.4).config
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            store.read(PATH)
        assert time.monotonic() - began < 1.0


def test_large_bodies_go_through(stack: ExitStack, certificate: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    value = "x" * 400_000
    server = secure(stack, certificate, lambda request, reply: reply.json(201, config_document(value=request.document["value"])))
    assert connect(server.url).config.create(PATH, value, is_encrypted=False, origin=Origin("ann")).value == value


def test_events_arrive_and_closing_is_quick_while_the_stream_is_waited_on(
    stack: ExitStack, certificate: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        config_event(reply, "a-1")
        reply.wait_for_the_other_end()
        reply.close()

    events: list[Event] = []
    backends = connect(secure(stack, certificate, script).url)
    backends.bus.subscribe(events.append)
    eventually(lambda: ids(events) == ["a-1"])
    began = time.monotonic()
    backends.close()
    assert time.monotonic() - began < 1.0
    eventually(lambda: all(thread.name != "configkit-events" for thread in threading.enumerate()))
