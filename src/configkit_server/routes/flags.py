"""Feature flags."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from configkit.errors import ConflictError
from configkit.flags.compiled import CompiledSet
from configkit.flags.explain import explain
from configkit.flags.limits import MAX_ATTRIBUTES
from configkit.flags.model import Flag
from configkit.flags.targeting import MAX_USER_ID
from configkit.names import check_key
from configkit.ports import Outcome
from configkit_server import etags
from configkit_server.answers import NO_STORE, PRIVATE, Answer, Header, answer_json, page
from configkit_server.bodies import check_bulk_size
from configkit_server.call import Call
from configkit_server.problems import NOT_FOUND, PRECONDITION_FAILED, ProblemError, from_core
from configkit_server.service import Service
from configkit_server.wire.flags import (
    Evaluate,
    EvaluateBatch,
    FlagCreate,
    FlagUpdate,
    evaluation_document,
    flag_document,
)

NAME_SEGMENT = 4
KEPT_CHANGES = 64
WORTH_PACKING = 1024
_EVALUATE_FIELDS = frozenset({"flag_name", "user_id", "environment", "context"})


async def flag_set(service: Service, call: Call, environment: str) -> CompiledSet:
    """Return the flags of *environment*: from memory where they are known and the caller accepts that."""
    sets = service.kit.flag_sets
    if call.wants_fresh:
        return await service.executor.run(_read_again, service, environment)
    known = sets.peek(environment)
    return known if known is not None else await service.executor.run(sets.ensure, environment)


def _read_again(service: Service, environment: str) -> CompiledSet:
    """Return the set as the store has it, which is asked for the whole of it only if it has changed."""
    known = service.kit.flag_sets.peek(environment)
    if known is not None and service.kit.backends.flags.load(environment, known.version) is None:
        return known
    return service.kit.flag_sets.refresh(environment)


async def evaluate(service: Service, call: Call) -> Answer:
    """Decide one flag for one user: the hot path, from memory and without a model where the body is plain."""
    name, environment, user_id, context = await _question(await call.document(), call)
    call.environment(environment)
    flags = service.kit.flag_sets.peek(environment)
    if flags is None:
        flags = await service.executor.run(service.kit.flag_sets.ensure, environment)
    if call.query["explain"]:
        found = explain(flags, name, user_id, context)
        steps = [{"step": step.kind, "detail": step.detail, "holds": step.holds, "depth": step.depth} for step in found.steps]
        return answer_json(200, {**evaluation_document(found.evaluation), "explanation": steps})
    return answer_json(200, evaluation_document(flags.evaluate(name, None, user_id, context)))


async def _question(body: dict[str, Any], call: Call) -> tuple[str, str, str | None, dict[str, Any] | None]:
    """Return the fields of *body*; whatever is not plain is left to the model, which finds the words for it."""
    name, environment, user_id, context = body.get("flag_name"), body.get("environment"), body.get("user_id"), body.get("context")
    if (
        body.keys() <= _EVALUATE_FIELDS
        and type(name) is str
        and type(environment) is str
        and (user_id is None or (type(user_id) is str and len(user_id) <= MAX_USER_ID and "\0" not in user_id))
        and (context is None or (type(context) is dict and len(context) <= MAX_ATTRIBUTES))
        and environment in call.environments
    ):
        check_key(name, pointer="/flag_name")
        return name, environment, user_id, context
    asked = await call.model(Evaluate)
    return asked.flag_name, asked.environment, asked.user_id, asked.context


async def evaluate_batch(service: Service, call: Call) -> Answer:
    """Decide many flags for one user."""
    document = await call.document()
    check_bulk_size(document.get("flag_names"), "flags")
    body = await call.model(EvaluateBatch, document)
    flags = await flag_set(service, call, call.environment(body.environment))
    decided = flags.evaluate_all(body.user_id, body.context, names=body.flag_names)
    return answer_json(200, {"items": {name: evaluation_document(one) for name, one in decided.items()}})


async def list_flags(service: Service, call: Call) -> Answer:
    """Answer a page of flags; of one environment with the tag of the whole set."""
    query = call.query
    environments, limit, offset = query["environment"], query["limit"], query["offset"]
    if environments is None or len(environments) > 1:
        found = await service.executor.run(
            service.kit.backends.flags.list,
            environments=call.grant.environments if environments is None else frozenset(map(call.environment, environments)),
            enabled=query["enabled"],
            limit=limit,
            offset=offset,
        )
        return answer_json(200, page([flag_document(flag) for flag in found], total=found.total, limit=limit, offset=offset))
    if query["since"] is not None:
        changed = await _changes(service, call.environment(environments[0]), query["since"])
        if changed is not None:
            return _packed(call, changed)
    flags = await flag_set(service, call, call.environment(environments[0]))
    headers = _set_headers(flags)
    if call.is_unchanged(headers[1][1].decode()):
        return Answer(304, headers=headers)
    chosen = [flag for _, flag in sorted(flags.flags.items())]
    if query["enabled"] is not None:
        chosen = [flag for flag in chosen if flag.is_enabled is query["enabled"]]
    items = [flag_document(flag) for flag in chosen[offset : offset + limit]]
    listed = page(items, total=len(chosen), limit=limit, offset=offset)
    return _packed(call, to_json({**listed, "version": flags.version}), headers)


async def _changes(service: Service, environment: str, since: int) -> bytes | None:
    """
    Return the answer that tells what has changed after version *since*; None: the store cannot tell.

    After a change everybody asks for the same: while no newer version is known, they get the same answer.
    """
    known = service.kit.flag_sets.peek(environment)
    kept = service.changes.get((environment, since))
    if kept is not None and known is not None and kept[0] >= known.version:
        return kept[1]
    found = await service.executor.run(service.kit.backends.flags.changes, environment, since)
    if found is None:
        return None
    items = [flag_document(flag) for flag in found.changed.values()]
    listed = page(items, total=found.count, limit=max(len(items), 1), offset=0)
    more = {"version": found.version, "since": since, "gone": sorted(found.gone), "checksum": found.checksum}
    answer = to_json({**listed, **more})
    if len(service.changes) >= KEPT_CHANGES:
        service.changes.clear()
    service.changes[environment, since] = found.version, answer
    return answer


def _packed(call: Call, body: bytes, headers: Sequence[Header] = (NO_STORE,)) -> Answer:
    """Return *body* as an answer, compressed where that is worth it and the caller takes it."""
    accepted = call.headers.get(b"accept-encoding", b"")
    if len(body) < WORTH_PACKING or b"gzip" not in accepted:
        return Answer(200, body, headers)
    return Answer(200, gzip.compress(body, 5, mtime=0), [*headers, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")])


def _set_headers(flags: CompiledSet) -> list[Header]:
    return [PRIVATE, etags.header(etags.make(f"flags:{flags.environment}", flags.version))]


async def read_flag(service: Service, call: Call) -> Answer:
    """Answer one flag."""
    environment, name = _named(call)
    flags = await flag_set(service, call, environment)
    flag = flags.flags.get(name)
    if flag is None:
        raise ProblemError(NOT_FOUND, f"there is no flag {name} in {environment}")
    tag = etags.make(environment, flag.version)
    if call.is_unchanged(tag):
        return Answer(304, headers=[PRIVATE, etags.header(tag)])
    return _answer_flag(200, flag)


async def create_flag(service: Service, call: Call) -> Answer:
    """Add a flag."""
    body = await call.model(FlagCreate)
    given = {name: getattr(body, name) for name in body.model_fields_set}
    call.environment(body.environment)
    flag = Flag(**{name: value for name, value in given.items() if value is not None})
    return _created(call, await service.write(call, service.kit.flag_sets.create, flag, origin=call.origin))


def _created(call: Call, flag: Flag) -> Answer:
    location = f"{call.scope.get('root_path', '')}/api/v1/feature-flags/{flag.name}?environment={flag.environment}"
    return _answer_flag(201, flag, [(b"location", location.encode())])


async def update_flag(service: Service, call: Call) -> Answer:
    """Change a flag."""
    body = await call.model(FlagUpdate)
    environment, name = _named(call)
    changes = {field: getattr(body, field) for field in body.model_fields_set if field != "expected_version"}
    expected = await _expected(service, call, environment, name, body.expected_version)
    try:
        flag = await service.write(
            call, service.kit.flag_sets.update, environment, name, changes, origin=call.origin, expected_version=expected
        )
    except ConflictError as error:
        raise _conflict(call, environment, error) from None
    return _answer_flag(200, flag)


async def delete_flag(service: Service, call: Call) -> Answer:
    """Remove a flag."""
    environment, name = _named(call)
    expected = await _expected(service, call, environment, name, None)
    try:
        await service.write(call, service.kit.flag_sets.delete, environment, name, origin=call.origin, expected_version=expected)
    except ConflictError as error:
        raise _conflict(call, environment, error) from None
    return Answer(204, subject=f"{environment}/{name}")


def _named(call: Call) -> tuple[str, str]:
    return call.environment(call.query["environment"]), call.segment(NAME_SEGMENT, "/name", check_key)


def _answer_flag(status: int, flag: Flag, headers: list[Header] | None = None) -> Answer:
    tag = etags.header(etags.make(flag.environment, flag.version))
    subject = f"{flag.environment}/{flag.name}"
    return answer_json(status, flag_document(flag), [PRIVATE, tag, *(headers or [])], subject=subject, version=flag.version)


async def _expected(service: Service, call: Call, environment: str, name: str, in_body: int | None) -> int | None:
    accepted = call.expected(environment)
    if in_body is not None:
        call.preconditioned = True
        accepted = frozenset({in_body}) if accepted is None else accepted & {in_body}
    if call.headers.get(b"if-none-match", b"").strip() == b"*":
        call.preconditioned = True
        accepted = frozenset()
    if accepted is None or len(accepted) == 1:
        return None if accepted is None else next(iter(accepted))
    current = await service.executor.run(service.kit.backends.flags.read, environment, name)
    if current.version in accepted:
        return current.version
    raise _conflict(call, environment, ConflictError("another version", expected=None, actual=current.version))


def _conflict(call: Call, environment: str, error: ConflictError) -> ProblemError:
    problem = from_core(error, preconditioned=call.preconditioned)
    if problem.kind is PRECONDITION_FAILED and error.actual is not None:
        problem.detail = call.failed_precondition(error.actual)
        problem.headers = (etags.header(etags.make(environment, error.actual)),)
    return problem


async def replay_create(service: Service, call: Call, outcome: Outcome) -> Answer:  # noqa: ARG001  every replay is called alike
    """Answer a repeated creation with the flag as it is now."""
    body = await call.model(FlagCreate)
    environment = call.environment(body.environment)
    return _created(call, await service.executor.run(service.kit.backends.flags.read, environment, body.name))


async def replay_update(service: Service, call: Call, outcome: Outcome) -> Answer:
    """Answer a repeated change with the flag as it is now."""
    environment, name = _named(call)
    return _answer_flag(outcome.status, await service.executor.run(service.kit.backends.flags.read, environment, name))
