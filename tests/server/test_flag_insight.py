"""Why a flag is what it is, over REST; and what of it is counted."""

from __future__ import annotations

from tests.server.deployment import FLAGS, Deployed

PLACE = {"environment": "development"}


def test_an_explanation_comes_with_the_decision_where_it_is_asked_for(either: Deployed) -> None:
    either.http.post(FLAGS, json={"name": "f", **PLACE, "is_enabled": True, "rollout_percentage": 100})
    body = {"flag_name": "f", "user_id": "u", **PLACE}
    plain = either.http.post(f"{FLAGS}/evaluate", json=body).json()
    explained = either.http.post(f"{FLAGS}/evaluate?explain=true", json=body).json()
    steps = explained.pop("explanation")
    assert explained == plain
    assert [step["step"] for step in steps] == ["flag", "rest", "outcome"]
    assert steps[0] == {"step": "flag", "detail": "f is on", "holds": True, "depth": 0}


def test_each_decision_is_counted_once_whoever_asks_and_explanations_are_not(either: Deployed) -> None:
    either.http.post(FLAGS, json={"name": "f", **PLACE, "is_enabled": True, "rollout_percentage": 100})
    for _ in range(3):
        either.http.post(f"{FLAGS}/evaluate", json={"flag_name": "f", **PLACE})
    either.http.post(f"{FLAGS}/evaluate?explain=true", json={"flag_name": "f", **PLACE})
    either.http.post(f"{FLAGS}/evaluate/batch", json=PLACE)
    for path in ("/ofrep/v1/evaluate/flags/f", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags"):
        either.http.post(path, json={"context": {}})
    counted = 'configkit_flag_evaluations_total{environment="development",flag="f",variant="on"} 7.0'
    assert counted in either.http.get("/metrics").text
