"""`configkit flag stale --metrics`: flags that nobody reads, as far as the metrics know."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from configkit.cli.flag_reads import reads_of
from configkit.settings import Settings
from tests.cli.command import Command

NOTHING: Any = {}
METRICS = """# HELP configkit_flag_evaluations_total Decisions of flags by this server.
# TYPE configkit_flag_evaluations_total counter
configkit_flag_evaluations_total{environment="development",flag="read",variant="on"} 3.0
configkit_flag_evaluations_total{environment="development",flag="read",variant="off"} 4.0
configkit_flag_evaluations_total{environment="staging",flag="unread",variant="off"} 4.0
process_open_fds 7.0
"""
EXPORTED = """# TYPE configkit_flag_evaluations_total counter
configkit_flag_evaluations_total{feature_flag_key="read",feature_flag_set_id="development",otel_scope_name="configkit"} 5.0
"""


@contextmanager
def answering(text: str, status: int = 200) -> Iterator[tuple[str, list[str | None]]]:
    """Serve *text* as metrics; give its address, and the credentials that came."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_flags_that_no_process_has_read_are_listed(cli: Command) -> None:
    for name in ("read", "unread"):
        cli.ok("flag", "create", name, "--enabled", "--percentage", "50")
    with answering(METRICS) as (one, _), answering(EXPORTED) as (other, _):
        command = ("flag", "stale", "--days", "0", "--json", "--metrics", f"{one}/metrics", "--metrics", other)
        found = cli.ok(*command).json
        assert [(item["name"], item["reason"]) for item in found["items"]] == [("unread", "never read, as these metrics have it")]
        assert cli.ok("flag", "stale", "--json", "--metrics", one).json["total"] == 0, "they are young"
    assert cli.ok("flag", "stale", "--days", "0", "--json").json["total"] == 0


def test_counts_of_all_processes_and_variants_add_up() -> None:
    with answering(METRICS) as (one, _), answering(EXPORTED) as (other, _):
        assert reads_of([one, other], "development", Settings(**NOTHING)) == {"read": 12}


def test_the_token_goes_to_the_configured_server_only() -> None:
    with answering(METRICS) as (ours, seen), answering(METRICS) as (theirs, seen_there):
        given: Any = {"url": ours, "token": "secret-token"}
        settings = Settings(**given)
        reads_of([f"{ours}/metrics", f"{theirs}/metrics"], "development", settings)
    assert (seen, seen_there) == (["Bearer secret-token"], [None])


@pytest.mark.parametrize(("text", "status", "code"), [("<html>", 200, 2), (METRICS, 401, 1)])
def test_what_is_no_metrics_is_said(cli: Command, text: str, status: int, code: int) -> None:
    with answering(text, status) as (url, _):
        assert cli("flag", "stale", "--metrics", url).code == code


def test_an_address_has_to_be_one(cli: Command) -> None:
    assert cli("flag", "stale", "--metrics", "localhost").code == 2
    assert cli("flag", "stale", "--metrics", "http://127.0.0.1:9/metrics").code == 1
