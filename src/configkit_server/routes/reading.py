"""What the configuration routes share: finding documents, and showing secrets only to whom may see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from configkit.errors import NotFoundError
from configkit.models import ConfigPath, ConfigVersion
from configkit.names import SHARED
from configkit_server import etags
from configkit_server.answers import PRIVATE, Answer, Header, answer_json
from configkit_server.call import Call
from configkit_server.problems import NOT_FOUND, ProblemError
from configkit_server.service import Service
from configkit_server.wire.config import config_document

config_path = lru_cache(maxsize=8192)(ConfigPath)
"""Makes and checks a path; most requests are about a few."""


async def find(service: Service, call: Call, path: ConfigPath) -> ConfigVersion:
    """
    Return the latest document at *path*, without I/O where it is known and the caller accepts that.

    Raises:
        ProblemError: 404.
        UnavailableError: It is not known, and the store did not answer.
    """
    document = None if call.wants_fresh else service.kit.documents.peek(path)
    if document is None:
        return await service.executor.run(service.kit.documents.read, path, fresh=call.wants_fresh)
    if document.deleted:
        extra = {"deleted": True, "version": document.version} if document.version else {}
        raise ProblemError(NOT_FOUND, f"{path} is deleted" if document.version else f"{path} does not exist", extra=extra)
    return document


async def find_layered(service: Service, call: Call, path: ConfigPath) -> ConfigVersion:
    """Return the document at *path*, or what lies under it in the shared layer."""
    try:
        return await find(service, call, path)
    except (ProblemError, NotFoundError) as missing:
        if path.service_name == SHARED or (isinstance(missing, ProblemError) and missing.kind is not NOT_FOUND):
            raise
    return await find(service, call, config_path(path.environment, SHARED, path.key))


async def reveal(service: Service, call: Call, documents: Sequence[ConfigVersion]) -> None:
    """Record that the caller reads the secrets among *documents* in the clear; before they are shown."""
    paths = list(dict.fromkeys(document.path for document in documents if document.ever_secret and not document.deleted))
    journal = service.kit.backends.journal
    if paths and journal is not None:
        await service.writes.run(journal.record_read, paths, origin=call.origin)


def is_masked(document: ConfigVersion, *, revealed: bool) -> bool:
    """Whether the value of *document* is withheld."""
    return document.masked or (document.ever_secret and not revealed)


def answer_document(
    status: int, document: ConfigVersion, *, masked: bool, source: str | None = None, headers: Sequence[Header] = ()
) -> Answer:
    """Return *document* as an answer with its tag."""
    tag = etags.make(document.path.service_name, document.version, masked=masked)
    shown = config_document(document, masked=masked, source=source)
    return answer_json(status, shown, [PRIVATE, etags.header(tag), *headers], subject=str(document.path), version=document.version)
