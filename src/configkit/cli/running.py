"""Running a program that is registered while it runs."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from queue import SimpleQueue

from configkit.errors import InvalidDocumentError
from configkit.registry.registration import Registration

LEAVE_SECONDS = 1.0
TERMINATE_SECONDS = 5.0

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Happening = tuple[str, int]


def run_registered(arguments: Sequence[str], registered: AbstractContextManager[Registration]) -> int:
    """
    Run a program, registered from its start to its end, and return its exit code: 128 + n where signal n ended it.

    A signal takes the instance off the list before it is passed on, so that nobody calls a program that is leaving.

    Raises:
        InvalidDocumentError: The program cannot be started; or the registry refused the instance, and it was ended.
    """
    logging.getLogger("configkit").setLevel(logging.WARNING)
    happenings: SimpleQueue[Happening] = SimpleQueue()
    with _signals_into(happenings):
        program = _started(arguments)
        threading.Thread(target=lambda: happenings.put(("ended", program.wait())), daemon=True).start()
        try:
            with registered as registration:
                return _attended(program, happenings, registration)
        finally:
            _end(program)


def _started(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(arguments)  # noqa: S603  to run it is what was asked for
    except OSError as error:
        raise InvalidDocumentError(f"{arguments[0]} cannot be run: {error.strerror}") from None


def _attended(program: subprocess.Popen[bytes], happenings: SimpleQueue[Happening], registration: Registration) -> int:
    while True:
        what, number = happenings.get()
        if what == "ended":
            return number if number >= 0 else 128 - number
        registration.close(within=LEAVE_SECONDS)
        # A terminal has sent its own signals to the program already.
        if number == signal.SIGTERM or not sys.stdin.isatty():
            program.send_signal(number)


@contextmanager
def _signals_into(happenings: SimpleQueue[Happening]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _PASSED_ON}
    for number in _PASSED_ON:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda received, _frame: happenings.put(("signal", received)))
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _end(program: subprocess.Popen[bytes]) -> None:
    """Leave no program behind that nobody attends to."""
    if program.poll() is not None:
        return
    program.terminate()
    try:
        program.wait(TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
