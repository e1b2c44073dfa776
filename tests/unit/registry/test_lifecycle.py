"""Self-registration within one process: as a context manager, on functions, on applications, through outages."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from configkit.backends.memory import open_memory
from configkit.errors import (
    AccessDeniedError,
    ClosedError,
    ConfigKitError,
    InvalidDocumentError,
    NotFoundError,
    UnavailableError,
)
from configkit.models import Origin, ServiceInstance
from configkit.ports import Backends, ServiceRegistryClient
from configkit.registry.lifecycle import Registrar
from configkit.registry.selfcheck import SelfCheck
from tests.unit.registry.servers import free_port, listening, status
from tests.waiting import eventually

URL = "http://10.0.0.5:8087"
ORIGIN = Origin("asr")
GONE = UnavailableError("gone", backend="test", operation="register")


class Watched:
    """A registry that counts, and fails when told to."""

    def __init__(self, registry: ServiceRegistryClient) -> None:
        self.registry = registry
        self.error: ConfigKitError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.done: list[str] = []

    def _step(self, action: str) -> None:
        self.gate.wait(10)
        if self.error:
            raise self.error
        self.done.append(action)

    def register(self, instance: ServiceInstance, **options: Any) -> tuple[ServiceInstance, bool]:
        self._step("register")
        return self.registry.register(instance, **options)

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        self._step("heartbeat")
        return self.registry.heartbeat(service_name, instance_id)

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        self._step("deregister")
        self.registry.deregister(service_name, instance_id, origin=origin)

    def listed(self) -> list[ServiceInstance]:
        return self.registry.instances("asr")


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = open_memory(threads=False)
    yield made
    made.close()


@pytest.fixture
def registry(backends: Backends) -> Iterator[Watched]:
    made = Watched(backends.registry)
    yield made
    made.gate.set()


@pytest.fixture
def registrar(registry: Watched) -> Iterator[Registrar]:
    made = registrar_of(registry)
    yield made
    registry.gate.set()
    made.close()


def registrar_of(registry: Watched, **options: Any) -> Registrar:
    return Registrar(registry, service_name="asr", origin=ORIGIN, **options)  # type: ignore[arg-type]


def test_it_is_listed_inside_the_block_and_gone_behind_it(registrar: Registrar, registry: Watched) -> None:
    with registrar.register(url=URL, weight=3, zone="east", metadata={"gpu": "yes"}) as registration:
        assert registration.registered
        (listed,) = registry.listed()
    assert (listed.service_url, listed.weight, listed.zone, dict(listed.metadata)) == (URL, 3, "east", {"gpu": "yes"})
    assert listed.expires_at is not None
    assert registry.listed() == []
    assert registry.done == ["register", "deregister"]


def test_its_lease_is_so_short_that_a_killed_process_is_gone_within_seven_seconds(registrar: Registrar, registry: Watched) -> None:
    with registrar.register(url=URL, health_check_url=f"{URL}/health"):
        (listed,) = registry.listed()
    assert listed.registered_at is not None
    assert listed.expires_at is not None
    assert (listed.expires_at - listed.registered_at).total_seconds() <= 5.1


def test_names_come_from_the_client_unless_given(registry: Watched) -> None:
    registrar = registrar_of(registry, default_instance_id="pod-7")
    with registrar.register(url=URL), registrar.register(url=URL, service_name="other", instance_id="pod-8"):
        assert [one.instance_id for one in registry.listed()] == ["pod-7"]
        assert [one.instance_id for one in registry.registry.instances("other")] == ["pod-8"]
    registrar.close()


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [({"url": "ftp://x"}, "/service_url"), ({"service_name": "Bad"}, "/service_name"), ({"weight": -1}, "/weight"), ({"ttl_seconds": 1}, "/ttl_seconds"),
     ({"health_check_url": "x"}, "/health_check_url"), ({"wait_until_healthy": True}, "/health_check_url"), ({"instance_id": ".."}, "/instance_id")],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_before_anything_runs(registrar: Registrar, fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidDocumentError) as refused:
        registrar.register(**{"url": URL, **fields})
    assert refused.value.pointer == pointer


def test_a_client_without_a_service_must_be_told_one(registry: Watched) -> None:
    nameless = Registrar(registry, service_name=None, origin=ORIGIN)  # type: ignore[arg-type]
    with pytest.raises(InvalidDocumentError) as refused:
        nameless.register(url=URL)
    assert refused.value.pointer == "/service_name"


def test_a_function_is_registered_while_it_runs(registrar: Registrar, registry: Watched) -> None:
    @registrar.register(url=URL)
    def main(first: int, *, second: int) -> int:
        """Say something."""
        assert len(registry.listed()) == 1
        return first + second

    assert registry.listed() == []
    assert main(1, second=2) == 3
    assert registry.listed() == []
    assert main.__doc__ == "Say something."


def test_a_function_that_raises_is_deregistered_and_its_error_passes(registrar: Registrar, registry: Watched) -> None:
    @registrar.register(url=URL)
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        main()
    assert registry.listed() == []


def test_an_async_function_is_registered_while_it_runs_and_when_it_is_cancelled(registrar: Registrar, registry: Watched) -> None:
    seen: list[int] = []

    @registrar.register(url=URL)
    async def main(running: asyncio.Event) -> None:
        seen.append(len(registry.listed()))
        running.set()
        await asyncio.Event().wait()

    async def run() -> None:
        running = asyncio.Event()
        task = asyncio.create_task(main(running))
        await running.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert seen == [1]
    assert registry.listed() == []


def test_an_async_function_behind_a_plain_wrapper_is_registered_while_it_is_awaited(
    registrar: Registrar, registry: Watched
) -> None:
    async def work() -> int:
        return len(registry.listed())

    @registrar.register(url=URL)
    @functools.wraps(work)
    def wrapped() -> Any:
        return work()

    assert asyncio.run(wrapped()) == 1
    assert registry.listed() == []


def test_an_async_block_does_not_hold_up_the_event_loop(registrar: Registrar, registry: Watched) -> None:
    async def run() -> int:
        registry.gate.clear()
        asyncio.get_running_loop().call_later(0.05, registry.gate.set)
        async with registrar.register(url=URL) as registration:
            assert registration.registered
            return len(registry.listed())

    assert asyncio.run(run()) == 1
    assert registry.listed() == []


def test_uses_at_once_are_one_registration_until_the_last_ends(registrar: Registrar, registry: Watched) -> None:
    presence = registrar.register(url=URL)
    with presence as first:
        with presence as second:
            assert first is second
        assert len(registry.listed()) == 1
    assert registry.done == ["register", "deregister"]
    with presence:
        assert len(registry.listed()) == 1


@pytest.mark.parametrize("target", [int, 3, iter([1])], ids=["class", "value", "iterator"])
def test_what_does_not_run_cannot_be_registered(registrar: Registrar, target: Any) -> None:
    with pytest.raises(TypeError):
        registrar.register(url=URL)(target)


def test_a_generator_function_cannot_be_registered(registrar: Registrar) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="inside it"):
        registrar.register(url=URL)(numbers)


class Recorded:
    """An application's lifespan that notes how many are listed at each step."""

    def __init__(self, registry: Watched) -> None:
        self.registry = registry
        self.steps: list[tuple[str, int]] = []

    def note(self, step: str) -> None:
        self.steps.append((step, len(self.registry.listed())))

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, str]]:
        self.note("starting")
        yield {"greeting": "hello"}
        self.note("stopping")

    def app(self, **options: Any) -> Starlette:
        async def answer(request: Request) -> PlainTextResponse:
            return PlainTextResponse(request.state.greeting)

        return Starlette(routes=[Route("/", answer)], **options)


