"""Flags beyond their plain form over REST: made, decided, refused, and told of by what has changed."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.server.deployment import FLAGS, Deployed, problem

PLACE = {"environment": "development"}
GERMANS = {"attribute": "country", "operator": "in", "values": ["DE", "AT"]}
THEME: dict[str, Any] = {
    "name": "theme",
    **PLACE,
    "is_enabled": True,
    "variants": {"light": "#fff", "dark": "#000"},
    "default_variant": "light",
    "targets": {"dark": ["ann"]},
    "rules": [{"name": "germans", "conditions": [GERMANS], "variant": "dark"}],
    "tags": ["ui"],
    "expires_at": "2027-01-01T00:00:00Z",
}


def decided(server: Deployed, name: str, user_id: str | None = None, **context: Any) -> tuple[Any, ...]:
    body = {"flag_name": name, "user_id": user_id, "context": context, **PLACE}
    answer = server.http.post(f"{FLAGS}/evaluate", json=body).json()
    return answer["value"], answer["variant"], answer["reason"], answer.get("rule")


def test_a_flag_with_variants_and_rules_is_kept_and_decided(either: Deployed) -> None:
    made = either.http.post(FLAGS, json=THEME)
    assert made.status_code == 201, made.text
    assert made.json()["rules"] == THEME["rules"]
    assert made.json()["targets"] == THEME["targets"]
    assert either.http.get(f"{FLAGS}/theme", params=PLACE).json() == made.json()
    assert decided(either, "theme") == ("#fff", "light", "DEFAULT", None)
    assert decided(either, "theme", "ann") == ("#000", "dark", "TARGETING_MATCH", None)
    assert decided(either, "theme", "bob", country="AT") == ("#000", "dark", "TARGETING_MATCH", "germans")
    body = {"rules": None, "default_variant": None, "split": [{"variant": "dark", "weight": 1}]}
    changed = either.http.put(f"{FLAGS}/theme", params=PLACE, json=body)
    assert changed.status_code == 200, changed.text
    assert "rules" not in changed.json()
    assert decided(either, "theme", "bob") == ("#000", "dark", "SPLIT", None)


def test_segments_and_prerequisites(either: Deployed) -> None:
    segment = {"name": "beta", **PLACE, "kind": "segment", "target_users": ["ann"]}
    flag = {
        "name": "search",
        **PLACE,
        "is_enabled": True,
        "prerequisites": [{"flag": "theme", "variants": ["dark"]}],
        "rules": [{"conditions": [{"operator": "in_segment", "values": ["beta"]}], "variant": "on"}],
    }
    for body in (THEME, segment, flag):
        assert either.http.post(FLAGS, json=body).status_code == 201
    assert decided(either, "search", "ann") == (True, "on", "TARGETING_MATCH", "rule 1")
    assert decided(either, "search", "bob") == (False, "off", "DEFAULT", None)
    for name in ("beta", "theme"):
        answer = either.http.delete(f"{FLAGS}/{name}", params=PLACE)
        assert "search" in problem(answer, 422, "invalid")["detail"]
    every = either.http.post(f"{FLAGS}/evaluate/batch", json={**PLACE, "user_id": "ann"}).json()["items"]
    assert set(every) == {"theme", "search"}


def deep(depth: int) -> dict[str, Any]:
    return GERMANS if depth == 1 else {"all": [deep(depth - 1)]}


def ruled(condition: dict[str, Any]) -> dict[str, Any]:
    return {"rules": [{"conditions": [condition], "variant": "on"}]}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"variants": {"a": 1, "b": "x"}, "default_variant": "a"}, "/variants"),
        ({"variants": {"a": 1}, "split": [{"variant": "a", "weight": -1}]}, "/split/0/weight"),
        ({"variants": {"a": 1, "b": 2}, "split": [{"variant": v, "weight": 2**31 - 1} for v in "ab"]}, "/split/1/weight"),
        ({"variants": {"a": 1}, "split": [{"variant": "b", "weight": 1}]}, "/split/0/variant"),
        ({"prerequisites": [{"flag": "f"}]}, "/prerequisites/0/flag"),
        ({"prerequisites": [{"flag": "nobody"}]}, "/prerequisites/0/flag"),
        (ruled({"attribute": "a", "operator": "sounds_like", "values": ["x"]}), "/rules/0/conditions/0/operator"),
        (ruled({"attribute": "a", "operator": "matches", "values": ["(?=x)"]}), "/rules/0/conditions/0/values/0"),
        (ruled({"attribute": "a", "operator": "matches", "values": ["((a{9}){999}){9}"]}), "/rules/0/conditions/0/values/0"),
        (ruled({"attribute": "a", "operator": "in", "values": ["x"] * 10_001}), "/rules/0/conditions/0/values"),
        (
            {"rules": [{"conditions": [{"attribute": f"a{n}", "operator": "exists"} for n in range(10_000)], "variant": "on"}]},
            "/rules/0/conditions",
        ),
        (ruled(deep(6)), "/rules/0/conditions/0/all/0/all/0/all/0/all/0/all/0"),
        ({"rules": [{"conditions": [GERMANS] * 1001, "variant": "on"}]}, "/rules/0/conditions"),
        ({"rules": [{"conditions": [GERMANS] * 100, "variant": "on"}]}, "/rules/0/conditions"),
        ({"rules": [{"conditions": [], "variant": "on"}] * 101}, "/rules"),
        ({"rules": [{"conditions": [], "variant": "on", "sticky": True}]}, "/rules/0/sticky"),
        ({"schedule": {"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}}, "/schedule/ends_at"),
        ({"schedule": {"starts_at": "tomorrow"}}, "/schedule/starts_at"),
        ({"expires_at": "2026-01-01"}, "/expires_at"),
    ],
)
def test_bad_input_is_422_with_a_pointer_and_nothing_is_stored(server: Deployed, fields: dict[str, Any], pointer: str) -> None:
    answer = server.http.post(FLAGS, json={"name": "f", **PLACE, **fields})
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer
    assert server.http.get(FLAGS, params=PLACE).json()["total"] == 0


def test_a_regular_expression_that_explodes_elsewhere_is_decided_at_once(server: Deployed) -> None:
    fields = ruled({"attribute": "a", "operator": "matches", "values": ["^(a+)+$"]})
    assert server.http.post(FLAGS, json={"name": "f", **PLACE, "is_enabled": True, **fields}).status_code == 201
    assert decided(server, "f", "u", a="a" * 1000 + "!") == (False, "off", "DEFAULT", None)


@pytest.mark.parametrize("path", ["/evaluate", "/evaluate?explain=true", "/evaluate/batch"])
def test_a_context_of_ten_thousand_attributes_is_refused(server: Deployed, path: str) -> None:
    context = {f"a{number}": number for number in range(10_000)}
    names = {} if path.endswith("batch") else {"flag_name": "f"}
    answer = server.http.post(FLAGS + path, json={**PLACE, **names, "user_id": "ann", "context": context})
    found = problem(answer, 422, "invalid")["errors"]
    assert [each["pointer"] for each in found] == ["/context"]
    assert "1000" in found[0]["detail"]


def test_circles_are_refused(server: Deployed) -> None:
    server.http.post(FLAGS, json={"name": "a", **PLACE})
    server.http.post(FLAGS, json={"name": "b", **PLACE, "prerequisites": [{"flag": "a"}]})
    answer = server.http.put(f"{FLAGS}/a", params=PLACE, json={"prerequisites": [{"flag": "b"}]})
    found = problem(answer, 422, "invalid")["errors"][0]
    assert found["pointer"] == "/prerequisites/0/flag"
    assert "b -> a -> b" in found["detail"]


def test_what_has_changed_since_a_version_comes_alone(either: Deployed) -> None:
    for name in ("kept", "changed", "gone"):
        either.http.post(FLAGS, json={"name": name, **PLACE})
    whole = either.http.get(FLAGS, params=PLACE).json()
    either.http.put(f"{FLAGS}/changed", params=PLACE, json={"is_enabled": True})
    either.http.delete(f"{FLAGS}/gone", params=PLACE)
    told = either.http.get(FLAGS, params={**PLACE, "since": whole["version"]}).json()
    assert [flag["name"] for flag in told["items"]] == ["changed"]
    assert (told["since"], told["version"], told["gone"], told["total"]) == (whole["version"], whole["version"] + 2, ["gone"], 2)
    unknown = either.http.get(FLAGS, params={**PLACE, "since": 1_000_000}).json()
    assert ("since" in unknown, unknown["total"], unknown["version"]) == (False, 2, told["version"])


def test_large_answers_are_compressed_where_that_is_accepted(server: Deployed) -> None:
    for number in range(20):
        server.http.post(FLAGS, json={"name": f"f-{number}", **PLACE, "description": "x" * 100})
    for accepted in ("gzip", "identity"):
        with server.http.stream("GET", FLAGS, params={**PLACE, "since": 0}, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join(answer.iter_raw())
        packed = answer.headers.get("content-encoding") == "gzip"
        assert packed is (accepted == "gzip")
        assert len(gzip.decompress(raw) if packed else raw) > 2000
        assert not packed or len(raw) < 1000
