"""The backends of one server, wired."""

from __future__ import annotations

from functools import partial

from configkit.backends.http.config import HttpConfigStore
from configkit.backends.http.events import HttpEventBus
from configkit.backends.http.flags import HttpFlagStore
from configkit.backends.http.registry import HttpRegistry
from configkit.backends.http.transport import Call, Transport
from configkit.ports import Backends

RECONCILE_SECONDS = 30.0


def open_backends(url: str, *, token: str | None, deadline: float, poll: float) -> Backends:
    """Return the backends of the server at *url*: one pool of connections for the calls, one for the event stream."""
    connect = partial(Transport, url, token=token, deadline=deadline)
    transport = connect()
    bus = HttpEventBus(connect, poll=poll)

    def close() -> None:
        bus.close()
        transport.close()

    def after_fork() -> None:
        bus.after_fork()
        transport.after_fork()

    def ping() -> None:
        transport.call(Call("ping", "GET", "/live", reads=True)).expect(200)

    return Backends(
        mode="remote",
        config=HttpConfigStore(transport),
        flags=HttpFlagStore(transport),
        registry=HttpRegistry(transport),
        bus=bus,
        close=close,
        after_fork=after_fork,
        ping={"server": ping},
        poll=RECONCILE_SECONDS,
    )
