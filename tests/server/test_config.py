"""Configuration over REST, as the contract says."""

from __future__ import annotations

import httpx2
import pytest

from configkit_server.wire.config import Config, ConfigBulkResult, ConfigHistory, ConfigPage
from tests.server.deployment import CONFIG, PLACE, Deployed, deployed, problem

SECRET = "canary-5f3a"


def read(server: Deployed, key: str, headers: dict[str, str] | None = None, **query: str) -> httpx2.Response:
    return server.http.get(f"{CONFIG}/{key}", params={**PLACE, **query}, headers=headers or {})


def test_a_value_is_created_read_changed_and_deleted(either: Deployed) -> None:
    answer = either.http.post(CONFIG, json={"key": "model", "value": "/m", **PLACE, "comment": "first"})
    assert answer.status_code == 201
    made = Config.model_validate(answer.json())
    assert (made.value, made.version, made.masked, made.is_encrypted, made.comment) == ("/m", 1, False, False, "first")
    assert made.changed_by == "loopback"
    assert either.http.get(answer.headers["location"]).json() == answer.json()
    changed = either.http.put(f"{CONFIG}/model", params=PLACE, json={"value": {"a": [1, None, 2.5]}})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert read(either, "model").json() == changed.json()
    assert either.http.delete(f"{CONFIG}/model", params=PLACE).status_code == 204
    gone = problem(read(either, "model"), 404, "not-found")
    assert (gone["deleted"], gone["version"]) == (True, 2)
    assert either.create("model", 3)["version"] == 3


@pytest.mark.parametrize(
    "value", ["", "text", "ä\u2028😀", 0, -1, 1.5, 1e300, 2**63, True, False, [], {}, [None], {"a": {"b": []}}]
)
def test_any_json_value_but_null_comes_back_as_it_was(either: Deployed, value: object) -> None:
    either.create("a", value)
    found = read(either, "a").json()["value"]
    assert found == value
    assert type(found) is type(value)


def test_creating_what_is_there_is_409(either: Deployed) -> None:
    either.create("a", 1)
    document = problem(either.http.post(CONFIG, json={"key": "a", "value": 2, **PLACE}), 409, "conflict")
    assert document["current_version"] == 1
    assert read(either, "a").json()["value"] == 1


def test_changing_and_deleting_what_is_not_there_is_404(either: Deployed) -> None:
    problem(either.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 1}), 404, "not-found")
    problem(either.http.delete(f"{CONFIG}/a", params=PLACE), 404, "not-found")
    problem(either.http.get(f"{CONFIG}/a/history", params=PLACE), 404, "not-found")
    problem(either.http.post(f"{CONFIG}/a/rollback", params=PLACE, json={"version": 1}), 404, "not-found")


def test_an_old_version_can_be_read_and_rolled_back_to(either: Deployed) -> None:
    either.create("a", "one")
    either.http.put(f"{CONFIG}/a", params=PLACE, json={"value": "two", "comment": "why"})
    assert read(either, "a", version="1").json()["value"] == "one"
    problem(read(either, "a", version="9"), 404, "not-found")
    rolled = either.http.post(f"{CONFIG}/a/rollback", params=PLACE, json={"version": 1, "comment": "back"})
    assert (rolled.status_code, rolled.json()["value"], rolled.json()["version"]) == (200, "one", 3)
    history = ConfigHistory.model_validate(either.http.get(f"{CONFIG}/a/history", params=PLACE).json())
    assert [(entry.version, entry.value, entry.comment) for entry in history.items] == [
        (3, "one", "back"),
        (2, "two", "why"),
        (1, "one", None),
    ]
    assert history.total == 3
    part = either.http.get(f"{CONFIG}/a/history", params={**PLACE, "limit": 1, "offset": 1}).json()
    assert [entry["version"] for entry in part["items"]] == [2]


def test_a_deleted_version_has_no_value_author_or_comment_in_history(either: Deployed) -> None:
    either.create("a", "one", comment="why")
    either.http.delete(f"{CONFIG}/a", params=PLACE)
    (entry,) = either.http.get(f"{CONFIG}/a/history", params=PLACE).json()["items"]
    assert (entry["value"], entry["changed_by"], entry["comment"], entry["deleted"]) == (None, None, None, True)
    problem(either.http.post(f"{CONFIG}/a/rollback", params=PLACE, json={"version": 1}), 404, "not-found")


