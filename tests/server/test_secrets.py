"""A canary secret, sent through every operation, is found nowhere but where it was asked for."""

from __future__ import annotations

import io
import logging
from pathlib import Path

from tests.server.deployment import CONFIG, FLAGS, PLACE, Deployed, deployed, sqlite

CANARY = "canary-7c1f-secret"


def abuse(server: Deployed, headers: dict[str, str]) -> list[str]:
    """Use the canary as a secret and in every wrong place, and return all answers that must not show it."""
    http, item = server.http, f"{CONFIG}/s"
    sent = [
        http.post(
            CONFIG,
            json={"key": "s", "value": CANARY, **PLACE, "is_encrypted": True},
            headers={**headers, "Idempotency-Key": "once"},
        ),
        http.post(
            CONFIG,
            json={"key": "s", "value": CANARY, **PLACE, "is_encrypted": True},
            headers={**headers, "Idempotency-Key": "once"},
        ),
        http.post(CONFIG, json={"key": "s", "value": CANARY, **PLACE}, headers=headers),
        http.put(item, params=PLACE, json={"value": {"password": CANARY}}, headers=headers),
        http.put(item, params=PLACE, json={"value": CANARY, "expected_version": 99}, headers=headers),
        http.put(item, params=PLACE, json={"value": CANARY, "unknown": CANARY}, headers=headers),
        http.put(item, params=PLACE, json={CANARY: 1}, headers=headers),
        http.put(item, params=PLACE, json=CANARY, headers=headers),
        http.put(item, params=PLACE, content=f'{{"value": "{CANARY}"', headers={**headers, "Content-Type": "application/json"}),
        http.put(item, params={**PLACE, "value": CANARY}, json={"value": 1}, headers=headers),
        http.put(f"{CONFIG}/{CANARY}%00", params=PLACE, json={"value": CANARY}, headers=headers),
        http.put(item, params={**PLACE, "environment": CANARY}, json={"value": CANARY}, headers=headers),
        http.get(f"/{CANARY}", headers=headers),
        http.request("PATCH", item, headers=headers),
        http.get(CONFIG, headers={**headers, "X-Request-ID": f"{CANARY} x"}),
        http.get(CONFIG, headers={"Authorization": f"Bearer {CANARY}"}),
        http.post(f"{CONFIG}/bulk", json=PLACE, headers=headers),
        http.get(f"{item}/history", params=PLACE, headers=headers),
        http.post(f"{item}/rollback", params=PLACE, json={"version": 1, "comment": "back"}, headers=headers),
        http.post(f"{FLAGS}/evaluate", json={"flag_name": CANARY + "..", "environment": "development"}, headers=headers),
        http.post(f"{FLAGS}/evaluate", json={"flag_name": "f", "environment": "development", "user_id": [CANARY]}, headers=headers),
        http.request("DELETE", item, params=PLACE, headers={**headers, "If-Match": f'"{CANARY}"'}),
        http.get("/metrics", headers=headers),
        http.get("/health", headers=headers),
        http.get("/openapi.json", headers=headers),
    ]
    assert CANARY in http.get(item, params=PLACE, headers=headers).text, "whoever asks and may, gets it"
    return [answer.text + repr(answer.headers) for answer in sent]


def test_a_canary_is_in_no_answer_log_metric_or_file(kind: str, tmp_path: Path) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    ours = [logging.getLogger(name) for name in ("configkit", "uvicorn", "alembic", "sqlalchemy")]
    before = [logger.level for logger in ours]
    for logger in ours:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        with deployed(sqlite(tmp_path) if kind == "memory" else None) as server:
            answers = abuse(server, server.token("admin"))
    finally:
        for logger, level in zip(ours, before, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)
    assert "configkit.access" in log.getvalue()
    for text in (*answers, log.getvalue()):
        assert CANARY not in text
    for file in tmp_path.rglob("*"):
        assert CANARY.encode() not in file.read_bytes(), file


def test_an_unexpected_failure_is_500_and_shows_nothing_of_it() -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("configkit").addHandler(handler)
    try:
        with deployed() as server:

            def explode(*_: object, **__: object) -> None:
                raise ValueError(f"a value in the text of an error: {CANARY}")

            server.kit.documents.create = explode  # type: ignore[method-assign,assignment]
            answer = server.http.post(CONFIG, json={"key": "s", "value": CANARY, **PLACE})
    finally:
        logging.getLogger("configkit").removeHandler(handler)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(":internal")
    assert CANARY not in answer.text
    assert CANARY not in log.getvalue()
    assert "ValueError at" in log.getvalue()
    assert answer.headers["x-request-id"] in log.getvalue()
