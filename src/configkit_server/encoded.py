"""Documents as they go over the wire, encoded once for each version."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import to_json

from configkit.models import ConfigPath, ConfigVersion
from configkit_server import etags
from configkit_server.answers import PRIVATE, Header
from configkit_server.wire.config import config_document

MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Encoded:
    """One document's body, its tag and its headers."""

    document: ConfigVersion
    body: bytes
    tag: str
    headers: tuple[Header, ...]


class EncodedDocuments:
    """Keeps the encoded form of documents that were never secret, within a bound of bytes."""

    def __init__(self) -> None:
        self._known: dict[ConfigPath, Encoded] = {}
        self._bytes = 0

    def of(self, document: ConfigVersion) -> Encoded:
        """Return *document* encoded; it was never secret, so that it looks the same to everybody."""
        found = self._known.get(document.path)
        if found is not None and found.document is document:
            return found
        body = to_json(config_document(document, masked=False))
        tag = etags.make(document.path.service_name, document.version)
        encoded = Encoded(document, body, tag, (PRIVATE, etags.header(tag)))
        if found is not None:
            self._bytes -= len(found.body)
        elif self._bytes > MAX_BYTES:
            self._known.clear()
            self._bytes = 0
        self._known[document.path] = encoded
        self._bytes += len(body)
        return encoded