def listed_soon(registry: Watched) -> Callable[[], bool]:
    return lambda: len(registry.listed()) == 1


def test_an_application_is_listed_after_its_start_up_and_gone_before_its_shut_down(registrar: Registrar, registry: Watched) -> None:
    recorded = Recorded(registry)
    app = recorded.app(lifespan=recorded.lifespan)
    wrapped = registrar.register(url=f"http://127.0.0.1:{free_port()}")(app)
    assert wrapped.routes is app.routes
    with TestClient(wrapped) as client:
        eventually(listed_soon(registry))
        assert client.get("/").text == "hello"
    assert recorded.steps == [("starting", 0), ("stopping", 0)]
    assert registry.listed() == []


@pytest.mark.parametrize("decorated", [True, False])
def test_a_lifespan_function_registers_its_application(registrar: Registrar, registry: Watched, decorated: bool) -> None:
    recorded = Recorded(registry)

    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        async with recorded.lifespan(app) as state:
            yield state

    wrapped = registrar.register(url=URL)(asynccontextmanager(lifespan) if decorated else lifespan)
    with TestClient(recorded.app(lifespan=wrapped)) as client:
        eventually(listed_soon(registry))
        assert client.get("/").text == "hello"
    assert recorded.steps == [("starting", 0), ("stopping", 0)]
    assert registry.listed() == []


