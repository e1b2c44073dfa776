"""What the stores make of the server's documents; the rest of their contract is in the conformance suite."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from configkit.errors import AccessDeniedError, InvalidDocumentError, NotFoundError, UnavailableError
from configkit.flags.model import Flag
from configkit.models import ConfigPath, ConfigSelector, Origin, ServiceInstance
from tests.unit.backends.http.conftest import Connect, Serve
from tests.unit.backends.http.servers import Reply, Request, config_document, flag_document

PATH = ConfigPath("development", "asr", "model_path")
ORIGIN = Origin("ann")
MASKED = {"value": None, "masked": True, "is_encrypted": True, "ever_secret": True}


class FlagServer:
    """
    A set of flags in pages, with its counter as tag.

    Attributes:
        changes_after: The counter grows after that many more requests.
    """

    def __init__(self, count: int, *, changes_after: int | None = None, restless: bool = False) -> None:
        self.names = [f"flag-{number:05d}" for number in range(count)]
        self.version = 7
        self.changes_after = changes_after
        self.restless = restless

    def __call__(self, request: Request, reply: Reply) -> None:
        tag = f'"flags:development:{self.version}"'
        limit, offset = (int(request.query[name][0]) for name in ("limit", "offset"))
        if request.headers.get("if-none-match") == tag:
            reply.answer(304, headers={"ETag": tag})
        else:
            items = [flag_document(name) for name in self.names[offset : offset + limit]]
            document = {"items": items, "total": len(self.names), "limit": limit, "offset": offset, "version": self.version}
            reply.json(200, document, {"ETag": tag})
        if self.changes_after is not None:
            self.changes_after -= 1
        if self.changes_after == 0 or self.restless:
            self.version += 1
            self.names = [f"new-{self.version}", *self.names]


def test_a_set_of_many_pages_is_loaded_whole_and_not_again_while_it_is_the_same(serve: Serve, connect: Connect) -> None:
    server = serve(FlagServer(1234))
    store = connect(server.url).flags
    loaded = store.load("development")
    assert loaded is not None
    assert (loaded.version, len(loaded.flags), len(server.requests)) == (7, 1234, 3)
    assert store.load("development", 7) is None
    assert server.requests[3].headers["if-none-match"] == '"flags:development:7"'
    assert store.load("development") is not None
    assert "if-none-match" not in server.requests[4].headers


def test_a_set_that_another_client_knows_is_loaded_once_and_found_the_same(serve: Serve, connect: Connect) -> None:
    server = serve(FlagServer(3))
    assert connect(server.url).flags.load("development", 7) is None
    assert "if-none-match" not in server.requests[0].headers


@pytest.mark.parametrize("changes_after", [1, 2])
def test_a_set_that_changes_between_two_pages_is_loaded_again(serve: Serve, connect: Connect, changes_after: int) -> None:
    server = serve(FlagServer(1001, changes_after=changes_after))
    loaded = connect(server.url).flags.load("development")
    assert loaded is not None
    assert (loaded.version, len(loaded.flags)) == (8, 1002)
    assert "new-8" in loaded.flags


def test_a_set_that_never_holds_still_is_unavailable(serve: Serve, connect: Connect) -> None:
    server = serve(FlagServer(501, restless=True))
    with pytest.raises(UnavailableError):
        connect(server.url, deadline=0.5).flags.load("development")


def test_an_empty_set_is_a_set(serve: Serve, connect: Connect) -> None:
    loaded = connect(serve(FlagServer(0)).url).flags.load("development")
    assert loaded is not None
    assert (loaded.version, dict(loaded.flags)) == (7, {})


@pytest.mark.parametrize("change", [{"version": None}, {"version": "7"}, {"name": None}], ids=str)
def test_a_flag_without_name_or_version_makes_the_set_unavailable(serve: Serve, connect: Connect, change: dict[str, Any]) -> None:
    document = {"items": [flag_document("new_ui") | change], "total": 1, "version": 7}
    with pytest.raises(UnavailableError):
        connect(serve(lambda _, reply: reply.json(200, document)).url).flags.load("development")


@pytest.mark.parametrize("change", [{"rollout_percentage": 101}, {"target_users": None}, {"name": "../x"}], ids=str)
def test_a_flag_that_is_not_as_documented_is_missing_by_itself(serve: Serve, connect: Connect, change: dict[str, Any]) -> None:
    document = {"items": [flag_document("good"), flag_document("new_ui") | change], "total": 2, "version": 7}
    loaded = connect(serve(lambda _, reply: reply.json(200, document)).url).flags.load("development")
    assert loaded is not None
    assert list(loaded.flags) == ["good"]


def test_fields_of_a_newer_server_are_passed_over(serve: Serve, connect: Connect) -> None:
    document = flag_document("new_ui", sparkles={"on": True})
    flag = connect(serve(lambda _, reply: reply.json(200, document)).url).flags.read("development", "new_ui")
    assert (flag.name, flag.rollout_percentage, flag.version) == ("new_ui", 25.0, 1)


def test_a_change_of_a_flag_cannot_pass_for_another_field_of_the_request(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(200, flag_document("new_ui")))
    with pytest.raises(InvalidDocumentError) as caught:
        connect(server.url).flags.update("development", "new_ui", {"expected_version": 3}, origin=ORIGIN)
    assert caught.value.pointer == "/expected_version"
    assert server.requests == []


@pytest.mark.parametrize("name", ["..", "../config/x", "a/b", "a?b", "a%2fb", "", "é"])
def test_a_name_that_is_none_becomes_no_path(serve: Serve, connect: Connect, name: str) -> None:
    server = serve(lambda _, reply: reply.json(200, {}))
    backends = connect(server.url)
    for attempt in (
        lambda: backends.flags.read("development", name),
        lambda: backends.flags.delete("development", name, origin=ORIGIN),
        lambda: backends.flags.update("development", name, {}, origin=ORIGIN),
        lambda: backends.registry.instances(name),
        lambda: backends.registry.heartbeat("asr", name),
        lambda: backends.registry.deregister(name, "one", origin=ORIGIN),
    ):
        with pytest.raises(InvalidDocumentError):
            attempt()
    assert server.requests == []


def test_a_read_asks_for_what_the_store_has(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(200, config_document()))
    read = connect(server.url).config.read(PATH, 3)
    request = server.requests[0]
    assert (read.path, read.value, read.version) == (PATH, "/models/asr", 3)
    assert request.headers["cache-control"] == "no-cache"
    assert request.query == {"environment": ["development"], "service_name": ["asr"], "version": ["3"]}


def test_a_secret_that_may_not_be_read_is_masked(serve: Serve, connect: Connect) -> None:
    read = connect(serve(lambda _, reply: reply.json(200, config_document(**MASKED))).url).config.read(PATH)
    assert (read.value, read.masked, read.is_encrypted, read.ever_secret) == (None, True, True, True)


def test_what_the_caller_wrote_is_answered_in_the_clear_and_is_its_own_copy(serve: Serve, connect: Connect) -> None:
    store = connect(serve(lambda _, reply: reply.json(201, config_document(**MASKED))).url).config
    value = {"key": ["secret"]}
    written = store.create(PATH, value, is_encrypted=True, origin=ORIGIN)
    value["key"].append("changed")
    assert (written.value, written.masked, written.ever_secret) == ({"key": ["secret"]}, False, True)


def revealing_only_to(permitted: bool, document: dict[str, Any]) -> Any:
    def script(request: Request, reply: Reply) -> None:
        wanted = "reveal=true" in request.target or b'"reveal":true' in request.body
        if wanted and not permitted:
            reply.problem(403, "forbidden")
        else:
            reply.json(200, document)

    return script


@pytest.mark.parametrize("permitted", [True, False])
def test_a_whole_service_comes_in_one_answer_and_masked_where_revealing_is_denied(
    serve: Serve, connect: Connect, permitted: bool
) -> None:
    document = {"items": {"model_path": config_document(), "api_key": config_document(key="api_key", **MASKED)}, "missing": []}
    server = serve(revealing_only_to(permitted, document))
    found = connect(server.url).config.read_service("development", "asr")
    assert {key: version.masked for key, version in found.items()} == {"model_path": False, "api_key": True}
    assert len(server.requests) == (1 if permitted else 2)


def test_who_may_not_read_at_all_is_denied(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.problem(403, "forbidden"))
    store = connect(server.url).config
    for attempt in (
        lambda: store.read_service("development", "asr"),
        lambda: store.list(ConfigSelector(), limit=10),
        lambda: store.history(PATH, limit=10),
    ):
        with pytest.raises(AccessDeniedError):
            attempt()


def test_a_long_list_is_put_together_from_the_servers_pages(serve: Serve, connect: Connect) -> None:
    keys = [f"key-{number:04d}" for number in range(1300)]

    def script(request: Request, reply: Reply) -> None:
        limit, offset = (int(request.query[name][0]) for name in ("limit", "offset"))
        assert limit <= 500
        reply.json(200, {"items": [config_document(key=key) for key in keys[offset : offset + limit]], "total": len(keys)})

    server = serve(script)
    store = connect(server.url).config
    page = store.list(ConfigSelector(), limit=1200, offset=50)
    assert [version.path.key for version in page] == keys[50:1250]
    assert (page.total, page.limit, page.offset) == (1300, 1200, 50)
    assert len(store.list(ConfigSelector(), limit=1000, offset=1290)) == 10


def test_a_list_of_nothing_asks_nobody(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(200, {}))
    backends = connect(server.url)
    assert backends.config.list(ConfigSelector(keys=frozenset()), limit=10).total == 0
    assert backends.flags.list(environments=frozenset(), limit=10).total == 0
    assert server.requests == []


def test_services_come_whole_however_many_there_are(serve: Serve, connect: Connect) -> None:
    names = [f"service-{number:04d}" for number in range(700)]

    def script(request: Request, reply: Reply) -> None:
        limit, offset = (int(request.query[name][0]) for name in ("limit", "offset"))
        items = [{"service_name": name, "instances": 2, "healthy": 1} for name in names[offset : offset + limit]]
        reply.json(200, {"items": items, "total": len(names)})

    assert [summary.service_name for summary in connect(serve(script).url).registry.services()] == names


def test_registering_tells_whether_the_instance_is_new(serve: Serve, connect: Connect) -> None:
    instance = {
        "service_name": "asr", "service_url": "http://10.0.0.5:8087", "health_check_url": None, "instance_id": "one",
        "status": "unknown", "weight": 1, "zone": None, "metadata": {"a": "b"}, "registered_at": "2026-01-01T00:00:00Z",
        "last_health_check": None, "expires_at": "2026-01-01T00:00:30+00:00",
    }  # fmt: skip
    server = serve(lambda _, reply: reply.json(201 if len(server.requests) == 1 else 200, instance))
    registry = connect(server.url).registry
    given = ServiceInstance("asr", "http://10.0.0.5:8087", instance_id="one", metadata={"a": "b"})
    (first, is_new), (second, is_new_again) = (registry.register(given, ttl_seconds=30, origin=ORIGIN) for _ in range(2))
    assert (is_new, is_new_again, first == second) == (True, False, True)
    assert first.expires_at is not None
    assert first.expires_at.isoformat() == "2026-01-01T00:00:30+00:00"
    assert server.requests[0].document["ttl_seconds"] == 30


def test_an_instance_that_is_not_listed_is_not_found(serve: Serve, connect: Connect) -> None:
    registry = connect(serve(lambda _, reply: reply.problem(404, "not-found")).url).registry
    with pytest.raises(NotFoundError):
        registry.heartbeat("asr", "one")
    with pytest.raises(NotFoundError):
        registry.deregister("asr", "one", origin=ORIGIN)


@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2}, "\ud800"], ids=["nan", "object", "key", "surrogate"])
def test_what_is_no_json_is_refused_before_anything_is_sent(serve: Serve, connect: Connect, value: object) -> None:
    server = serve(lambda _, reply: reply.json(201, config_document()))
    with pytest.raises(InvalidDocumentError) as caught:
        connect(server.url).config.create(PATH, value, is_encrypted=False, origin=ORIGIN)
    assert caught.value.pointer == "/value"
    assert server.requests == []


def test_a_flag_is_sent_with_every_field(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(201, flag_document("new_ui")))
    connect(server.url).flags.create(Flag("new_ui", "development", "text", True, 12.5, ("u1",)), origin=ORIGIN)
    assert server.requests[0].document == {
        "name": "new_ui", "environment": "development", "description": "text", "is_enabled": True, "rollout_percentage": 12.5,
        "target_users": ["u1"],
    }  # fmt: skip


def test_the_http_client_is_imported_only_when_a_server_is_connected_to() -> None:
    code = "import sys, configkit.backends.http; print([name for name in ('httpx2', 'httpcore2', 'ssl') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.strip() == "[]"
