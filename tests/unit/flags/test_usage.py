"""What is served is counted, exactly, whoever serves it; and counts outlive the set that they were made by."""

from __future__ import annotations

import threading
from typing import Any

from configkit.testing import memory


def test_each_way_of_asking_counts_once_and_failures_do_not() -> None:
    flags: dict[str, Any] = {"half": {"is_enabled": True, "rollout_percentage": 50}, "all": True}
    with memory(flags=flags) as kit:
        for _ in range(2):
            kit.flags.is_enabled("all")
            kit.flags.value("all", default=False)
            kit.flags.evaluate("all")
        kit.flags.evaluate_all(user_id="u1")
        kit.flags.is_enabled("half")
        kit.flags.evaluate("all", default="text")
        kit.flags.explain("all")
        usage = kit.flags.usage()
    assert usage["all"] == {"on": 7}
    assert sum(usage["half"].values()) == 1


def test_counts_go_on_when_flags_change() -> None:
    with memory(flags={"f": True}) as kit:
        kit.flags.is_enabled("f")
        kit.flags.update("f", description="changed")
        kit.flags.is_enabled("f")
        kit.flags.update("f", is_enabled=False)
        kit.flags.is_enabled("f")
        assert kit.flags.usage() == {"f": {"off": 1, "on": 2}}


def test_threads_that_serve_at_once_lose_no_count() -> None:
    with memory(flags={"f": {"is_enabled": True, "rollout_percentage": 50}}) as kit:
        threads = [
            threading.Thread(target=lambda: [kit.flags.is_enabled("f", user_id="u1") for _ in range(50_000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(kit.flags.usage()["f"].values()) == 200_000


def test_names_that_are_no_flags_are_listed() -> None:
    with memory(flags={"f": True}) as kit:
        for _ in range(3):
            kit.flags.is_enabled("g")
            kit.flags.value("h", 1)
        assert kit.flags.unknown() == ["g", "h"]
        kit.flags.create("g")
        assert kit.flags.unknown() == ["h"]
