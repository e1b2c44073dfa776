"""Against the server itself, in a process of its own that is killed; and in a process that was forked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from configkit.backends.http import open_http
from configkit.backends.memory import open_memory
from configkit.client import ConfigKit
from configkit.errors import ConfigKitError, UnavailableError
from configkit.flags.model import Flag
from configkit.models import ConfigChanged, ConfigPath, Event, Origin, Resync, ServiceInstance
from configkit.ports import Backends
from configkit_server import TokenAuth, create_app
from configkit_server.serving import serving
from tests.unit.backends.http.conftest import Connect, Serve
from tests.unit.backends.http.servers import Reply, Request, config_document
from tests.waiting import eventually

# Python 3.12 and later warn of every fork beside a thread, which is what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

ORIGIN = Origin("ann")


def path(key: str) -> ConfigPath:
    return ConfigPath("development", "asr", key)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def server_process(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONFIGKIT_")}
    environment |= {
        "CONFIGKIT_MODE": "embedded",
        "CONFIGKIT_DATABASE_URL": f"sqlite:///{folder}/configkit.db",
        "CONFIGKIT_MASTER_KEY": "remote-backend" * 4,
    }
    command = [sys.executable, "-m", "uvicorn", "configkit_server.main:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def answers(backends: Backends) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            backends.ping["server"]()
        except UnavailableError:
            return False
        return True

    return asked


def changed(events: list[Event]) -> set[str]:
    return {event.path.key for event in events if isinstance(event, ConfigChanged)}


def test_a_killed_server_that_returns_is_followed_again_and_everything_is_read_again(tmp_path: Path, connect: Connect) -> None:
    port = free_port()
    backends = connect(f"http://127.0.0.1:{port}", poll=0.5)
    events: list[Event] = []
    with server_process(port, tmp_path) as process:
        eventually(answers(backends), timeout=30)
        backends.bus.subscribe(events.append)
        backends.config.create(path("before"), 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: "before" in changed(events))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        eventually(lambda: not answers(backends)())
    with server_process(port, tmp_path):
        eventually(answers(backends), timeout=30)
        written = backends.config.create(path("after"), 2, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: any(isinstance(event, Resync) for event in events), timeout=10)
        known = len(events)

        def told() -> bool:
            backends.config.update(path("before"), len(events), origin=ORIGIN)
            return "before" in changed(events[known:])

        eventually(told, timeout=10, every=0.1)
        assert backends.config.read(path("after")) == written
        assert backends.config.history(path("before"), limit=500).items[-1].value == 1
        backends.close()


class LosesAnswers:
    """A proxy that hands every request to the server, and the answers of the first *lost* changes to nobody."""

    def __init__(self, url: str, lost: int) -> None:
        self.address = urlsplit(url).netloc
        self.lost = lost

    def __call__(self, request: Request, reply: Reply) -> None:
        with closing(HTTPConnection(self.address, timeout=5)) as connection:
            connection.request(request.method, request.target, request.body, dict(request.headers))
            answer = connection.getresponse()
            body = answer.read()
        if request.method != "GET" and self.lost:
            self.lost -= 1
            reply.close()
        else:
            reply.answer(answer.status, body, {name: value for name, value in answer.getheaders() if name != "content-length"})


@pytest.mark.parametrize("lost", [1, 2])
def test_a_change_whose_answers_are_lost_is_carried_out_once(stack: ExitStack, serve: Serve, connect: Connect, lost: int) -> None:
    kit = stack.enter_context(ConfigKit(open_memory()))
    proxy = LosesAnswers(stack.enter_context(serving(create_app(kit, auth=TokenAuth(kit.backends.tokens)))), lost)
    backends = connect(serve(proxy).url)
    flag = Flag("new_ui", "staging")
    registry = ServiceInstance("asr", "http://10.0.0.5:8087")
    for change, version in (
        (lambda: backends.config.create(path("once"), 1, is_encrypted=False, origin=ORIGIN).version, 1),
        (lambda: backends.config.update(path("once"), 2, origin=ORIGIN, expected_version=1).version, 2),
        (lambda: backends.config.rollback(path("once"), 1, origin=ORIGIN).version, 3),
        (lambda: backends.config.delete(path("once"), origin=ORIGIN), 3),
        (lambda: backends.flags.create(flag, origin=ORIGIN).version, 1),
        (lambda: backends.flags.update("staging", "new_ui", {"is_enabled": True}, origin=ORIGIN).version, 2),
        (lambda: backends.flags.delete("staging", "new_ui", origin=ORIGIN), None),
        (lambda: backends.registry.register(registry, ttl_seconds=30, origin=ORIGIN)[1], True),
        (lambda: backends.registry.deregister("asr", registry.instance_id, origin=ORIGIN), None),
    ):
        proxy.lost = lost
        assert change() == version
        assert proxy.lost == 0
    assert backends.config.history(path("once"), limit=10).total == 3
    flags = backends.flags.load("staging")
    assert flags is not None
    assert flags.version == 3


def in_a_child(act: Callable[[], None]) -> int:
    """Run *act* in a forked child and return its exit status."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:  # noqa: BLE001  the child must not go on into the tests
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_after_a_fork_the_child_has_connections_of_its_own_and_the_parents_go_on(serve: Serve, connect: Connect) -> None:
    server = serve(
        lambda request, reply: reply.begin_events() if "events" in request.target else reply.json(200, config_document())
    )
    backends = connect(server.url)
    events: list[Event] = []
    unsubscribe = backends.bus.subscribe(events.append)
    assert backends.config.read(path("model_path")).version == 3
    before = server.connections

    def child() -> None:
        backends.after_fork()
        unsubscribe()
        assert backends.config.read(path("model_path")).version == 3
        backends.bus.subscribe(lambda _: None)
        backends.close()

    assert in_a_child(child) == 0
    assert server.connections == before + 2
    assert backends.config.read(path("model_path")).version == 3
    assert server.connections == before + 2


def test_a_fork_in_the_middle_of_a_call_does_not_hold_the_child_up(serve: Serve, connect: Connect) -> None:
    server = serve(
        lambda _, reply: reply.wait_for_the_other_end() if len(server.requests) == 1 else reply.json(200, config_document())
    )
    backends = connect(server.url, deadline=20.0)

    def read() -> None:
        try:
            backends.config.read(path("model_path"))
        except ConfigKitError:
            return

    waiting = threading.Thread(target=read)
    waiting.start()
    eventually(lambda: server.requests)

    def child() -> None:
        backends.after_fork()
        assert backends.config.read(path("model_path")).version == 3
        backends.close()

    assert in_a_child(child) == 0
    backends.close()
    waiting.join(5)
    assert not waiting.is_alive()


@pytest.mark.timeout(60)
def test_a_service_of_more_than_one_answer_can_hold_is_read_in_parts() -> None:
    backends = open_memory()
    text = "x" * (512 * 1024 - 2)
    for number in range(140):
        backends.config.create(path(f"k{number}"), text, is_encrypted=False, origin=ORIGIN)
    kit = ConfigKit(backends)
    with (
        closing(kit),
        serving(create_app(kit, auth=TokenAuth(backends.tokens))) as url,
        ConfigKit(open_http(url, deadline=30.0), service_name="asr", deadline=30.0) as remote,
    ):
        assert eventually(lambda: remote.status().ready, timeout=30)
        found = remote.backends.config.read_service("development", "asr")
    assert len(found) == 140
    assert all(document.value == text for document in found.values())
