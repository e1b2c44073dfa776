"""Hysteresis of health checks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.models import DRAINING, HEALTHY, STARTING, STATUSES, UNHEALTHY, UNKNOWN
from configkit.registry.health import contradicts, next_status


@pytest.mark.parametrize("status", [UNKNOWN, STARTING])
def test_the_first_result_decides_about_what_was_never_checked(status: str) -> None:
    assert next_status(status, ok=True, run=1) == HEALTHY
    assert next_status(status, ok=False, run=1) == UNHEALTHY


def test_one_failure_is_forgiven_and_two_in_a_row_are_not() -> None:
    assert next_status(HEALTHY, ok=False, run=1) == HEALTHY
    assert next_status(HEALTHY, ok=False, run=2) == UNHEALTHY


def test_one_success_is_not_believed_and_two_in_a_row_are() -> None:
    assert next_status(UNHEALTHY, ok=True, run=1) == UNHEALTHY
    assert next_status(UNHEALTHY, ok=True, run=2) == HEALTHY


@given(ok=st.booleans(), run=st.integers(min_value=1, max_value=9))
def test_a_draining_instance_stays_so(ok: bool, run: int) -> None:
    assert next_status(DRAINING, ok=ok, run=run) == DRAINING
    assert not contradicts(DRAINING, ok=ok)


@given(status=st.sampled_from(STATUSES), ok=st.booleans())
def test_two_equal_results_leave_no_contradiction(status: str, ok: bool) -> None:
    assert not contradicts(next_status(status, ok=ok, run=2), ok=ok)


@given(results=st.lists(st.booleans(), max_size=30))
def test_the_status_never_changes_against_the_two_last_results(results: list[bool]) -> None:
    status, run, before = HEALTHY, 0, None
    for ok in results:
        run = run + 1 if ok is before else 1
        following = next_status(status, ok=ok, run=run)
        if following != status:
            assert before is ok
            assert following == (HEALTHY if ok else UNHEALTHY)
        status, before = following, ok
