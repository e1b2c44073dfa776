"""Health checks over HTTP, against real servers on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from configkit.errors import InvalidDocumentError
from configkit.models import HealthCheck
from configkit.registry.addresses import AddressPolicy
from configkit.registry.probe import probe, trusted_roots
from configkit.registry.resolver import ForbiddenAddressError, NotResolvedError, Resolver
from tests.unit.registry.servers import Listener, free_port, listening, status


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver(AddressPolicy(loopback=True))
    yield made
    made.close()


@pytest.mark.parametrize("code", [200, 204, 299])
def test_2xx_is_healthy(code: int, resolver: Resolver) -> None:
    with listening(status(code)) as server:
        check = probe("i1", server.url, resolver)
    assert (check.instance_id, check.healthy, check.status_code, check.error) == ("i1", True, code, None)
    assert 0 < check.response_time_ms < 2000


@pytest.mark.parametrize("code", [199, 300, 404, 500, 503])
def test_any_other_status_is_not(code: int, resolver: Resolver) -> None:
    with listening(status(code)) as server:
        check = probe("i1", server.url, resolver)
    assert (check.healthy, check.status_code, check.error) == (False, code, f"status {code}")


def test_the_request_asks_for_the_very_path_and_host(resolver: Resolver) -> None:
    with listening(status(200)) as server:
        probe("i1", f"http://localhost:{server.port}/a/b%20c?d=e&f", resolver)
    head, *headers = server.requests[0].decode().split("\r\n")
    assert head == "GET /a/b%20c?d=e&f HTTP/1.1"
    assert f"Host: localhost:{server.port}" in headers


def test_a_redirect_is_not_followed(resolver: Resolver) -> None:
    with listening(status(200)) as target, listening(status(302, f"Location: {target.url}")) as server:
        check = probe("i1", server.url, resolver)
    assert (check.healthy, check.error) == (False, "status 302")
    assert target.requests == []


def _endless_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def test_an_endless_body_is_not_read(resolver: Resolver) -> None:
    with listening(_endless_body) as server:
        began = time.monotonic()
        check = probe("i1", server.url, resolver)
        took = time.monotonic() - began
    assert check.healthy
    assert took < 1.5


def _drip(part: bytes) -> Callable[[socket.socket], None]:
    pause = threading.Event()

    def answer(connection: socket.socket) -> None:
        while True:
            connection.sendall(part)
            pause.wait(0.02)

    return answer


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["before the status", "after the status"])
def test_headers_that_drip_are_cut_at_the_deadline(start: bytes, resolver: Resolver) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        _drip(b"H")(connection)

    with listening(answer) as server:
        began = time.monotonic()
        check = probe("i1", server.url, resolver, timeout=0.4)
        took = time.monotonic() - began
    assert (check.healthy, check.error) == (False, "timeout")
    assert 0.4 <= took < 1.4


def test_a_server_that_says_nothing_is_cut_at_the_deadline(resolver: Resolver) -> None:
    with listening(lambda connection: connection.settimeout(2) or connection.recv(1)) as server:  # type: ignore[arg-type,func-returns-value]
        check = probe("i1", server.url, resolver, timeout=0.3)
    assert check.error == "timeout"


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\xff" * 100 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70000 + b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 9000],
    ids=["ssh", "no status", "binary", "many headers", "long header", "endless interim answers"],
)  # fmt: skip
def test_an_answer_that_is_no_http_says_so_without_a_word_of_it(answer: bytes, resolver: Resolver) -> None:
    with listening(answer) as server:
        check = probe("i1", server.url, resolver)
    assert (check.healthy, check.status_code, check.error) == (False, None, "no HTTP answer")


def test_a_closed_port_is_refused(resolver: Resolver) -> None:
    assert probe("i1", f"http://127.0.0.1:{free_port()}/", resolver).error == "connection refused"


def test_a_connection_that_is_cut_is_broken(resolver: Resolver) -> None:
    with listening(b"") as server:
        assert probe("i1", server.url, resolver).error == "connection broken"


def test_a_name_that_nobody_knows_is_not_resolved(resolver: Resolver) -> None:
    assert probe("i1", "http://nobody.invalid/health", resolver).error == "name not resolved"


def test_tls_is_verified(resolver: Resolver) -> None:
    with listening(status(200)) as server:
        check = probe("i1", server.url.replace("http:", "https:"), resolver)
    assert (check.healthy, check.error) == (False, "TLS failed")


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's TLS context for `localhost`, whose certificate this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    file = tmp_path / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    trusted_roots.cache_clear()
    yield context
    trusted_roots.cache_clear()


def _over_tls(context: ssl.SSLContext, names: list[str]) -> Callable[[socket.socket], None]:
    context.sni_callback = lambda _stream, name, _context: names.append(name or "")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(65536)
            stream.sendall(status(200))

    return answer


def test_tls_goes_to_the_checked_address_under_the_original_name(certified: ssl.SSLContext, resolver: Resolver) -> None:
    names: list[str] = []
    with listening(_over_tls(certified, names), reads=False) as server:
        assert probe("i1", f"https://localhost:{server.port}/health", resolver).healthy
        wrong = probe("i1", f"https://127.0.0.1:{server.port}/health", resolver)
    assert names[0] == "localhost"
    assert (wrong.healthy, wrong.error) == (False, "certificate not trusted")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_nothing_is_sent_to_a_forbidden_address(host: str) -> None:
    resolver = Resolver(AddressPolicy())
    with listening(status(200)) as server:
        check = probe("i1", f"http://{host}:{server.port}/health", resolver)
        assert (check.healthy, check.error) == (False, "loopback address")
        assert server.requests == []
    resolver.close()


class _Names:
    """A name server that changes its mind: what `socket.getaddrinfo` asks of it, answer after answer."""

    def __init__(self, *answers: str) -> None:
        self.asked = 0
        self._answers = answers

    def __call__(self, host: str, port: int, *args: object, **kwargs: object) -> list[tuple[object, ...]]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        if host == "rebinding.example":
            self.asked += 1
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]


def _check_rebinding(monkeypatch: pytest.MonkeyPatch, policy: AddressPolicy, *answers: str) -> tuple[HealthCheck, Listener, _Names]:
    names = _Names(*answers)
    monkeypatch.setattr(socket, "getaddrinfo", names)
    resolver = Resolver(policy)
    with listening(status(200)) as server:
        check = probe("i1", f"http://rebinding.example:{server.port}/health", resolver, timeout=1.0)
    resolver.close()
    return check, server, names


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    check, server, names = _check_rebinding(monkeypatch, AddressPolicy(loopback=True), "127.0.0.1", "127.99.99.99")
    assert check.healthy
    assert names.asked == 1
    assert f"Host: rebinding.example:{server.port}".encode() in server.requests[0]


def test_a_name_that_comes_to_mean_a_forbidden_address_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    check, server, _ = _check_rebinding(monkeypatch, AddressPolicy(), "127.0.0.1")
    assert (check.healthy, check.error) == (False, "loopback address")
    assert server.requests == []


def test_a_name_with_one_forbidden_address_among_others_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("10.0.0.1", "169.254.169.254")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)
    resolver = Resolver(AddressPolicy())
    with pytest.raises(ForbiddenAddressError, match="metadata address"):
        resolver.resolve("two.example", 80, deadline=1)
    with pytest.raises(InvalidDocumentError) as refused:
        resolver.admit("http://two.example/health")
    assert refused.value.pointer == "/health_check_url"
    resolver.close()


def test_a_name_that_does_not_resolve_is_admitted() -> None:
    resolver = Resolver(AddressPolicy())
    resolver.admit("http://nobody.invalid/health")
    resolver.close()


def test_a_name_server_that_hangs_holds_nobody_longer_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(10) and [])
    resolver = Resolver(AddressPolicy())
    began = time.monotonic()
    with pytest.raises(NotResolvedError):
        resolver.resolve("slow.example", 80, deadline=0.2)
    assert time.monotonic() - began < 1.5
    released.set()
    resolver.close()


def test_what_resolves_to_several_addresses_is_tried_on_each(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(status(200)) as server:
        addresses = (IPv4Address("127.0.0.2"), IPv4Address("127.0.0.1"))
        monkeypatch.setattr(resolver, "resolve", lambda *args, **kwargs: addresses)
        assert probe("i1", f"http://two.example:{server.port}/", resolver).healthy
