"""The real Curator on a JVM finds what is registered here, and is found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scripts.services import MissingSoftwareError, java
from scripts.services.provision import cached, run

from tests.unit.backends.zookeeper import zoo
from tests.unit.backends.zookeeper.test_curator import WRITTEN_BY_CURATOR
from tests.unit.backends.zookeeper.zoo import ORIGIN, instance

_FOLDER = Path(__file__).parent / "jvm"
_POM = _FOLDER / "pom.xml"


@pytest.fixture(scope="module")
def curator() -> Path:
    """Return the folder with Curator's archives, downloading them where CI is true."""
    try:
        if (found := cached("curator", [_POM])) is not None:
            java.JAVA.path()
            return found
        if os.environ.get("CI") != "true":
            pytest.skip("Curator's archives are not here: CI=true downloads them")
        return _download()
    except MissingSoftwareError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


def _download() -> Path:
    def copy(folder: Path) -> None:
        command = [java.MAVEN.path(), "dependency:copy-dependencies", "-q", "-B", "-f", str(_POM), f"-DoutputDirectory={folder}"]
        run(command, "downloading Curator with Maven")

    found = cached("curator", [_POM], copy)
    assert found is not None
    return found


class Peer:
    """The service on the JVM."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self.read() == "registered"

    def ask(self, question: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def path(curator: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the class path of the compiled peer."""
    classes = tmp_path_factory.mktemp("classes")
    libraries = ":".join(str(archive) for archive in curator.glob("*.jar"))
    compiler = [java.JAVA.path(), "-cp", libraries, "org.eclipse.jdt.internal.compiler.batch.Main", "-17", "-nowarn"]
    run([*compiler, "-d", str(classes), "-cp", libraries, str(_FOLDER / "Peer.java")], "compiling the peer")
    return f"{classes}:{libraries}"


@contextmanager
def peer(path: str, at: str, base: str) -> Iterator[Peer]:
    command = [java.JAVA.path(), "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", path, "Peer", at, base]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Peer(process)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@pytest.mark.timeout(180)
def test_the_real_curator_and_this_registry_find_each_other(path: str) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with peer(path, at, base) as jvm, zoo.registry(at, base) as registry, zoo.plain(at) as client:
        written = client.get(f"{base}/svc/jvm-1")[0]
        assert written == WRITTEN_BY_CURATOR.replace(b'"java"', b'"svc"').replace(b"j-1", b"jvm-1"), (
            "as the tests believe it writes"
        )
        assert [(one.instance_id, one.service_url) for one in registry.instances("svc")] == [("jvm-1", "http://127.0.0.1:9000")]

        registry.register(instance("a", zone="eu", metadata={"größe": "✓"}), ttl_seconds=60, origin=ORIGIN)
        registry.register(instance("b", service_url="https://10.0.0.5:8443/base?x=1"), ttl_seconds=60, origin=ORIGIN)
        registry.register(instance("c", service_url="http://[2001:db8::1]/"), ttl_seconds=60, origin=ORIGIN)
        told = jvm.ask("any svc").split(";")
        assert [one.split(" ")[:2] for one in told if one] == [
            ["a", "http://10.0.0.5:8087"],
            ["b", "https://10.0.0.5:8443/base?x=1"],
            ["c", "http://[2001:db8::1]/"],
            ["jvm-1", "http://127.0.0.1:9000"],
        ]
        assert "größe=✓" in told[0]
        assert jvm.ask("any absent") == ""


@pytest.mark.timeout(180)
def test_a_typed_reader_on_the_jvm_needs_the_class_it_expects(path: str) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with (
        peer(path, at, base) as jvm,
        zoo.registry(at, base, payload_class="Peer$Typed") as typed,
        zoo.registry(at, base) as plain,
    ):
        typed.register(instance("a", "typed", metadata={"k": "v"}, weight=3), ttl_seconds=60, origin=ORIGIN)
        assert jvm.ask("typed typed") == "a typed{k=v};"
        assert [one.weight for one in plain.instances("typed")] == [3]
        plain.register(instance("a", "plain"), ttl_seconds=60, origin=ORIGIN)
        assert "ClassCastException" in jvm.ask("typed plain")
