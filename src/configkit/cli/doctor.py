"""``configkit doctor``: connects to everything that the settings lead to, and says what works and what to do."""

from __future__ import annotations

import typer

from configkit.cli import exits
from configkit.cli.commands import command
from configkit.cli.opening import Session
from configkit.wiring.examination import Finding


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "doctor", without=("service",))(doctor)


def doctor(session: Session) -> None:
    """
    Connect to everything that the settings lead to: what works, what does not, and what to do.

    Exits with 0 if all that is required works, and with 1 otherwise. Redis, Kafka and ZooKeeper are not required: without
    them a deployment is degraded, which is told and is no failure. Nothing is changed; it takes the deadline (five
    seconds) and one second at most.
    """
    from configkit.wiring.examination import examine  # noqa: PLC0415  no other command needs it

    findings = examine(session.settings, explicit=True)
    if session.out.machine:
        session.out.data(_document(findings))
    else:
        _show(session, findings)
    raise typer.Exit(exits.FAILED if _failed(findings) else exits.OK)


def _failed(findings: list[Finding]) -> bool:
    return any(finding.state == "failed" for finding in findings)


def _document(findings: list[Finding]) -> dict[str, object]:
    worst = "failed" if _failed(findings) else "degraded" if any(f.state == "degraded" for f in findings) else "ok"
    return {"status": worst, "systems": {finding.system: _facts(finding) for finding in findings}}


def _facts(finding: Finding) -> dict[str, object]:
    return {
        "status": finding.state,
        "required": finding.required,
        "version": finding.version,
        "latency_ms": None if finding.seconds is None else round(finding.seconds * 1000, 1),
        "detail": finding.detail,
        "remedies": list(finding.remedies),
    }


def _show(session: Session, findings: list[Finding]) -> None:
    rows = [
        (
            finding.system,
            finding.state,
            finding.version,
            None if finding.seconds is None else f"{finding.seconds * 1000:.0f} ms",
            finding.detail,
        )
        for finding in findings
    ]
    session.out.table(["system", "state", "version", "took", "detail"], rows)
    for finding in findings:
        for remedy in finding.remedies:
            session.out.note(f"{finding.system}: {remedy}")
    if not _failed(findings) and any(finding.state == "degraded" for finding in findings):
        session.out.note("Everything that is required works; what is degraded costs speed or freshness, not correctness.")
