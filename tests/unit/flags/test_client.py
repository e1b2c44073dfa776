import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.calls import Calls
from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError, UnavailableError
from configkit.flags.client import MAX_REPORTED, Flags
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.models import Origin
from tests.unit.flags.store import ENVIRONMENT, SteeredStore
from tests.unit.flags.test_evaluation import anything

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "flags.json").read_text(encoding="utf-8"))
NAMES = ["off", "nobody", "some", "some_and_u1", "only_u1", "all", "all_and_u1", "unknown"]


def store_of_all_kinds() -> SteeredStore:
    def made(name: str, percentage: float = 0, *users: str, on: bool = True) -> Flag:
        return Flag(name, ENVIRONMENT, "", on, percentage, users)

    return SteeredStore(
        made("off", 100, "u1", on=False), made("nobody"), made("some", 40), made("some_and_u1", 40, "u1"), made("only_u1", 0, "u1"),
        made("all", 100), made("all_and_u1", 100, "u1"),
    )  # fmt: skip


def flags_on(store: SteeredStore, **more: Any) -> Flags:
    sets = FlagSets(store, Calls(workers=0))
    made = Flags(sets, ENVIRONMENT, Origin("tester"), **more)
    sets.request(ENVIRONMENT)
    return made


FLAGS = flags_on(store_of_all_kinds())

users: st.SearchStrategy[Any] = st.one_of(
    anything,
    st.just("u1"),
    st.text(min_size=20, max_size=30),
    st.text(min_size=200, max_size=300),
    st.integers(1, 1100).map("é".__mul__),
)


@given(name=st.one_of(st.sampled_from(NAMES), anything), user_id=users, context=anything, default=st.booleans())
@settings(max_examples=500, deadline=None)
def test_the_short_way_and_the_whole_evaluation_agree_and_never_raise(name: Any, user_id: Any, context: Any, default: bool) -> None:
    short = FLAGS.is_enabled(name, default, user_id=user_id, context=context)
    whole = FLAGS.evaluate(name, default, user_id=user_id, context=context)
    assert short is whole.value


@pytest.mark.parametrize("number", range(0, len(VECTORS["evaluations"]), 5))
def test_golden_evaluations_through_the_client(number: int) -> None:
    flags = flags_on(SteeredStore(*(Flag(**each) for each in VECTORS["flags"])))
    for vector in VECTORS["evaluations"][number : number + 5]:
        expected = vector["expected"]
        assert flags.value(vector["flag_name"], vector["default"], user_id=vector["user_id"]) == expected["value"]
        if isinstance(vector["default"], bool):
            assert flags.is_enabled(vector["flag_name"], vector["default"], user_id=vector["user_id"]) is expected["value"]


def test_before_anything_is_loaded_the_default_is_answered_without_an_error(caplog: pytest.LogCaptureFixture) -> None:
    store = SteeredStore(Flag("f", ENVIRONMENT, is_enabled=True, rollout_percentage=100))
    store.failure = UnavailableError("down", backend="steered", operation="load")
    flags = flags_on(store)
    assert flags.is_enabled("f", True) is True
    assert flags.is_enabled("f") is False
    answer = flags.evaluate("f", True)
    assert (answer.value, answer.reason, answer.error_code) == (True, "ERROR", "PROVIDER_NOT_READY")
    assert flags.evaluate_all() == {}
    assert len(store.loads) == 1
    with pytest.raises(UnavailableError):
        flags.all()
    store.failure = None
    assert flags.all().keys() == {"f"}
    assert flags.is_enabled("f") is True
    assert caplog.text.count("no flags could be loaded yet") == 1


def test_a_value_is_the_default_where_its_type_is_another() -> None:
    assert FLAGS.value("all", "light") == "light"
    assert FLAGS.value("all", False) is True
    assert FLAGS.value("all", None) is True
    assert FLAGS.evaluate("all", "light").error_code == "TYPE_MISMATCH"


