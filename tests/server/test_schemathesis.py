"""The whole document under schemathesis: every check, no failure of the server, no answer that is not documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.deployment import FLAGS, REGISTRY, deployed, sqlite

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(420)
def test_every_check_of_schemathesis_passes(kind: str, tmp_path: Path) -> None:
    with deployed(sqlite(tmp_path) if kind == "memory" else None) as server:
        server.create("a", 1)
        server.create("s", "secret", is_encrypted=True)
        server.http.post(FLAGS, json={"name": "a", "environment": "development", "is_enabled": True, "rollout_percentage": 50})
        server.http.post(f"{REGISTRY}/register", json={"service_name": "a", "service_url": "http://a:1", "ttl_seconds": 3600})
        command = [
            sys.executable,
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
            "--config-file",
            "schemathesis.toml",
        ]
        run = [f"{server.url}/openapi.json", "--checks", "all", "--max-examples", "10", "--seed", "1", "--generation-deterministic"]
        done = subprocess.run(
            [*command, "run", *run, "--no-color"],
            cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "29/31" in done.stdout, "all operations but the endless streams are tested"
