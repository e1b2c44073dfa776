"""A connection that stays open and brings nothing."""

from __future__ import annotations

import time

from configkit.errors import UnavailableError
from tests.faults.proxy import proxy
from tests.unit.backends.zookeeper import zoo
from tests.waiting import eventually


def test_a_half_open_connection_is_noticed_though_something_is_asked_all_the_time() -> None:
    with proxy(int(zoo.hosts().rpartition(":")[2])) as between:
        at = f"127.0.0.1:{between.port}"
        with zoo.registry(at, zoo.base_path(), session_timeout=10.0, deadline=0.3) as registry:

            def answers() -> bool:
                try:
                    registry.instances("svc")
                except UnavailableError:
                    return False
                return True

            eventually(answers, timeout=10)
            between.silent = True
            eventually(lambda: not answers())
            between.heal()
            began = time.monotonic()
            eventually(answers, timeout=20)
            assert time.monotonic() - began < 6