def test_if_match_guards_changes_and_tells_the_current_version(either: Deployed) -> None:
    either.create("a", 1)
    tag = read(either, "a").headers["etag"]
    assert either.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2}, headers={"If-Match": tag}).status_code == 200
    for method in ("PUT", "DELETE"):
        body = {"value": 3} if method == "PUT" else None
        stale = either.http.request(method, f"{CONFIG}/a", params=PLACE, json=body, headers={"If-Match": tag})
        assert problem(stale, 412, "precondition-failed")["current_version"] == 2
        assert stale.headers["etag"] == read(either, "a").headers["etag"]
    assert read(either, "a").json()["value"] == 2
    current = read(either, "a").headers["etag"]
    several = {"If-Match": f'"x", {tag}, {current}'}
    assert either.http.delete(f"{CONFIG}/a", params=PLACE, headers=several).status_code == 204


@pytest.mark.parametrize("tag", ['W/"asr-service:1"', '"other:1"', '"asr-service:2"', '"1"', '""', '"asr-service:01"'])
def test_a_tag_of_something_else_never_matches(server: Deployed, tag: str) -> None:
    server.create("a", 1)
    answer = server.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2}, headers={"If-Match": tag})
    assert problem(answer, 412)["current_version"] == 1
    assert read(server, "a").json()["value"] == 1


def test_a_malformed_if_match_matches_nothing(server: Deployed) -> None:
    server.create("a", 1)
    answer = server.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2}, headers={"If-Match": "asr-service:1"})
    assert "ETag header as it was received" in problem(answer, 412)["detail"]
    assert read(server, "a").json()["value"] == 1


def test_any_version_matches_a_star_and_none_matches_its_negation(server: Deployed) -> None:
    server.create("a", 1)
    put = {"params": PLACE, "json": {"value": 2}}
    problem(server.http.put(f"{CONFIG}/a", **put, headers={"If-None-Match": "*"}), 412)  # type: ignore[arg-type]
    assert server.http.put(f"{CONFIG}/a", **put, headers={"If-Match": "*"}).status_code == 200  # type: ignore[arg-type]
    problem(server.http.put(f"{CONFIG}/b", **put, headers={"If-None-Match": "*"}), 404)  # type: ignore[arg-type]


def test_expected_version_in_the_body_is_a_precondition(either: Deployed) -> None:
    either.create("a", 1)
    assert either.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2, "expected_version": 1}).status_code == 200
    stale = either.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 3, "expected_version": 1})
    assert problem(stale, 412)["current_version"] == 2
    both = either.http.put(
        f"{CONFIG}/a", params=PLACE, json={"value": 3, "expected_version": 1}, headers={"If-Match": '"asr-service:2"'}
    )
    assert problem(both, 412)["current_version"] == 2


def test_what_is_current_is_304(server: Deployed) -> None:
    server.create("a", 1)
    first = read(server, "a")
    assert first.headers["cache-control"] == "private"
    again = read(server, "a", {"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert read(server, "a", {"If-None-Match": f'"x", W/{first.headers["etag"]}'}).status_code == 304
    server.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2})
    assert read(server, "a", {"If-None-Match": first.headers["etag"]}).status_code == 200


def test_the_tag_says_layer_version_and_masking() -> None:
    with deployed() as server:
        server.create("s", SECRET, is_encrypted=True)
        plain, masked = server.token("config:read", "secrets:read"), server.token("config:read")
        tags = [read(server, "s", headers).headers["etag"] for headers in (plain, masked)]
        assert tags == ['"asr-service:1"', '"asr-service:1:masked"']
        for tag in tags:
            assert read(server, "s", {**masked, "If-None-Match": tag}).status_code == (304 if tag == tags[1] else 200)


def test_layers_lie_over_each_other(either: Deployed) -> None:
    either.create("a", "shared", service_name="_shared")
    problem(read(either, "a"), 404)
    low = read(either, "a", resolve="true")
    assert (low.json()["value"], low.json()["source"], low.headers["etag"]) == ("shared", "_shared", '"_shared:1"')
    either.create("a", "own")
    high = read(either, "a", resolve="true")
    assert (high.json()["value"], high.json()["source"], high.headers["etag"]) == ("own", "asr-service", '"asr-service:1"')
    either.http.delete(f"{CONFIG}/a", params=PLACE)
    assert read(either, "a", resolve="true").json()["value"] == "shared"


