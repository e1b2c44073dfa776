"""The gate that a fork shuts."""

from __future__ import annotations

import threading

from configkit.backends.sql.gate import Gate


def test_a_shut_gate_lets_nobody_in_until_it_is_opened() -> None:
    gate = Gate()
    assert gate.shut(0.0)
    assert not gate.enter(0.01)
    entered = threading.Event()

    def enter() -> None:
        if gate.enter(10.0):
            entered.set()
            gate.leave()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.is_set()
    gate.open()
    assert entered.wait(5.0)
    thread.join(5.0)


def test_shutting_waits_for_the_last_one_to_leave() -> None:
    gate = Gate()
    assert gate.enter(0.0)
    assert gate.enter(0.0)
    assert not gate.shut(0.01)
    gate.leave()
    assert not gate.shut(0.01)
    thread = threading.Thread(target=gate.leave)
    thread.start()
    assert gate.shut(5.0)
    thread.join(5.0)
