"""Feature flags over REST, as the contract says."""

from __future__ import annotations

import pytest

from configkit_server.wire.flags import FeatureFlag, FlagEvaluation, FlagPage
from tests.server.deployment import FLAGS, Deployed, problem

DEVELOPMENT = {"environment": "development"}


def create(server: Deployed, name: str, **fields: object) -> dict[str, object]:
    answer = server.http.post(FLAGS, json={"name": name, "environment": "development", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def evaluate(server: Deployed, **question: object) -> dict[str, object]:
    answer = server.http.post(f"{FLAGS}/evaluate", json={**DEVELOPMENT, **question})
    assert answer.status_code == 200, answer.text
    FlagEvaluation.model_validate(answer.json())
    decided: dict[str, object] = answer.json()
    return decided


def test_a_flag_is_created_read_changed_and_removed(either: Deployed) -> None:
    answer = either.http.post(FLAGS, json={"name": "new_ui", "environment": "development"})
    made = FeatureFlag.model_validate(answer.json())
    assert (made.is_enabled, made.rollout_percentage, made.target_users, made.version) == (False, 0.0, [], 1)
    assert either.http.get(answer.headers["location"]).json() == answer.json()
    change = {"is_enabled": True, "rollout_percentage": 12.345, "target_users": ["u1", "u2", "u1"], "description": "d"}
    changed = either.http.put(f"{FLAGS}/new_ui", params=DEVELOPMENT, json=change).json()
    assert (changed["version"], changed["rollout_percentage"], changed["target_users"]) == (2, 12.345, ["u1", "u2"])
    kept = either.http.put(f"{FLAGS}/new_ui", params=DEVELOPMENT, json={"target_users": None}).json()
    assert (kept["target_users"], kept["rollout_percentage"], kept["is_enabled"]) == ([], 12.345, True)
    assert either.http.get(f"{FLAGS}/new_ui", params=DEVELOPMENT).json() == kept
    assert either.http.delete(f"{FLAGS}/new_ui", params=DEVELOPMENT).status_code == 204
    problem(either.http.get(f"{FLAGS}/new_ui", params=DEVELOPMENT), 404, "not-found")
    problem(either.http.delete(f"{FLAGS}/new_ui", params=DEVELOPMENT), 404, "not-found")
    problem(either.http.put(f"{FLAGS}/new_ui", params=DEVELOPMENT, json={}), 404, "not-found")


def test_a_flag_is_unique_within_its_environment(either: Deployed) -> None:
    create(either, "a")
    problem(either.http.post(FLAGS, json={"name": "a", "environment": "development"}), 409, "conflict")
    assert either.http.post(FLAGS, json={"name": "a", "environment": "staging"}).status_code == 201
    assert either.http.get(FLAGS).json()["total"] == 2


def test_preconditions_guard_a_flag(either: Deployed) -> None:
    create(either, "a")
    first = either.http.get(f"{FLAGS}/a", params=DEVELOPMENT)
    assert either.http.get(f"{FLAGS}/a", params=DEVELOPMENT, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    fresh = {"If-Match": first.headers["etag"]}
    assert either.http.put(f"{FLAGS}/a", params=DEVELOPMENT, json={"is_enabled": True}, headers=fresh).status_code == 200
    for method, body in (("PUT", {"is_enabled": False}), ("DELETE", None)):
        stale = either.http.request(method, f"{FLAGS}/a", params=DEVELOPMENT, json=body, headers=fresh)
        assert problem(stale, 412, "precondition-failed")["current_version"] == 2
        assert stale.headers["etag"] == '"development:2"'
    by_body = either.http.put(f"{FLAGS}/a", params=DEVELOPMENT, json={"is_enabled": False, "expected_version": 1})
    assert problem(by_body, 412)["current_version"] == 2
    assert either.http.get(f"{FLAGS}/a", params=DEVELOPMENT).json()["is_enabled"] is True


def test_the_list_of_one_environment_carries_the_tag_of_its_set(either: Deployed) -> None:
    for name in ("b", "a", "c"):
        create(either, name, is_enabled=name != "c")
    pages = [either.http.get(FLAGS, params={**DEVELOPMENT, "limit": 2, "offset": offset}) for offset in (0, 2)]
    assert [item["name"] for page in pages for item in page.json()["items"]] == ["a", "b", "c"]
    assert {page.headers["etag"] for page in pages} == {'"flags:development:3"'}
    assert {page.json()["total"] for page in pages} == {3}
    for page in pages:
        FlagPage.model_validate(page.json())
    tag = {"If-None-Match": pages[0].headers["etag"]}
    assert either.http.get(FLAGS, params=DEVELOPMENT, headers=tag).status_code == 304
    assert [item["name"] for item in either.http.get(FLAGS, params={**DEVELOPMENT, "enabled": "false"}).json()["items"]] == ["c"]
    either.http.delete(f"{FLAGS}/a", params=DEVELOPMENT)
    changed = either.http.get(FLAGS, params=DEVELOPMENT, headers=tag)
    assert (changed.status_code, changed.json()["total"], changed.headers["etag"]) == (200, 2, '"flags:development:4"')


def test_the_order_of_decisions_is_disabled_then_target_then_rollout(either: Deployed) -> None:
    create(either, "off", target_users=["u1"], rollout_percentage=100)
    create(either, "aimed", is_enabled=True, target_users=["u1"])
    create(either, "all", is_enabled=True, rollout_percentage=100)
    create(either, "some", is_enabled=True, rollout_percentage=50)
    assert (evaluate(either, flag_name="off", user_id="u1")["enabled"], evaluate(either, flag_name="off")["reason"]) == (
        False,
        "DISABLED",
    )
    assert evaluate(either, flag_name="aimed", user_id="u1")["reason"] == "TARGETING_MATCH"
    assert evaluate(either, flag_name="aimed", user_id="u2")["enabled"] is False
    assert evaluate(either, flag_name="all", user_id="u2", context={"country": "DE"})["enabled"] is True
    assert evaluate(either, flag_name="all")["enabled"] is True
    assert evaluate(either, flag_name="some", user_id="u2")["reason"] == "SPLIT"
    nobody = evaluate(either, flag_name="some")
    assert (nobody["reason"], nobody["error_code"], nobody["enabled"]) == ("ERROR", "TARGETING_KEY_MISSING", False)


def test_an_unknown_flag_is_answered_and_says_so(either: Deployed) -> None:
    decided = evaluate(either, flag_name="new_ui", user_id="u123")
    assert decided == {
        "flag_name": "new_ui", "environment": "development", "enabled": False, "value": False, "variant": None,
        "reason": "ERROR", "version": None, "error_code": "FLAG_NOT_FOUND",
    }  # fmt: skip


def test_the_share_of_a_rollout_is_what_was_asked_for_and_the_same_for_each_user(server: Deployed) -> None:
    create(server, "quarter", is_enabled=True, rollout_percentage=25)
    users = [f"u{number}" for number in range(400)]
    first = [evaluate(server, flag_name="quarter", user_id=user)["enabled"] for user in users]
    assert first == [server.kit.flags.is_enabled("quarter", user_id=user) for user in users]
    assert 0.18 < sum(map(bool, first)) / len(users) < 0.32


@pytest.mark.parametrize("names", [None, ["a", "nope"]])
def test_many_flags_are_decided_at_once(either: Deployed, names: list[str] | None) -> None:
    create(either, "a", is_enabled=True, rollout_percentage=100)
    create(either, "b")
    body = {**DEVELOPMENT, "user_id": "u", **({"flag_names": names} if names else {})}
    items = either.http.post(f"{FLAGS}/evaluate/batch", json=body).json()["items"]
    expected = {"a": "STATIC", "b": "DISABLED"} if names is None else {"a": "STATIC", "nope": "ERROR"}
    assert items.keys() == expected.keys()
    assert items["a"]["enabled"] is True
    assert items == {name: evaluate(either, flag_name=name, user_id="u") for name in expected}


def test_a_change_is_seen_by_the_next_evaluation(either: Deployed) -> None:
    create(either, "a")
    assert evaluate(either, flag_name="a", user_id="u")["enabled"] is False
    either.http.put(f"{FLAGS}/a", params=DEVELOPMENT, json={"is_enabled": True, "rollout_percentage": 100})
    assert evaluate(either, flag_name="a", user_id="u")["enabled"] is True
