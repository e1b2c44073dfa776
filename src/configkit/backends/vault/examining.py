"""A closer look at Vault: its release and clock, and what the policy lets these credentials do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from configkit.backends.vault.answers import AbsentError, denied, documented, moment, payload
from configkit.backends.vault.session import Session
from configkit.backends.vault.transport import Call
from configkit.ports import Examination

PROBE = "configkit-doctor"
_READS = {2: {"data": {"read"}, "metadata": {"read"}}, 1: {"": {"read"}}}
_LISTS = {2: {"metadata": {"list"}}, 1: {"": {"list"}}}
_WRITES = {
    2: {"data": {"create", "update"}, "metadata": {"create", "update", "patch"}, "delete": {"update"}},
    1: {"": {"create", "update", "delete"}},
}


def examine(session: Session, *, kv_version: int, places: Iterable[tuple[str, str]]) -> Examination:
    """
    Return what there is, having asked which paths of *places* (environment and service) may be used; nothing is read.

    Raises:
        UnavailableError: It is sealed, not initialised, a standby, or does not answer; or another engine is mounted.
        AccessDeniedError: It refused the credentials; or some place may not be read, and the message names the paths.
    """
    session.ping()
    call = session.call("examine")
    version, clock = _about(session, call)
    missing = _missing(session, call, kv_version, list(places))
    if missing["read"]:
        raise denied("examine", f"the policy does not allow {_listed(missing['read'])}; docs/VAULT_INTEGRATION.md has one to copy")
    notes = [f"read only: the policy does not allow {_listed(missing['write'])}"] if missing["write"] else []
    return Examination(version, f"KV version {kv_version} at {session.mount}", clock, tuple(notes))


def _about(session: Session, call: Call) -> tuple[str | None, Any]:
    try:
        said = payload(call.operation, session.ask(call, lambda adapter: adapter.get("/v1/sys/health")))
    except AbsentError:  # only the root namespace has it
        return None, None
    return said.get("version"), moment(said["date"]) if "date" in said else _seconds(said.get("server_time_utc"))


def _seconds(given: object) -> Any:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(given, UTC) if isinstance(given, int) else None


def _missing(session: Session, call: Call, kv_version: int, places: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Return what the token may not, of what reading and writing need, as `capability path`."""
    needed: dict[str, dict[str, set[str]]] = {"read": {}, "write": {}}
    for environment, service in places:
        folder = f"{environment}/{service}"
        for purpose, table, path in (
            ("read", _READS, f"{folder}/{PROBE}"),
            ("read", _LISTS, f"{folder}/"),
            ("write", _WRITES, f"{folder}/{PROBE}"),
        ):
            for kind, capabilities in table[kv_version].items():
                needed[purpose].setdefault("/".join(part for part in (session.mount, kind, path) if part), set()).update(
                    capabilities
                )
    held = _held(session, call, sorted({path for paths in needed.values() for path in paths}))
    return {
        purpose: [
            f"{capability} on {path}"
            for path, capabilities in sorted(paths.items())
            for capability in sorted(capabilities)
            if "root" not in held[path] and capability not in held[path]
        ]
        for purpose, paths in needed.items()
    }


def _held(session: Session, call: Call, paths: list[str]) -> Mapping[str, list[str]]:
    answer = session.ask(call, lambda adapter: adapter.post("/v1/sys/capabilities-self", json={"paths": paths}))
    with documented(call.operation):
        said = payload(call.operation, answer)
        found = said.get("data") or said
        return {path: list(found[path]) for path in paths}


def _listed(items: list[str]) -> str:
    return ", ".join(items[:4]) + (f" and {len(items) - 4} more" if len(items) > 4 else "")