def test_a_list_is_filtered_paged_and_counted(either: Deployed) -> None:
    for environment in ("development", "production"):
        for service in ("one", "two"):
            for key in ("a", "b"):
                either.create(key, f"{service}-{key}", environment=environment, service_name=service)
    everything = ConfigPage.model_validate(either.http.get(CONFIG).json())
    assert everything.total == 8
    assert [(item.environment, item.service_name, item.key) for item in everything.items] == sorted(
        (item.environment, item.service_name, item.key) for item in everything.items
    )
    found = either.http.get(CONFIG, params={"environment": "production", "service_name": "two", "keys": ["b", "c"]}).json()
    assert ([item["value"] for item in found["items"]], found["total"]) == (["two-b"], 1)
    assert either.http.get(CONFIG, params={"keys[]": ["a"]}).json()["total"] == 4
    assert either.http.get(CONFIG, params={"environment": ["production", "staging"]}).json()["total"] == 4
    page = either.http.get(CONFIG, params={"limit": 3, "offset": 6}).json()
    assert (len(page["items"]), page["total"], page["limit"], page["offset"]) == (2, 8, 3, 6)


def test_a_bulk_read_gives_what_is_there_and_names_what_is_missing(either: Deployed) -> None:
    either.create("a", 1)
    either.create("s", SECRET, is_encrypted=True)
    either.create("x", "shared", service_name="_shared")
    either.create("a", "under", service_name="_shared")
    answer = either.http.post(f"{CONFIG}/bulk", json={**PLACE, "keys": ["a", "s", "x", "nope"]})
    found = ConfigBulkResult.model_validate(answer.json())
    assert (sorted(found.items), found.missing) == (["a", "s"], ["nope", "x"])
    assert found.items["s"].masked
    layered = either.http.post(f"{CONFIG}/bulk", json={**PLACE, "resolve": True, "reveal": True}).json()
    assert {key: (item["value"], item["source"]) for key, item in layered["items"].items()} == {
        "a": (1, "asr-service"), "s": (SECRET, "asr-service"), "x": ("shared", "_shared"),
    }  # fmt: skip
    assert layered["missing"] == []


def test_a_secret_is_masked_everywhere_unless_asked_for(either: Deployed) -> None:
    made = either.http.post(CONFIG, json={"key": "s", "value": SECRET, **PLACE, "is_encrypted": True})
    put = either.http.put(f"{CONFIG}/s", params=PLACE, json={"value": SECRET + "2"})
    rolled = either.http.post(f"{CONFIG}/s/rollback", params=PLACE, json={"version": 1})
    listed = either.http.get(CONFIG)
    history = either.http.get(f"{CONFIG}/s/history", params=PLACE)
    for answer in (made, put, rolled, listed, history):
        assert answer.is_success
        assert SECRET not in answer.text
    assert made.json()["masked"] is True
    assert made.json()["value"] is None
    assert read(either, "s").json()["value"] == SECRET
    assert either.http.get(CONFIG, params={"reveal": "true"}).json()["items"][0]["value"] == SECRET
    shown = either.http.get(f"{CONFIG}/s/history", params={**PLACE, "reveal": "true"}).json()["items"]
    assert [entry["value"] for entry in shown] == [SECRET, SECRET + "2", SECRET]


def test_reading_a_secret_is_journalled_before_it_is_shown(either: Deployed) -> None:
    either.create("s", SECRET, is_encrypted=True)
    assert read(either, "s").json()["value"] == SECRET
    journal = either.kit.backends.journal
    assert journal is not None
    entry = next(entry for entry in journal.entries(limit=10) if entry.action == "read")
    assert entry.subject == "development/asr-service/s"
    assert (entry.origin.changed_by, entry.origin.source) == ("loopback", "rest 127.0.0.1")
    either.http.get(CONFIG)
    assert sum(entry.action == "read" for entry in journal.entries(limit=10)) == 1


def test_a_key_that_was_secret_once_stays_masked(either: Deployed) -> None:
    either.create("s", "plain")
    either.http.put(f"{CONFIG}/s", params=PLACE, json={"value": SECRET, "is_encrypted": True})
    either.http.put(f"{CONFIG}/s", params=PLACE, json={"value": "plain again", "is_encrypted": False})
    listed = either.http.get(CONFIG).json()["items"][0]
    assert (listed["value"], listed["masked"], listed["is_encrypted"]) == (None, True, False)
    assert all(entry["masked"] for entry in either.http.get(f"{CONFIG}/s/history", params=PLACE).json()["items"])


def test_no_cache_reads_the_store(server: Deployed) -> None:
    server.create("a", 1)
    read(server, "a")
    assert read(server, "a", {"Cache-Control": "no-cache"}).json()["version"] == 1
    assert read(server, "a", {"Cache-Control": "max-age=0, No-Cache"}).status_code == 200


def test_head_answers_as_get_without_the_body(server: Deployed) -> None:
    server.create("a", 1)
    full, head = read(server, "a"), server.http.head(f"{CONFIG}/a", params=PLACE)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type"):
        assert head.headers[name] == full.headers[name]
