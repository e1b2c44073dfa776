"""Writing configuration."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigPath, ConfigVersion
from configkit.ports import Outcome
from configkit_server import etags
from configkit_server.answers import Answer
from configkit_server.call import Call
from configkit_server.problems import PRECONDITION_FAILED, ProblemError, from_core
from configkit_server.routes.config import path_of
from configkit_server.routes.reading import answer_document, config_path, is_masked
from configkit_server.service import Service
from configkit_server.wire.config import ConfigCreate, ConfigRollback, ConfigUpdate


async def create_config(service: Service, call: Call) -> Answer:
    """Write the first version of a key."""
    body = await call.model(ConfigCreate)
    path = config_path(call.environment(body.environment), call.service(body.service_name), body.key)
    if not body.is_encrypted and not call.grant.allows("secrets:read") and await _was_secret(service, path):
        call.require("secrets:read", "making a key plain that was secret")
    document = await service.write(
        call,
        service.kit.documents.create,
        path,
        body.value,
        is_encrypted=body.is_encrypted,
        origin=call.origin,
        comment=body.comment,
    )
    return _created(call, document)


def _created(call: Call, document: ConfigVersion) -> Answer:
    path = document.path
    query = urlencode({"environment": path.environment, "service_name": path.service_name})
    location = f"{call.scope.get('root_path', '')}/api/v1/config/{quote(path.key)}?{query}"
    return answer_document(201, document, masked=document.ever_secret, headers=[(b"location", location.encode())])


async def update_config(service: Service, call: Call) -> Answer:
    """Write the next version of a key that is there."""
    body = await call.model(ConfigUpdate)
    path = path_of(call)
    expected = await expected_version(service, call, path, body.expected_version)
    if body.is_encrypted is False and not call.grant.allows("secrets:read"):
        expected = await _unless_secret(service, call, path, expected)
    try:
        document = await service.write(
            call,
            service.kit.documents.update,
            path,
            body.value,
            origin=call.origin,
            is_encrypted=body.is_encrypted,
            expected_version=expected,
            comment=body.comment,
            adopt=body.adopt,
        )
    except ConflictError as error:
        raise await _conflict(service, call, path, error) from None
    return answer_document(200, document, masked=document.ever_secret)


async def delete_config(service: Service, call: Call) -> Answer:
    """Delete the latest version, softly."""
    path = path_of(call)
    expected = await expected_version(service, call, path, None)
    try:
        version = await service.write(call, service.kit.documents.delete, path, origin=call.origin, expected_version=expected)
    except ConflictError as error:
        raise await _conflict(service, call, path, error) from None
    return Answer(204, subject=str(path), version=version)


async def rollback_config(service: Service, call: Call) -> Answer:
    """Write the value of an old version as a new one."""
    body = await call.model(ConfigRollback)
    path = path_of(call)
    if not call.grant.allows("secrets:read"):
        await _keeps_mark(service, call, path, body.version)
    document = await service.write(
        call, service.kit.documents.rollback, path, body.version, origin=call.origin, comment=body.comment
    )
    return answer_document(200, document, masked=document.ever_secret)


async def expected_version(service: Service, call: Call, path: ConfigPath, in_body: int | None) -> int | None:
    """
    Return the version that the caller's preconditions ask for; None: any.

    Raises:
        ProblemError: 412 if no version can satisfy them.
    """
    accepted = call.expected(path.service_name)
    if in_body is not None:
        call.preconditioned = True
        accepted = frozenset({in_body}) if accepted is None else accepted & {in_body}
    if call.headers.get(b"if-none-match", b"").strip() == b"*":
        call.preconditioned = True
        accepted = frozenset()
    if accepted is None or len(accepted) == 1:
        return None if accepted is None else next(iter(accepted))
    current = await service.executor.run(service.kit.documents.read, path, fresh=True)
    if current.version in accepted:
        return current.version
    raise _failed(call, current)


async def _conflict(service: Service, call: Call, path: ConfigPath, error: ConflictError) -> ProblemError:
    problem = from_core(error, preconditioned=call.preconditioned)
    if problem.kind is PRECONDITION_FAILED:
        try:
            current = await service.executor.run(service.kit.documents.read, path, fresh=True)
        except NotFoundError:
            return problem
        return _failed(call, current)
    return problem


def _failed(call: Call, current: ConfigVersion) -> ProblemError:
    masked = is_masked(current, revealed=call.grant.allows("secrets:read"))
    tag = etags.make(current.path.service_name, current.version, masked=masked)
    return ProblemError(
        PRECONDITION_FAILED,
        call.failed_precondition(current.version),
        headers=[etags.header(tag)],
        extra={"current_version": current.version},
    )


async def _unless_secret(service: Service, call: Call, path: ConfigPath, expected: int | None) -> int:
    """Return the version to be replaced: to take a secret's mark away needs the scope to read it."""
    current = await service.executor.run(service.kit.documents.read, path, fresh=True)
    if current.ever_secret:
        call.require("secrets:read", "making a key plain that was secret")
    return current.version if expected is None else expected


async def _keeps_mark(service: Service, call: Call, path: ConfigPath, version: int) -> None:
    if (
        await _was_secret(service, path)
        and not (await service.executor.run(service.kit.documents.read, path, version)).is_encrypted
    ):
        call.require("secrets:read", "rolling a key that was secret back to a version that was none")


async def _was_secret(service: Service, path: ConfigPath) -> bool:
    """Whether some version of the key was secret, deleted or not: the mark does not come off by way of a deletion."""
    try:
        versions = await service.executor.run(service.kit.documents.history, path, limit=1)
    except NotFoundError:
        return False
    return any(version.ever_secret for version in versions)


async def replay_create(service: Service, call: Call, outcome: Outcome) -> Answer:
    """Answer a repeated creation."""
    body = await call.model(ConfigCreate)
    path = config_path(call.environment(body.environment), call.service(body.service_name), body.key)
    return _created(call, await service.executor.run(service.kit.documents.read, path, outcome.version))


async def replay_write(service: Service, call: Call, outcome: Outcome) -> Answer:
    """Answer a repeated update or rollback."""
    document = await service.executor.run(service.kit.documents.read, path_of(call), outcome.version)
    return answer_document(outcome.status, document, masked=document.ever_secret)


async def replay_empty(service: Service, call: Call, outcome: Outcome) -> Answer:  # noqa: ARG001  every replay is called alike
    """Answer a repeated deletion."""
    return Answer(outcome.status)
