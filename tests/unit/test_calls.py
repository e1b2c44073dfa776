import threading
import time
from collections.abc import Iterator

import pytest

from configkit.calls import Calls
from configkit.errors import ClosedError, NotFoundError, UnavailableError
from tests.waiting import eventually


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_call_gives_its_result_and_its_error() -> None:
    calls = Calls(workers=2)
    assert calls.run(lambda x: x + 1, 1) == 2
    with pytest.raises(NotFoundError):
        calls.run(lambda: _raise(NotFoundError("x")))
    calls.close()


def _raise(error: Exception) -> None:
    raise error


def test_a_timeout_error_of_the_call_itself_is_passed_on() -> None:
    calls = Calls(workers=2)
    with pytest.raises(TimeoutError, match="mine"):
        calls.run(lambda: _raise(TimeoutError("mine")))
    calls.close()


def test_the_caller_has_its_answer_by_the_deadline_though_the_call_hangs(release: threading.Event) -> None:
    calls = Calls(workers=2, deadline=0.2)
    begun = time.monotonic()
    with pytest.raises(UnavailableError):
        calls.run(release.wait)
    assert time.monotonic() - begun < 0.2 + 0.1
    release.set()
    calls.close()


def test_hung_calls_leave_the_pool_bounded_and_refuse_at_once_when_full(release: threading.Event) -> None:
    calls = Calls(workers=2, deadline=5, waiting=1)
    futures = [calls.submit(release.wait) for _ in range(3)]
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match="too many"):
        calls.run(int)
    assert time.monotonic() - begun < 0.1
    release.set()
    assert all(future.result(2) for future in futures)
    assert eventually(lambda: calls.run(int) == 0)
    calls.close()


def test_a_call_that_was_given_up_before_it_began_never_runs(release: threading.Event) -> None:
    calls = Calls(workers=1, deadline=0.1)
    ran: list[int] = []
    hung = calls.submit(release.wait)
    with pytest.raises(UnavailableError):
        calls.run(ran.append, 1)
    release.set()
    assert hung.result(2)
    assert calls.run_within(2, lambda: True)
    assert ran == []
    calls.close()


def test_a_call_within_a_call_cannot_starve_the_pool() -> None:
    calls = Calls(workers=1, deadline=2)
    assert calls.run(lambda: calls.run(lambda: 7)) == 7
    calls.close()


def test_a_call_on_a_worker_of_another_pool_runs_right_there() -> None:
    outer, inner = Calls(workers=1, deadline=5), Calls(workers=1, deadline=5)
    assert outer.run(lambda: inner.run(threading.current_thread)) is outer.run(threading.current_thread)
    assert inner.run(threading.current_thread) is not outer.run(threading.current_thread)
    outer.close()
    inner.close()


def test_without_workers_calls_run_in_the_callers_thread() -> None:
    calls = Calls(workers=0)
    assert calls.run(threading.current_thread) is threading.current_thread()
    assert calls.submit(threading.current_thread).result() is threading.current_thread()


def test_a_closed_pool_refuses_and_closing_is_bounded(release: threading.Event) -> None:
    calls = Calls(workers=2)
    calls.submit(release.wait)
    begun = time.monotonic()
    calls.close(within=0.2)
    assert time.monotonic() - begun < 0.5
    with pytest.raises(ClosedError):
        calls.run(int)
