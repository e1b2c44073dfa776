"""Reading configuration."""

from __future__ import annotations

from typing import Any

from configkit.models import ConfigPath, ConfigSelector, ConfigVersion
from configkit.names import SHARED, check_key
from configkit_server import etags
from configkit_server.answers import NO_STORE, PRIVATE, Answer, answer_json, page
from configkit_server.bodies import MAX_BULK, check_bulk_size
from configkit_server.call import Call
from configkit_server.routes.reading import answer_document, config_path, find, find_layered, is_masked, reveal
from configkit_server.service import Service
from configkit_server.wire.config import ConfigBulk, config_document, history_document

KEY_SEGMENT = 4


def path_of(call: Call) -> ConfigPath:
    """Return the path that the URL and its query name, if the caller may write there."""
    return _named(call, call.service(call.query["service_name"]))


def _read_path(call: Call) -> ConfigPath:
    return _named(call, call.readable(call.query["service_name"]))


def _named(call: Call, service_name: str) -> ConfigPath:
    return config_path(call.environment(call.query["environment"]), service_name, call.segment(KEY_SEGMENT, "/key", check_key))


async def read_config(service: Service, call: Call) -> Answer:
    """Answer one value: from memory where it is known."""
    query, path = call.query, _read_path(call)
    if query["version"] is not None or query["resolve"]:
        return await _read_special(service, call, path)
    document = await find(service, call, path)
    if document.ever_secret:
        return await _show(service, call, document)
    encoded = service.encoded.of(document)
    if call.is_unchanged(encoded.tag):
        return Answer(304, headers=encoded.headers)
    return Answer(200, encoded.body, encoded.headers)


async def _read_special(service: Service, call: Call, path: ConfigPath) -> Answer:
    version = call.query["version"]
    if version is not None:
        # A version is of one layer: that which was asked for.
        source = path.service_name if call.query["resolve"] else None
        document = await service.executor.run(service.kit.documents.read, path, version)
        return await _show(service, call, document, source=source)
    document = await find_layered(service, call, path)
    return await _show(service, call, document, source=document.path.service_name)


async def _show(service: Service, call: Call, document: ConfigVersion, *, source: str | None = None) -> Answer:
    masked = is_masked(document, revealed=call.grant.allows("secrets:read"))
    tag = etags.make(document.path.service_name, document.version, masked=masked)
    if call.is_unchanged(tag):
        return Answer(304, headers=[PRIVATE, etags.header(tag)])
    if not masked:
        await reveal(service, call, [document])
    return answer_document(200, document, masked=masked, source=source)


async def list_config(service: Service, call: Call) -> Answer:
    """Answer a page of what the caller may see."""
    query, grant = call.query, call.grant
    environments, services, keys = query["environment"], query["service_name"], query["keys"]
    selector = ConfigSelector(
        environments=grant.environments if environments is None else frozenset(map(call.environment, environments)),
        services=grant.readable_services if services is None else frozenset(map(call.readable, services)),
        keys=None if keys is None else frozenset(keys),
    )
    listed = await service.executor.run(service.kit.documents.list, selector, limit=query["limit"], offset=query["offset"])
    revealed = query["reveal"] and grant.allows("secrets:read")
    if revealed:
        await reveal(service, call, listed.items)
    items = [config_document(item, masked=is_masked(item, revealed=revealed)) for item in listed]
    return answer_json(200, page(items, total=listed.total, limit=query["limit"], offset=query["offset"]))


async def read_history(service: Service, call: Call) -> Answer:
    """Answer a page of a key's versions, newest first."""
    query, path = call.query, _read_path(call)
    versions = await service.executor.run(service.kit.documents.history, path, limit=query["limit"], offset=query["offset"])
    revealed = query["reveal"] and call.grant.allows("secrets:read")
    if revealed:
        await reveal(service, call, versions.items)
    items = [history_document(item, masked=is_masked(item, revealed=revealed)) for item in versions]
    return answer_json(200, page(items, total=versions.total, limit=query["limit"], offset=query["offset"]))


async def read_bulk(service: Service, call: Call) -> Answer:
    """Answer many keys of one service at once."""
    document = await call.document()
    check_bulk_size(document.get("keys"), "keys")
    body = await call.model(ConfigBulk, document)
    environment, layers = call.environment(body.environment), [call.readable(body.service_name)]
    if body.resolve and body.service_name != SHARED:
        layers.append(SHARED)
    found: dict[str, ConfigVersion] = {}
    for layer in reversed(layers):
        found.update(await _layer(service, call, environment, layer, body.keys))
    revealed = body.reveal and call.grant.allows("secrets:read")
    if revealed:
        await reveal(service, call, list(found.values()))
    items = {key: _bulk_item(document, revealed=revealed, resolve=body.resolve) for key, document in sorted(found.items())}
    missing = sorted(set(body.keys or ()) - found.keys())
    return answer_json(200, {"items": items, "missing": missing}, [NO_STORE])


def _bulk_item(document: ConfigVersion, *, revealed: bool, resolve: bool) -> dict[str, Any]:
    source = document.path.service_name if resolve else None
    return config_document(document, masked=is_masked(document, revealed=revealed), source=source)


async def _layer(
    service: Service, call: Call, environment: str, service_name: str, keys: list[str] | None
) -> dict[str, ConfigVersion]:
    """Return the live documents of one layer: from memory where all are known, otherwise in one read of the store."""
    documents = service.kit.documents
    if keys is None:
        return await service.executor.run(documents.read_service, environment, service_name)
    known = [None if call.wants_fresh else documents.peek(config_path(environment, service_name, key)) for key in keys]
    found = {key: document for key, document in zip(keys, known, strict=True) if document is not None and not document.deleted}
    unknown = [key for key, document in zip(keys, known, strict=True) if document is None]
    if unknown:
        selector = ConfigSelector(frozenset({environment}), frozenset({service_name}), frozenset(unknown))
        listed = await service.executor.run(documents.list, selector, limit=MAX_BULK)
        found.update({document.path.key: document for document in listed})
    return found
