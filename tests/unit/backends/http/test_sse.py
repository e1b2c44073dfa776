"""The parser of server-sent events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.backends.http.sse import LIMIT, EventParser, ServerSentEvent


def parsed(*chunks: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\n", [("message", "one", "")]),
        (b"data: one\r\n\r\n", [("message", "one", "")]),
        (b"data: one\r\r", [("message", "one", "")]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (b": comment\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")]),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
        (b"event: config\ndata: {}\nid: a-7\n\ndata: x\n\n", [("config", "{}", "a-7"), ("message", "x", "a-7")]),
        (b"id: a\x00b\ndata: x\n\n", [("message", "x", "")]),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", [("message", "after a byte order mark", "")]),
        (b"data: \xff\xc3\xa4\n\n", [("message", "\ufffd\u00e4", "")]),
        (b"event: nothing\n\ndata: x\n\n", [("message", "x", "")]),
        (b"unknown: field\nretry: 10\ndata: x\n\n", [("message", "x", "")]),
        (b"data: never ended\n", []),
        (b"", []),
    ],
)  # fmt: skip
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[tuple[str, str, str]]) -> None:
    assert [(event.event, event.data, event.id) for event in parsed(stream)] == events


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"data", b"id", b"event", b":", b": ", b"\n", b"\r", b"\r\n", b"\n\n", "ä🚀".encode(), b"\xff", b"x", b"\0"]
        ),
        max_size=40,
    ),
    st.lists(st.integers(0, 120), max_size=12),
)
def test_the_chunks_of_a_stream_do_not_matter(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[start:end] for start, end in pairwise(bounds)]
    assert parsed(*chunks) == parsed(stream)
    assert parsed(*(bytes([byte]) for byte in stream)) == parsed(stream)


@settings(deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_what_is_sent_as_data_lines_arrives_as_data(lines: list[str]) -> None:
    stream = "".join(f"data: {line}\n" for line in lines) + "\n"
    assert [event.data for event in parsed(stream.encode())] == ["\n".join(lines)]


def test_an_event_is_given_as_soon_as_its_empty_line_ends_in_a_carriage_return() -> None:
    parser = EventParser()
    assert [event.data for event in parser.feed(b"data: now\r\n\r")] == ["now"]
    assert parser.feed(b"\n") == []


def test_an_id_without_data_is_where_a_new_stream_goes_on() -> None:
    parser = EventParser("a-1")
    assert parser.feed(b"id: a-9\n") == []
    assert parser.last_event_id == "a-1"
    assert parser.feed(b"\n") == []
    assert parser.last_event_id == "a-9"


def test_a_new_stream_begins_with_the_id_of_the_one_before() -> None:
    parser = EventParser("a-1")
    assert parser.feed(b"data: x\n\n") == [ServerSentEvent("message", "x", "a-1")]


@pytest.mark.parametrize("unit", [b"x", b"data: x\n"])
def test_an_endless_event_is_refused(unit: bytes) -> None:
    with pytest.raises(ValueError, match="larger than"):
        parsed(*([unit * 64] * (LIMIT // len(unit))))
