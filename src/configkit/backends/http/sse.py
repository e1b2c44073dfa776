"""Server-sent events from bytes, as the WHATWG HTML standard reads them (section 9.2.6), whatever the chunks."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """
    One dispatched event.

    Attributes:
        event: Its type; ``message`` where the stream names none.
        id: The last event id of the stream at this event.
    """

    event: str
    data: str
    id: str


class EventParser:
    """
    Makes events of a stream's bytes.

    Args:
        last_event_id: Where the stream before this one ended.

    Attributes:
        last_event_id: Where a new stream would go on; set by events without data too.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = last_event_id

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """
        Return the events that *chunk* completes.

        Raises:
            ValueError: An event is larger than 256 KiB: this is no stream of ours.
        """
        text = self._decoder.decode(chunk)
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if text:
            self._after_cr = text.endswith("\r")
        *lines, self._line = (self._line + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        events = [event for line in lines if (event := self._take(line)) is not None]
        if self._size + len(self._line) > LIMIT:
            raise ValueError("an event larger than 256 KiB")
        return events

    def _take(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
            self._size += len(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        event, data = self._event or "message", self._data
        self._event, self._data, self._size = "", [], 0
        return ServerSentEvent(event, "\n".join(data), self.last_event_id) if data else None
