"""Every port in this process: no files, no servers, and no threads but those of the bus's subscribers."""

from configkit.backends.memory.blobs import MemoryBlobs
from configkit.backends.memory.bus import MemoryBus
from configkit.backends.memory.cache import MemoryCache
from configkit.backends.memory.config import MemoryConfigStore
from configkit.backends.memory.flags import MemoryFlagStore
from configkit.backends.memory.idempotency import MemoryIdempotencyStore
from configkit.backends.memory.journal import MemoryJournal
from configkit.backends.memory.opening import open_memory
from configkit.backends.memory.registry import MemoryRegistry
from configkit.backends.memory.tokens import MemoryTokenStore

__all__ = [
    "MemoryBlobs",
    "MemoryBus",
    "MemoryCache",
    "MemoryConfigStore",
    "MemoryFlagStore",
    "MemoryIdempotencyStore",
    "MemoryJournal",
    "MemoryRegistry",
    "MemoryTokenStore",
    "open_memory",
]
