"""What a library does straight against the backends, on the real servers."""

from __future__ import annotations

from contextlib import closing

from configkit.models import Origin, ServiceInstance
from configkit.settings import Settings
from configkit.wiring.direct import open_direct
from tests.directs import direct_server, fresh_direct

ORIGIN = Origin("asr", "library host-1")


def test_a_service_that_registers_itself_in_zookeeper_is_in_the_audit_trail() -> None:
    with fresh_direct() as variables, closing(direct_server(variables)) as server:
        with closing(open_direct(Settings(**variables), serves=False)) as library:  # type: ignore[arg-type]
            instance = ServiceInstance("asr", "http://10.0.0.5:8087", None, "self")
            library.registry.register(instance, ttl_seconds=30, origin=ORIGIN)
            assert [each.instance_id for each in server.registry.instances("asr")] == ["self"]
            library.registry.deregister("asr", "self", origin=ORIGIN)
        assert server.journal is not None
        lines = [(line.action, line.subject, line.origin) for line in server.journal.entries(limit=10)]
        assert lines == [("deregister", "asr/self", ORIGIN), ("register", "asr/self", ORIGIN)]