def test_an_application_whose_start_up_fails_is_never_listed(registrar: Registrar, registry: Watched) -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no model")
        yield

    wrapped = registrar.register(url=URL)(Starlette(lifespan=lifespan))
    with pytest.raises(RuntimeError, match="no model"), TestClient(wrapped):
        pass
    assert registry.done == []


def test_a_plain_asgi_function_is_an_application(registrar: Registrar, registry: Watched) -> None:
    @registrar.register(url=URL)
    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with TestClient(app):
        eventually(listed_soon(registry))
    assert registry.listed() == []


def test_an_application_is_listed_only_once_its_port_accepts_connections(registrar: Registrar, registry: Watched) -> None:
    with listening(status(200)) as server:
        presence = registrar.register(url=f"http://127.0.0.1:{server.port}")
        presence.enter_soon()
        eventually(listed_soon(registry), timeout=0.8)
        presence.__exit__()
    presence = registrar.register(url=f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    presence.enter_soon()
    eventually(listed_soon(registry))
    assert time.monotonic() - began > 0.9
    presence.__exit__()


def test_it_waits_until_it_is_healthy(registrar: Registrar, registry: Watched) -> None:
    codes = [503, 503, 200]
    listed: list[int] = []

    def answer(connection: Any) -> None:
        listed.append(len(registry.listed()))
        connection.sendall(status(codes[min(len(listed), 3) - 1]))

    with listening(answer) as server, registrar.register(url=URL, health_check_url=server.url, wait_until_healthy=True):
        eventually(listed_soon(registry))
    assert listed == [0, 0, 0]


def test_it_waits_until_the_application_says_that_it_is_ready(registrar: Registrar, registry: Watched) -> None:
    ready = threading.Event()
    with registrar.register(url=URL, ready=ready.is_set) as registration:
        assert not registration.registered
        ready.set()
        eventually(lambda: registration.registered)
    assert registry.done == ["register", "deregister"]


def test_what_was_never_ready_was_never_listed(registrar: Registrar, registry: Watched) -> None:
    with registrar.register(url=URL, ready=lambda: False):
        pass
    assert registry.done == []


def test_a_registry_that_is_down_stops_nobody_and_is_told_when_it_is_back(registrar: Registrar, registry: Watched) -> None:
    registry.error = GONE
    began = time.monotonic()
    with registrar.register(url=URL) as registration:
        assert time.monotonic() - began < 0.9
        assert not registration.registered
        registry.error = None
        eventually(listed_soon(registry))
    assert registry.listed() == []


def test_a_registry_that_hangs_holds_the_start_for_a_second_and_the_end_for_another(
    registrar: Registrar, registry: Watched
) -> None:
    registry.gate.clear()
    began = time.monotonic()
    with registrar.register(url=URL):
        assert 0.9 < time.monotonic() - began < 1.8
    assert time.monotonic() - began < 3.5


@pytest.mark.parametrize(
    "error", [AccessDeniedError("no", backend="test", operation="register"), InvalidDocumentError("no", pointer="/x")]
)
def test_a_refusal_at_the_start_is_raised(registrar: Registrar, registry: Watched, error: ConfigKitError) -> None:
    registry.error = error
    with pytest.raises(type(error)), registrar.register(url=URL):
        pass


def test_a_lost_lease_is_registered_again(registrar: Registrar, registry: Watched, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "configkit.registry"), registrar.register(url=URL) as registration:
        registry.registry.deregister("asr", registration.instance.instance_id, origin=ORIGIN)
        eventually(listed_soon(registry))
        assert registry.done == ["register", "heartbeat", "register"]
    assert "had lost its lease" in caplog.text


def test_heartbeats_keep_the_lease_beyond_its_length_and_through_a_short_outage(registrar: Registrar, registry: Watched) -> None:
    with registrar.register(url=URL, ttl_seconds=5):
        eventually(lambda: registry.done.count("heartbeat") == 1, timeout=3)
        registry.error = GONE
        end = time.monotonic() + 2
        eventually(lambda: time.monotonic() > end)
        registry.error = None
        eventually(lambda: registry.done.count("heartbeat") == 3, timeout=5)
        assert len(registry.listed()) == 1
        assert registry.done.count("register") == 1


def test_switched_off_it_does_nothing_and_says_so_once(registry: Watched, caplog: pytest.LogCaptureFixture) -> None:
    registrar = registrar_of(registry, enabled=False)
    for _ in range(2):
        with registrar.register(url=URL) as registration:
            assert not registration.registered
    registrar.close()
    assert registry.done == []
    assert [record.getMessage() for record in caplog.records] == ["SERVICE_REGISTRY_ENABLED is false: asr is not registered"]


def test_closing_deregisters_everything_and_nothing_can_be_registered_any_more(registry: Watched) -> None:
    registrar = registrar_of(registry)
    registrar.register(url=URL, instance_id="a").__enter__()
    registrar.register(url=URL, instance_id="b").__enter__()
    registrar.close()
    assert registry.listed() == []
    with pytest.raises(ClosedError):
        registrar.register(url=URL).__enter__()


def test_without_threads_it_is_registered_in_the_callers_own(registry: Watched) -> None:
    registrar = registrar_of(registry, threads=False)
    before = threading.active_count()
    with registrar.register(url=URL, wait_until_healthy=True, health_check_url=URL):
        assert threading.active_count() == before
        assert len(registry.listed()) == 1
    assert registry.listed() == []
    presence = registrar.register(url=URL)
    presence.__enter__()
    registrar.close()
    assert registry.listed() == []


def test_somebody_elses_sigterm_handler_stays(registrar: Registrar) -> None:
    def handler(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with registrar.register(url=URL):
            assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_default_action_of_sigterm_is_back_afterwards(registrar: Registrar) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with registrar.register(url=URL):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_instance_that_somebody_else_removed_leaves_without_a_word(registrar: Registrar, registry: Watched) -> None:
    with registrar.register(url=URL) as registration:
        registry.registry.deregister("asr", registration.instance.instance_id, origin=ORIGIN)
    with pytest.raises(NotFoundError):
        registry.registry.heartbeat("asr", registration.instance.instance_id)


def test_where_no_server_is_it_records_its_own_health(backends: Backends, registry: Watched) -> None:
    codes = {"now": 503}
    asked: list[int] = []

    def answer(connection: Any) -> None:
        asked.append(codes["now"])
        connection.sendall(status(codes["now"]))

    registrar = registrar_of(registry, records=backends.records)
    with listening(answer) as server, registrar.register(url=URL, health_check_url=server.url):
        eventually(lambda: len(asked) >= 2)
        assert [one.status for one in registry.listed()] == ["unknown"]
        codes["now"] = 200
        eventually(lambda: registry.listed()[0].available)
    assert registry.listed() == []
    registrar.close()


def test_one_bad_check_of_itself_is_forgiven_and_two_are_not(backends: Backends, registry: Watched) -> None:
    instance = ServiceInstance("asr", URL, f"http://127.0.0.1:{free_port()}/")
    backends.registry.register(instance, ttl_seconds=30, origin=ORIGIN)
    assert backends.records is not None
    with listening(status(200)) as server:
        check = SelfCheck(backends.records, replace(instance, health_check_url=server.url), interval=0)
        check.check_if_due()
        assert not check.starting
    check.check_if_due()
    assert registry.listed()[0].status == "healthy"
    check.check_if_due()
    assert registry.listed()[0].status == "unhealthy"


def test_its_own_health_is_not_checked_again_before_the_interval_is_over(backends: Backends) -> None:
    instance = ServiceInstance("asr", URL)
    assert backends.records is not None
    with listening(status(200)) as server:
        check = SelfCheck(backends.records, replace(instance, health_check_url=server.url), interval=60)
        for _ in range(3):
            check.check_if_due()
        assert len(server.requests) == 1
        check.restart()
        check.check_if_due()
        assert len(server.requests) == 2
