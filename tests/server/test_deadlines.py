"""A request has one deadline, whatever it needs; and what is known waits for no database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from configkit.backends.memory import open_memory
from configkit.errors import UnavailableError
from configkit.ports import TokenStore
from configkit_server import auth
from configkit_server.executor import Executor
from tests.server.deployment import CONFIG, PLACE, deployed

pytestmark = pytest.mark.once(reason="it brings a backend that hangs")


class Hanging:
    """A store whose calls return only when they are let go, once it hangs."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.hangs = False
        self.let_go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        call: Callable[..., Any] = getattr(self._store, name)
        if not self.hangs:
            return call

        def hang(*args: Any, **kwargs: Any) -> Any:
            self.let_go.wait(20)
            return call(*args, **kwargs)

        return hang


def test_tokens_that_cannot_be_read_again_delay_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REFRESH_SECONDS", 0.05)
    backends = open_memory()
    tokens = Hanging(backends.tokens)
    with deployed(replace(backends, tokens=cast("TokenStore", tokens))) as server:
        server.create("k", 1)
        tokens.hangs = True
        slowest = 0.0
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            sent = time.monotonic()
            assert server.http.get(f"{CONFIG}/k", params=PLACE).status_code == 200
            slowest = max(slowest, time.monotonic() - sent)
        tokens.let_go.set()
        assert slowest < 0.6


def test_what_a_request_does_one_after_another_has_one_deadline() -> None:
    release = threading.Event()

    async def request(executor: Executor) -> float:
        executor.begin_request(spent=0.1)
        began = time.monotonic()
        await executor.run(time.sleep, 0.2)
        with pytest.raises(UnavailableError):
            await executor.run(release.wait, 30)
        return time.monotonic() - began

    async def scene() -> tuple[float, float]:
        executor = Executor(deadline=0.5)
        took = await asyncio.gather(request(executor), request(executor))
        release.set()
        executor.close()
        return took[0], took[1]

    assert max(asyncio.run(scene())) < 0.9
