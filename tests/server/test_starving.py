"""A writer that is stuck holds up writers, and nobody else."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.server.deployment import CONFIG, FLAGS, PLACE, deployed, problem, sqlite
from tests.waiting import eventually

WRITERS = 60
SOON = 4.0
"""Less than what a stuck writer waits for."""


def test_reads_and_readiness_do_not_wait_for_writers_that_are_stuck(tmp_path: Path) -> None:
    with deployed(sqlite(tmp_path)) as server:
        for number in range(20):
            server.create(f"k{number}", number)
        headers = server.token("admin")

        def write(number: int) -> int:
            return server.http.put(f"{CONFIG}/k{number % 20}", params=PLACE, json={"value": 1}, headers=headers).status_code

        with (
            closing(sqlite3.connect(tmp_path / "configkit.db", isolation_level=None)) as other,
            ThreadPoolExecutor(WRITERS) as pool,
        ):
            other.execute("BEGIN IMMEDIATE")
            writing = [pool.submit(write, number) for number in range(WRITERS)]
            service = server.app.state.configkit
            eventually(lambda: service.writes._calls._busy >= WRITERS)
            began = time.monotonic()
            for number in range(20):
                fresh = {**headers, "Cache-Control": "no-cache"}
                answer = server.http.get(f"{CONFIG}/k{number}", params={**PLACE, "version": 1}, headers=fresh)
                assert (answer.status_code, answer.json()["value"]) == (200, number)
            assert server.http.get("/ready").status_code == 200
            assert server.http.get(FLAGS, params={"environment": "staging"}, headers=headers).status_code == 200
            assert time.monotonic() - began < SOON
            other.execute("ROLLBACK")
            assert {future.result() for future in writing} <= {200, 503}


def test_a_503_says_what_is_wrong(tmp_path: Path) -> None:
    with deployed(sqlite(tmp_path, deadline=0.2)) as server:
        with closing(sqlite3.connect(tmp_path / "configkit.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = server.http.post(CONFIG, json={"key": "a", "value": "canary", **PLACE})
            other.execute("ROLLBACK")
        document = problem(answer, 503, "unavailable")
        assert document["detail"].startswith("sqlite: ")
        assert "canary" not in answer.text
