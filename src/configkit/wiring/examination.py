"""What of the configured systems works, what does not, and what to do: each is asked by itself, all at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from configkit.calls import Calls
from configkit.errors import AccessDeniedError, BackendError, ConfigKitError, UnavailableError
from configkit.models import utcnow
from configkit.ports import Examination
from configkit.wiring import direct, open_backends

if TYPE_CHECKING:
    from configkit.settings import Settings

SKEW_SECONDS = 5.0
"""Clocks that differ by more make times hard to compare; nothing in configkit rests on them."""

REQUIRED = frozenset({"vault", "postgres"})
REMEDIES = {
    "vault": (
        "check VAULT_ADDR and VAULT_CACERT, and that Vault is up and unsealed",
        "check VAULT_ROLE_ID and VAULT_SECRET_ID, VAULT_K8S_ROLE or VAULT_TOKEN, and the policy",
    ),
    "postgres": (
        "check DATABASE_URL, and that PostgreSQL is up",
        "check the user and the password in DATABASE_URL, and its rights on the schema",
    ),
    "redis": (
        "check REDIS_HOST, REDIS_PORT and REDIS_SSL; until then each process has only its own cache",
        "check REDIS_PASSWORD and REDIS_USERNAME, and that it may run scripts on keys of its namespace",
    ),
    "kafka": (
        "check KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL; until then changes are found by polling the journal",
        "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and that it may READ, WRITE and DESCRIBE the topic",
    ),
    "zookeeper": (
        "check ZOOKEEPER_HOSTS and ZOOKEEPER_TLS; until then the last lists are served, marked stale",
        "check ZOOKEEPER_USERNAME and ZOOKEEPER_PASSWORD, and that it may create nodes below ZOOKEEPER_BASE_PATH",
    ),
}
"""What to do where a system is away, and where it refuses."""

State = Literal["ok", "degraded", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What was found out about one system.

    Attributes:
        required: Without it nothing works; otherwise the deployment is degraded, not down.
        state: ``ok``, ``degraded`` (it works, with notes; or it is away and optional) or ``failed``.
        seconds: How long it took to connect and look.
        remedies: What to do, most urgent first.
    """

    system: str
    required: bool
    state: State
    detail: str
    version: str | None = None
    seconds: float | None = None
    remedies: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _System:
    name: str
    required: bool
    look: Callable[[], Examination]
    away: str
    denied: str


def examine(settings: Settings, *, explicit: bool) -> list[Finding]:
    """
    Return what was found about each system that *settings* lead to, within the deadline and a second.

    Raises:
        InvalidDocumentError: A setting is wrong; the message names it.
    """
    mode = settings.mode or ("remote" if settings.url else "embedded")
    systems = _direct(settings) if mode == "direct" else [_whole(settings, mode, explicit=explicit)]
    calls = Calls(workers=len(systems), deadline=settings.deadline + 1.0)
    try:
        begun = [(system, calls.submit(_found, system)) for system in systems]
        return [_awaited(system, calls, future) for system, future in begun]
    finally:
        calls.close(within=0.2)


def _awaited(system: _System, calls: Calls, future: Future[Finding]) -> Finding:
    try:
        return calls.wait(future)
    except UnavailableError:
        return _failure(system, "no answer within the deadline", (system.away,))


def _found(system: _System) -> Finding:
    begun = time.monotonic()
    try:
        seen = system.look()
    except ConfigKitError as error:
        return _failure(system, *_told(system, error))
    seconds = time.monotonic() - begun
    notes = [*seen.notes, *_skew(seen.clock)]
    return Finding(system.name, system.required, "degraded" if notes else "ok", seen.detail, seen.version, seconds, tuple(notes))


def _told(system: _System, error: ConfigKitError) -> tuple[str, tuple[str, ...]]:
    detail = str(error).removeprefix(f"{getattr(error, 'backend', '')}: ")
    if isinstance(error, AccessDeniedError):
        return detail, (system.denied,)
    return detail, (system.away,) if isinstance(error, UnavailableError) else ()


