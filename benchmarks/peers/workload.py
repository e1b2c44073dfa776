"""
What every candidate is asked: six kinds of flags, ten thousand users.

The definitions are plain facts here; each peer turns them into its own format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

USERS = tuple(f"user-{number}" for number in range(10_000))
COUNTRIES = ("DE", "FR", "AT", "US")
CONTEXTS: tuple[dict[str, Any], ...] = tuple(
    {"country": COUNTRIES[number % 4], "plan": "pro" if number % 3 else "free", "age": number % 90} for number in range(10_000)
)
pairs = tuple(zip(USERS, CONTEXTS, strict=True))
RULE_COUNTRIES = ("DE", "AT")
TARGETED = tuple(f"user-{number}" for number in range(0, 10_000, 10))
VARIANTS = ("red", "green", "blue", "black")
FILLERS = 95
"""Further flags, so that a hundred are loaded."""

PLAIN, ROLLOUT, RULE, TARGETS, VARIANT, UNKNOWN = (
    "plain boolean",
    "30 % rollout",
    "rule + 50 % split",
    "1 000 targeted users",
    "4 variants",
    "unknown flag",
)
CASES = (PLAIN, ROLLOUT, RULE, TARGETS, VARIANT, UNKNOWN)
NAMES = {PLAIN: "plain", ROLLOUT: "rollout", RULE: "rule", TARGETS: "targets", VARIANT: "variant", UNKNOWN: "nobody-knows"}


@dataclass(frozen=True)
class Candidate:
    """
    A client with the workload loaded.

    Attributes:
        prepare: Makes of a user and attributes what the client takes for a context, once.
        ask: Runs a case over all contexts that `prepare` has made, and returns the answers.
        ask_building: The same, with each context made in the loop.
    """

    name: str
    prepare: Callable[[str, Mapping[str, Any]], Any]
    ask: Mapping[str, Callable[[Sequence[Any]], list[Any]]]
    ask_building: Mapping[str, Callable[[], list[Any]]]


def candidate(name: str, prepare: Callable[[str, dict[str, Any]], Any], questions: Mapping[str, Callable[[Any], Any]]) -> Candidate:
    """Return the client that answers each case's question of a context that *prepare* has made."""

    def ask(question: Callable[[Any], Any], contexts: Sequence[Any]) -> list[Any]:
        return [question(context) for context in contexts]

    def ask_building(question: Callable[[Any], Any]) -> list[Any]:
        return [question(prepare(user, {**attributes})) for user, attributes in pairs]

    return Candidate(
        name,
        lambda user, attributes: prepare(user, dict(attributes)),
        {case: partial(ask, question) for case, question in questions.items()},
        {case: partial(ask_building, question) for case, question in questions.items()},
    )


def prepared(candidate: Candidate) -> list[Any]:
    """Return all contexts as *candidate* takes them."""
    return [candidate.prepare(user, attributes) for user, attributes in pairs]


def check(candidate: Candidate) -> None:
    """Refuse to measure a client whose answers are not what the definitions say."""
    contexts = prepared(candidate)
    for case in candidate.ask:
        answers = candidate.ask[case](contexts)
        if answers != candidate.ask_building[case]():
            raise AssertionError(f"{candidate.name}, {case}: a context that is built in the call is answered differently")
        _CHECKS[case](candidate.name, answers)


def _share(name: str, what: str, answers: Sequence[object], wanted: object, share: float) -> None:
    found = sum(answer == wanted for answer in answers) / len(answers)
    if abs(found - share) > 0.03:
        raise AssertionError(f"{name}, {what}: {found:.1%} instead of {share:.0%}")


def _check_rule(name: str, answers: list[Any]) -> None:
    inside = [answer for answer, attributes in zip(answers, CONTEXTS, strict=True) if attributes["country"] in RULE_COUNTRIES]
    _share(name, RULE, inside, True, 0.5)
    _share(name, RULE, answers, True, 0.25)


def _check_targets(name: str, answers: list[Any]) -> None:
    targeted = frozenset(TARGETED)
    if [answer is True for answer in answers] != [user in targeted for user in USERS]:
        raise AssertionError(f"{name}, {TARGETS}: other users than the targeted ones")


def _check_variants(name: str, answers: list[Any]) -> None:
    for variant in VARIANTS:
        _share(name, VARIANT, answers, variant, 0.25)


_CHECKS: dict[str, Callable[[str, list[Any]], None]] = {
    PLAIN: lambda name, answers: _share(name, PLAIN, answers, True, 1.0),
    ROLLOUT: lambda name, answers: _share(name, ROLLOUT, answers, True, 0.3),
    RULE: _check_rule,
    TARGETS: _check_targets,
    VARIANT: _check_variants,
    UNKNOWN: lambda name, answers: _share(name, UNKNOWN, answers, True, 0.0),
}
