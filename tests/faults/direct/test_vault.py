"""Vault sealed, not initialised, or with the token revoked; and what others write straight into it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from math import isnan
from pathlib import Path

import pytest
from scripts.services import Server
from scripts.services.fleet import RECIPES
from scripts.services.vault import seal, unseal

from configkit.errors import UnavailableError
from tests.faults.direct.figures import check
from tests.faults.direct.site import DEADLINE, SLACK, Site, apis, fresh_name
from tests.faults.direct.test_hangs import NETWORK
from tests.faults.direct.test_outages import BUSY, CONVERGED, READ
from tests.faults.direct.watching import story
from tests.faults.processes import ServerProcess
from tests.waiting import eventually


def test_a_sealed_vault(site: Site, server: ServerProcess) -> None:
    fault, place = "vault sealed", site.systems["vault"].place
    with story(site, server) as told:
        seal(place)
        with told.in_use():
            began = time.monotonic()
            answer = told.api.put("k", 999_999)
            check(fault, "answer to a write through the server", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                told.kit.config.set("k", 999_999)
            check(fault, "answer to a write through the library", time.monotonic() - began, DEADLINE + SLACK)
            eventually(lambda: told.api.http.get("/health").json()["components"]["vault"]["status"] == "unhealthy")
        unseal(place)
        check(fault, "errors of reads", len(told.wrong), 0, "errors")
        check(fault, "slowest read", max(told.slowest.values()), READ, tolerance=BUSY)
        before = site.vault("GET", f"secret/data/development/{told.api.service}/k").body["data"]
        check(fault, "all well again after it is unsealed", told.seconds_to_converge(), CONVERGED)
        versions = told.api.http.get("/api/v1/config/k/history", params=told.api.where).json()["items"]
        assert before["data"]["value"] != "999999"
        queued = [one for one in versions if one["value"] == 999_999]
        check(fault, "refused writes that were made later", len(queued), 0, "writes")


def test_a_vault_that_is_not_initialised(site: Site, tmp_path: Path) -> None:
    fresh = Server(RECIPES["vault"], tmp_path / "vault")
    try:
        fresh._launch(fresh.place)
        eventually(lambda: fresh.recipe.state(fresh.place) == "uninitialised", timeout=20)
        with site.library(fresh_name(), VAULT_ADDR=fresh.env["VAULT_ADDR"]) as kit:
            began = time.monotonic()
            assert kit.config.get("k", default="the caller's") == "the caller's"
            check("vault not initialised", "the caller's default", time.monotonic() - began, DEADLINE + SLACK)
            with pytest.raises(UnavailableError):
                kit.config.set("k", 1)
            with pytest.raises(UnavailableError, match="initial"):
                kit.backends.ping["vault"]()
    finally:
        fresh.remove()


def accessors(site: Site) -> set[str]:
    """Return the tokens that AppRole logins have made."""
    found = set()
    for accessor in site.vault("LIST", "auth/token/accessors").body["data"]["keys"]:
        answer = site.vault("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        if answer.status == 200 and answer.body["data"]["path"] == "auth/approle/login":
            found.add(accessor)
    return found


def test_a_revoked_token(site: Site, server: ServerProcess) -> None:
    fault = "vault token revoked"
    with story(site, server) as told:
        with told.site.library(told.api.service) as other:
            other.documents.read_service("development", told.api.service)
        before = accessors(site)
        for accessor in before:
            assert site.vault("POST", "auth/token/revoke-accessor", {"accessor": accessor}).status == 204
        began = time.monotonic()
        with apis(*[server] * 16, service=told.api.service) as many, ThreadPoolExecutor(16) as pool, told.in_use():
            answers = list(pool.map(lambda api: [api.get("k", fresh=True).status_code for _ in range(5)], many))
        refused = [status for statuses in answers for status in statuses if status != 200]
        check(fault, "refusals that a caller saw, of 80 reads", len(refused), 0, "errors")
        check(fault, "logins of one process", len(accessors(site) - before), 2, "logins")  # the server's, and the library's
        check(fault, "80 reads by 16 callers, with the login", time.monotonic() - began, CONVERGED)
        check(fault, "errors of reads", len(told.wrong), 0, "errors")
        check(fault, "all well again", told.seconds_to_converge(), CONVERGED)


def test_what_others_write_straight_into_vault(site: Site, server: ServerProcess) -> None:
    fault = "plain write to vault"
    with story(site, server) as told:
        published = eventually(lambda: cycle(told.api.http.get("/metrics").text), timeout=20)
        site.write_plainly(told.api.service, "k", "written plainly")
        began = time.monotonic()
        eventually(lambda: told.api.get("k").json()["value"] == "written plainly", timeout=4 * published + 5)
        seen = time.monotonic() - began
        eventually(lambda: told.kit.config.get("k") == "written plainly", timeout=4 * published + 5)
        published = max(published, cycle(told.api.http.get("/metrics").text))
        check(fault, "published cycle time", published, 30.0)
        check(fault, "seen by the server (bound: cycle time + 1 s)", seen, published + 1.0)
        check(fault, "seen by the library (bound: cycle time + 1 s)", time.monotonic() - began, published + 1.0)


def cycle(metrics: str) -> float:
    """Return the cycle time that the server publishes; 0 before it has one."""
    lines = [line for line in metrics.splitlines() if line.startswith("configkit_readback_cycle_seconds ")]
    found = float(lines[0].split()[1]) if lines else 0.0
    return 0.0 if isnan(found) else found