def _failure(system: _System, detail: str, remedies: tuple[str, ...]) -> Finding:
    return Finding(system.name, system.required, "failed" if system.required else "degraded", detail, remedies=remedies)


def _skew(clock: datetime | None) -> Iterator[str]:
    if clock is not None and abs(skew := (clock - utcnow()).total_seconds()) > SKEW_SECONDS:
        yield f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's: run NTP on both"


def _whole(settings: Settings, mode: str, *, explicit: bool) -> _System:
    """The modes in which one thing does everything: the file, the server or this process."""

    def look() -> Examination:
        backends = open_backends(settings, explicit=explicit)
        try:
            for ping in backends.ping.values():
                ping()
            backends.flags.load(settings.environment)
        finally:
            backends.close()
        return Examination(detail=f"the {mode} mode works")

    away = {
        "remote": "check CONFIGKIT_URL, and that configkit serve runs there",
        "embedded": "check DATABASE_URL, and that this user may write the file and its folder",
    }
    denied = "check CONFIGKIT_TOKEN: it needs at least flags:read"
    return _System("server" if mode == "remote" else mode, required=True, look=look, away=away.get(mode, ""), denied=denied)


def _direct(settings: Settings) -> list[_System]:
    direct.require(settings)
    looks = {"vault": _vault, "postgres": _postgres, "redis": _redis, "kafka": _kafka, "zookeeper": _zookeeper}
    configured = {
        "redis": settings.redis_host,
        "kafka": settings.kafka_bootstrap_servers,
        "zookeeper": settings.zookeeper_hosts and settings.service_registry_enabled,
    }
    return [
        _System(name, name in REQUIRED, partial(look, settings), *REMEDIES[name])
        for name, look in looks.items()
        if configured.get(name, True)
    ]


class _Closed(Protocol):
    @property
    def close(self) -> Callable[[], None]: ...


P = TypeVar("P", bound=_Closed)


@contextmanager
def _closing(part: P | None) -> Iterator[P]:
    """Give a part that is configured, and close it."""
    assert part is not None  # noqa: S101  it would not be looked at
    try:
        yield part
    finally:
        part.close()


def _vault(settings: Settings) -> Examination:
    store = direct.vault_of(settings)
    from configkit.backends.vault.examining import examine as look  # noqa: PLC0415  the extra is needed

    environments = [settings.environment] if settings.service_name else sorted(settings.supported_environments)
    services = ["_shared", *([settings.service_name] if settings.service_name else [])]
    places = [(environment, service) for environment in environments for service in services]
    try:
        return look(store.session, kv_version=settings.vault_kv_version, places=places)
    finally:
        store.close()


def _postgres(settings: Settings) -> Examination:
    with _closing(direct.postgres_of(settings, serves=False, listens=False)) as pieces:
        from configkit.backends.sql.postgres.errors import NoTablesError  # noqa: PLC0415  as above
        from configkit.backends.sql.postgres.examining import examine as look  # noqa: PLC0415

        try:
            return look(pieces)
        except NoTablesError as error:  # it was reached, and says itself what is to be done
            raise BackendError(error.args[0], backend=error.backend, operation="examine") from None


def _redis(settings: Settings) -> Examination:
    with _closing(direct.redis_of(settings)) as shared:
        from configkit.backends.redis.examining import examine as look  # noqa: PLC0415  as above

        return look(shared)


def _kafka(settings: Settings) -> Examination:
    with _closing(direct.kafka_of(settings)):
        from configkit.backends.kafka.examining import examine as look  # noqa: PLC0415  as above

        return look(direct.brokers_of(settings), settings.kafka_topic_config_updates, seconds=settings.deadline)


def _zookeeper(settings: Settings) -> Examination:
    with _closing(direct.zookeeper_of(settings, serves=False)) as registry:
        from configkit.backends.zookeeper.examining import examine as look  # noqa: PLC0415  as above

        return look(registry)