@pytest.mark.parametrize("default", [{"userId": "u1"}, "u1", 1, None, []])
@pytest.mark.parametrize("name", ["some", "unknown"])
def test_a_default_that_is_no_boolean_turns_nothing_on_and_is_said_once(
    name: str, default: Any, caplog: pytest.LogCaptureFixture
) -> None:
    flags = flags_on(store_of_all_kinds())
    assert [flags.is_enabled(name, default) for _ in range(3)] == [False] * 3
    assert caplog.text.count("neither True nor False") == 1


def test_a_change_is_seen_by_the_short_way_too() -> None:
    flags = flags_on(SteeredStore())
    assert flags.is_enabled("f") is False
    created = flags.create("f", is_enabled=True, rollout_percentage=100)
    assert (created.version, created.environment) == (1, ENVIRONMENT)
    assert flags.is_enabled("f") is True
    flags.update("f", rollout_percentage=0, target_users=["u1"])
    assert (flags.is_enabled("f", user_id="u1"), flags.is_enabled("f", user_id="u2")) == (True, False)
    flags.update("f", target_users=None)
    assert flags.is_enabled("f", user_id="u1") is False
    flags.delete("f", expected_version=3)
    assert flags.is_enabled("f", True) is True
    assert dict(flags.all()) == {}


def test_writes_tell_what_is_wrong() -> None:
    flags = flags_on(store_of_all_kinds())
    with pytest.raises(ConflictError):
        flags.create("all")
    with pytest.raises(ConflictError):
        flags.update("all", expected_version=1, is_enabled=False)
    with pytest.raises(NotFoundError):
        flags.delete("unknown")
    with pytest.raises(InvalidDocumentError, match="rollout_percentage"):
        flags.update("all", rollout_percentage=101)
    with pytest.raises(InvalidDocumentError, match="colour"):
        flags.create("f", colour="red")
    with pytest.raises(InvalidDocumentError):
        flags.create("../f")


def test_while_the_store_is_down_the_last_known_flags_answer() -> None:
    store = store_of_all_kinds()
    flags = flags_on(store)
    store.failure = UnavailableError("down", backend="steered", operation="load")
    flags.update("all", description="written, not read back")
    assert flags.is_enabled("all") is True
    assert flags.evaluate("all").reason == "STALE"
    assert flags.evaluate_all(user_id="u1")["only_u1"].value is True


def test_an_unknown_flag_is_reported_once_and_the_reports_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="configkit")
    flags = flags_on(store_of_all_kinds())
    for number in range(MAX_REPORTED + 50):
        flags.is_enabled(f"unknown-{number}")
        flags.is_enabled("unknown-0")
    assert len(caplog.records) == MAX_REPORTED
    assert caplog.records[0].getMessage() == (
        "flag 'unknown-0' of production: there is no such flag; the caller's default is answered"
    )


def test_a_forked_child_answers_at_once_and_starts_the_client_again_once() -> None:
    store = store_of_all_kinds()
    revived: list[bool] = []
    flags = flags_on(store, revive=lambda: revived.append(True))
    flags.after_fork()
    assert flags.is_enabled("all") is True
    assert flags.is_enabled("only_u1", user_id="u1") is True
    assert revived == [True]
    assert flags._table


def test_a_child_that_cannot_start_again_serves_what_it_knew(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("can't start new thread")

    flags = flags_on(store_of_all_kinds(), revive=broken)
    flags.after_fork()
    assert flags.is_enabled("all") is True
    assert "could not start again in the forked child" in caplog.text


def test_two_views_of_one_environment_see_the_same() -> None:
    sets = FlagSets(store_of_all_kinds(), Calls(workers=0))
    one, other = Flags(sets, ENVIRONMENT), Flags(sets, ENVIRONMENT)
    sets.ensure(ENVIRONMENT)
    one.update("all", is_enabled=False)
    assert other.is_enabled("all") is False
