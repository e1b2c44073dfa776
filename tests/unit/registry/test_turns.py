"""Turns of services, room for what answers late, and patience with it."""

from __future__ import annotations

import threading

from configkit.models import HealthCheck
from configkit.registry.patience import LONGEST_REST, Patience
from configkit.registry.turns import FairCalls, Job, Turns
from tests.waiting import eventually

KEY = ("asr", "i1")
PROMPT = HealthCheck("i1", healthy=True, response_time_ms=3.0, status_code=200)
SLOW = HealthCheck("i1", healthy=True, response_time_ms=1500.0, status_code=200)
HUNG = HealthCheck("i1", healthy=False, response_time_ms=2000.0, error="timeout")
REFUSED = HealthCheck("i1", healthy=False, response_time_ms=1.0, error="connection refused")


def job(service: str, instance: str = "i1", *, late: bool = False) -> Job:
    return Job((service, instance), lambda: None, late)


def taken(turns: Turns) -> list[Job]:
    found = []
    while (one := turns.take()) is not None:
        found.append(one)
    return found


def patience(interval: float = 10.0) -> Patience:
    return Patience(interval=interval, timeout=2.0, chance=lambda: 1.0)


def test_services_take_turns_whatever_they_have_waiting() -> None:
    turns = Turns(8)
    for number in range(100):
        turns.add(job("many", f"i{number}"))
    turns.add(job("one"))
    assert [found.key for found in (turns.take(), turns.take(), turns.take()) if found] == [
        ("many", "i0"),
        ("one", "i1"),
        ("many", "i1"),
    ]


def test_one_service_has_a_quarter_of_the_places_at_most_until_one_of_its_jobs_ends() -> None:
    turns = Turns(16)
    for number in range(100):
        turns.add(job("many", f"i{number}"))
    running = taken(turns)
    assert len(running) == 4
    turns.end(running[0])
    assert len(taken(turns)) == 1


def test_late_ones_of_many_services_leave_room_for_prompt_ones() -> None:
    turns = Turns(16)
    for number in range(100):
        turns.add(job(f"tar-{number}", late=True))
    assert len(taken(turns)) == 8
    turns.add(job("victim"))
    assert [one.key[0] for one in taken(turns)] == ["victim"]


def test_prompt_ones_come_first_and_leave_room_for_late_ones() -> None:
    turns = Turns(16)
    for number in range(100):
        turns.add(job(f"late-{number}", late=True))
        turns.add(job(f"prompt-{number}"))
    assert [one.late for one in taken(turns)] == [False] * 12 + [True] * 4


def test_a_job_takes_the_place_of_one_that_waits_for_the_same_instance_even_if_it_is_late() -> None:
    turns = Turns(16)
    turns.add(job("asr", late=True))
    newer = job("asr")
    turns.add(newer)
    assert taken(turns) == [newer]


def test_places_are_free_again_whatever_a_job_raises() -> None:
    ran = threading.Semaphore(0)

    def fail() -> None:
        ran.release()
        raise ValueError

    calls = FairCalls(workers=1)
    for number in range(20):
        calls.submit(Job(("asr", str(number)), fail, late=False))
    for _ in range(20):
        assert ran.acquire(timeout=5)
    calls.close(within=1.0)
    assert not calls.submit(job("asr"))


def test_closing_returns_what_had_not_begun() -> None:
    gate, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        gate.wait(10)

    calls = FairCalls(workers=1)
    calls.submit(Job(("asr", "held"), hold, late=False))
    waiting = job("asr", "waits")
    calls.submit(waiting)
    eventually(begun.is_set)
    assert calls.close(within=0.0) == [waiting]
    gate.set()


def test_what_never_answers_is_checked_half_as_often_each_time_up_to_a_bound() -> None:
    kept = patience(interval=2.0)
    rests = []
    for _ in range(8):
        kept.note(KEY, HUNG, 0.0)
        rests.append(next(seconds for seconds in range(100) if not kept.rests(KEY, float(seconds))))
    assert rests == [4, 8, 16, LONGEST_REST, LONGEST_REST, LONGEST_REST, LONGEST_REST, LONGEST_REST]


def test_rests_are_spread_and_no_shorter_than_three_quarters() -> None:
    kept = Patience(interval=2.0, timeout=2.0, chance=lambda: 0.0)
    kept.note(KEY, HUNG, 0.0)
    assert kept.rests(KEY, 2.9)
    assert not kept.rests(KEY, 3.0)


def test_an_interval_longer_than_the_bound_is_never_shortened_nor_stretched() -> None:
    kept = patience(interval=60.0)
    kept.note(KEY, HUNG, 0.0)
    assert kept.rests(KEY, 59.0)
    assert not kept.rests(KEY, 60.0)


def test_a_quick_refusal_is_no_reason_to_wait() -> None:
    kept = patience()
    kept.note(KEY, REFUSED, 0.0)
    assert not kept.rests(KEY, 0.0)
    assert not kept.is_late(KEY)


def test_trust_is_won_by_as_many_prompt_answers_as_there_were_failures() -> None:
    kept = patience()
    assert kept.is_late(KEY)
    for _ in range(3):
        kept.note(KEY, HUNG, 0.0)
    late = []
    for _ in range(3):
        kept.note(KEY, PROMPT, 0.0)
        assert not kept.rests(KEY, 0.0)
        late.append(kept.is_late(KEY))
    assert late == [True, True, False]


def test_a_slow_but_healthy_answer_is_late_and_never_rests() -> None:
    kept = patience()
    kept.note(KEY, SLOW, 0.0)
    assert kept.is_late(KEY)
    assert not kept.rests(KEY, 0.0)


def test_instances_that_are_gone_are_forgotten() -> None:
    kept = patience()
    kept.note(KEY, PROMPT, 0.0)
    kept.forget(299.0)
    assert not kept.is_late(KEY)
    kept.forget(301.0)
    assert kept.is_late(KEY)
