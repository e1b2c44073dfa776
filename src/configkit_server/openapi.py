"""The OpenAPI 3.1 document, made from the table of operations and the models that validate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from configkit_server.operations import Operation
from configkit_server.problems import KINDS
from configkit_server.queries import Parameter
from configkit_server.wire.health import Problem

_REF = "#/components/schemas/{model}"
_PHRASES = {
    200: "Done.", 201: "Made.", 204: "Done; there is nothing to say.", 304: "What you have is current.",
    400: "The request cannot be understood.", 401: "Credentials are missing or not valid.",
    403: "The credentials do not reach this far.", 404: "There is nothing here.", 408: "The body did not arrive in time.",
    409: "The state of the resource forbids it.", 412: "The resource has another version.", 413: "The request is too large.",
    415: "The body's type or coding is not supported.", 422: "The request breaks a rule.", 429: "Too many requests.",
    503: "A backend did not answer; try again.",
}  # fmt: skip


def document(operations: Iterable[Operation], *, environments: Iterable[str], version: str) -> dict[str, Any]:
    """
    Return the OpenAPI document of *operations*.

    Args:
        environments: Those that exist in this deployment; elsewhere a name is refused.
    """
    operations = list(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "configkit",
            "version": version,
            "description": "Configuration, feature flags and service discovery. Problems are RFC 9457 documents.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Made by `configkit token create NAME --scope admin`. Without any, only this machine is served.",
                }
            },
        },
        "x-problem-types": {kind.type: {"status": kind.status, "title": kind.title} for kind in KINDS.values()},
    }
    filled: dict[str, Any] = _fill_environments(described, sorted(environments))
    return filled


def _operation(operation: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_path_parameters(operation), *map(_parameter, operation.parameters), *_header_parameters(operation)],
        "responses": _responses(operation),
        "security": [] if operation.is_open else [{"bearer": []}, {}],
    }
    if operation.scope is not None:
        shown["description"] = f"Needs the scope `{operation.scope}`."
    if operation.body is not None:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(operation.body)}}}
    return shown


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": dict(schema)} for name, schema in operation.path_parameters.items()
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.repeated:
        schema = {"type": "array", "items": schema, "maxItems": parameter.most}
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
    }


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    found = []
    if operation.etag and operation.replay is None:
        found.append(_header("If-None-Match", "Answer 304 if this tag is current."))
    if operation.preconditions:
        found.append(_header("If-Match", "Write only if this tag is current; otherwise 412 with the current version."))
    if operation.replay is not None:
        description = "The same key carries the request out once; a repetition gets the first answer."
        found.append(_header("Idempotency-Key", description))
    if operation.media_type == "text/event-stream":
        found.append(_header("Last-Event-ID", "Go on after this event."))
    return found


def _header(name: str, description: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "Idempotency-Key":
        schema |= {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def problem_statuses(operation: Operation) -> set[int]:
    """Return the statuses with which *operation* may answer a problem."""
    found = set(operation.problems)
    if not operation.is_open:
        found |= {401, 403, 422, 503}
    if operation.is_open:
        found.add(422)
    if operation.body is not None:
        found |= {400, 408, 413, 415}
    if operation.preconditions:
        found.add(412)
    if operation.replay is not None:
        found |= {400, 404, 409, 412}
    return found - set(operation.answers)


def _responses(operation: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for status, model in operation.answers.items():
        shown[str(status)] = _success(operation, status, model)
    if operation.etag and operation.replay is None:
        shown["304"] = {"description": _PHRASES[304]}
    for status in problem_statuses(operation):
        shown[str(status)] = {
            "description": _PHRASES[status],
            "content": {"application/problem+json": {"schema": _ref(Problem)}},
        }
    for status, model in operation.failures.items():
        described = shown.setdefault(str(status), {"description": _PHRASES[status], "content": {}})
        described["content"][operation.media_type] = {"schema": _ref(model)}
    return dict(sorted(shown.items()))


def _success(operation: Operation, status: int, model: type[BaseModel] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": _PHRASES[status]}
    if model is not None:
        shown["content"] = {operation.media_type: {"schema": _ref(model)}}
    elif status != 204:
        shown["content"] = {operation.media_type: {"schema": {"type": "string"}}}
    headers = {"X-Request-ID": {"schema": {"type": "string"}}}
    if operation.etag:
        headers["ETag"] = {"schema": {"type": "string"}}
    if status == 201 and operation.etag:
        headers["Location"] = {"schema": {"type": "string"}}
    return {**shown, "headers": headers}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    operations = list(operations)
    requests = {operation.body for operation in operations if operation.body is not None}
    answers = {model for operation in operations for model in operation.answers.values() if model is not None} | {Problem}
    answers |= {model for operation in operations for model in operation.failures.values()}
    made: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in sorted(requests, key=_name)]
    made += [(model, "serialization") for model in sorted(answers, key=_name)]
    _, schemas = models_json_schema(made, ref_template=_REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _fill_environments(part: Any, environments: list[str]) -> Any:
    if isinstance(part, Mapping):
        if "x-environment" in part:
            return {"type": "string", "enum": environments}
        return {name: _fill_environments(value, environments) for name, value in part.items()}
    if isinstance(part, list):
        return [_fill_environments(value, environments) for value in part]
    return part
