"""The breaker, with a clock that the test moves."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from configkit.backends.redis.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(jitter=max)
    for _ in range(FAILURES):
        assert breaker.admits(now)
        breaker.failed(now)
    return breaker


def test_it_opens_after_three_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.admits(0.0)
    for _ in range(FAILURES):
        assert not breaker.open
        breaker.failed(0.0)
    assert breaker.open
    assert not breaker.admits(0.0)


def test_after_the_pause_one_probe_goes_through_and_the_others_wait_for_its_outcome() -> None:
    breaker = opened()
    assert not breaker.admits(FIRST_PAUSE - 0.001)
    assert breaker.admits(FIRST_PAUSE)
    assert not breaker.admits(FIRST_PAUSE)
    breaker.succeeded()
    assert breaker.admits(FIRST_PAUSE)
    assert breaker.admits(FIRST_PAUSE)


def test_a_failed_probe_lets_the_next_one_wait_longer() -> None:
    breaker = opened()
    assert breaker.admits(FIRST_PAUSE)
    breaker.failed(FIRST_PAUSE)
    assert not breaker.admits(FIRST_PAUSE + LONGEST_PAUSE - 0.001)
    assert breaker.admits(FIRST_PAUSE + LONGEST_PAUSE)


def test_a_probe_that_never_reports_blocks_no_later_one() -> None:
    breaker = opened()
    assert breaker.admits(10.0)
    assert breaker.admits(10.0 + FIRST_PAUSE)


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order, the breaker is what the last outcomes make it."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0
        self.in_a_row = 0
        self.last_failure = 0.0
        self.probes_since = 0

    @rule(seconds=st.floats(0.0, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_succeeds(self) -> None:
        self.breaker.succeeded()
        self.in_a_row = 0

    @rule()
    def a_call_fails(self) -> None:
        self.breaker.failed(self.now)
        self.in_a_row += 1
        self.last_failure = self.now

    @precondition(lambda self: self.in_a_row >= FAILURES)
    @rule()
    def it_is_asked_while_open(self) -> None:
        since = self.now - self.last_failure
        if self.breaker.admits(self.now):
            assert since >= FIRST_PAUSE / 2
            assert not self.breaker.admits(self.now), "a second probe at the same moment"
            self.last_failure = self.now
        else:
            assert since <= LONGEST_PAUSE

    @invariant()
    def it_is_open_exactly_after_three_failures_in_a_row(self) -> None:
        assert self.breaker.open is (self.in_a_row >= FAILURES)
        if not self.breaker.open:
            assert self.breaker.admits(self.now)


TestAnyHistory = AnyHistory.TestCase
