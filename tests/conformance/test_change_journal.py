"""The contract of `ChangeJournal`: what was begun, what became of it, and what is still to be announced."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from configkit.models import ConfigChanged, ConfigPath, Event, FlagChanged, Origin, RegistryChanged, Resync
from configkit.ports import Backends, ChangeJournal, Intent
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN
from tests.conformance.test_event_bus import listening
from tests.waiting import eventually

PORT = "changes"


def _changes(backends: Backends) -> ChangeJournal:
    assert backends.changes is not None
    return backends.changes


def _settle(deployment: Deployment) -> list[Event]:
    """Claim and announce everything that earlier cases have left, and return it."""
    journal, all_of_it = _changes(deployment.one), []
    while events := journal.unpublished(limit=100):
        assert len(events) <= 100
        journal.published([_id(event) for event in events])
        all_of_it += events
    return all_of_it


def _id(event: Event) -> str:
    assert not isinstance(event, Resync)
    return event.id


def _config(events: list[Event], path: ConfigPath) -> list[ConfigChanged]:
    return [event for event in events if isinstance(event, ConfigChanged) and event.path == path]


def _lines(deployment: Deployment, path: ConfigPath) -> list[tuple[str, int | None]]:
    assert deployment.other.journal is not None
    return [(line.action, line.version) for line in deployment.other.journal.entries(limit=50) if line.subject == str(path)]


def _unresolved(deployment: Deployment, *, older_than: float = 0.0) -> list[Intent]:
    return _changes(deployment.other).unresolved(older_than=older_than, limit=10_000)


def test_an_intent_says_what_is_to_be_done_and_by_whom(deployment: Deployment) -> None:
    path = fresh.path()
    intent = _changes(deployment.one).intend("update", path, origin=Origin("bob", "10.1.2.3"))
    assert (intent.action, intent.path, intent.origin) == ("update", path, Origin("bob", "10.1.2.3"))
    assert fresh.is_recent(intent.at)
    assert intent in _unresolved(deployment)


def test_an_intent_is_no_line_of_the_journal_and_no_event(deployment: Deployment) -> None:
    _settle(deployment)
    path = fresh.path()
    _changes(deployment.one).intend("create", path, origin=ORIGIN)
    assert _lines(deployment, path) == []
    assert _config(_settle(deployment), path) == []


def test_what_was_committed_is_a_line_of_the_journal(deployment: Deployment) -> None:
    path = fresh.path()
    journal = _changes(deployment.one)
    journal.commit(journal.intend("create", path, origin=Origin("bob", "cli")), 1)
    journal.commit(journal.intend("delete", path, origin=ORIGIN), 1, deleted=True)
    assert _lines(deployment, path) == [("delete", 1), ("create", 1)]
    assert deployment.one.journal is not None
    (line,) = [each for each in deployment.one.journal.entries(limit=2) if each.action == "create"]
    assert (line.kind, line.origin) == ("config", Origin("bob", "cli"))
    assert fresh.is_recent(line.at)


def test_what_was_committed_is_told_on_the_bus(deployment: Deployment) -> None:
    path = fresh.path()
    journal = _changes(deployment.one)
    with listening(deployment.other.bus) as heard:
        journal.commit(journal.intend("create", path, origin=ORIGIN), 3)
        journal.commit(journal.intend("delete", path, origin=ORIGIN), 3, deleted=True)
        eventually(lambda: len(heard.config(path)) == 2)
        told = [(event.version, event.deleted, event.changed_by) for event in heard.config(path)]
    assert told == [(3, False, "ann"), (3, True, "ann")]


def test_an_unknown_version_stays_unknown(deployment: Deployment) -> None:
    _settle(deployment)
    path = fresh.path()
    journal = _changes(deployment.one)
    journal.commit(journal.intend("update", path, origin=ORIGIN), None)
    (event,) = _config(_settle(deployment), path)
    assert event.version is None
    assert _lines(deployment, path) == [("update", None)]


def test_a_resolved_intent_is_not_unresolved(deployment: Deployment) -> None:
    journal = _changes(deployment.one)
    committed, abandoned, left = (journal.intend("update", fresh.path(), origin=ORIGIN) for _ in range(3))
    journal.commit(committed, 2)
    journal.abandon(abandoned)
    found = _unresolved(deployment)
    assert left in found
    assert committed not in found
    assert abandoned not in found
    assert _lines(deployment, abandoned.path) == []


def test_a_young_intent_is_its_writers_own(deployment: Deployment) -> None:
    intent = _changes(deployment.one).intend("update", fresh.path(), origin=ORIGIN)
    assert intent not in _unresolved(deployment, older_than=60.0)
    assert intent in _unresolved(deployment)


def test_an_intent_that_was_claimed_is_not_given_to_another(deployment: Deployment) -> None:
    intent = _changes(deployment.one).intend("update", fresh.path(), origin=ORIGIN)
    assert intent in _unresolved(deployment)
    assert intent not in _unresolved(deployment)
    assert intent not in _changes(deployment.one).unresolved(older_than=0.0, limit=10_000)


def test_intents_are_claimed_by_one_caller_each(deployment: Deployment) -> None:
    made = {_changes(deployment.one).intend("update", fresh.path(), origin=ORIGIN).id for _ in range(40)}
    callers = (_changes(deployment.one), _changes(deployment.other))

    def claim(number: int) -> list[str]:
        claimed: list[str] = []
        while found := callers[number % 2].unresolved(older_than=0.0, limit=3):
            assert len(found) <= 3
            claimed += [intent.id for intent in found]
        return claimed

    with ThreadPoolExecutor(4) as pool:
        claims = [intent_id for run in pool.map(claim, range(4)) for intent_id in run]
    assert made <= set(claims)
    assert len(claims) == len(set(claims))


def test_an_intent_that_two_have_resolved_is_one_change(deployment: Deployment) -> None:
    _settle(deployment)
    path = fresh.path()
    intent = _changes(deployment.one).intend("update", path, origin=ORIGIN)
    _changes(deployment.other).commit(intent, 7)
    _changes(deployment.one).commit(intent, 7)
    assert _lines(deployment, path) == [("update", 7)]
    assert len(_config(_settle(deployment), path)) == 1


def test_a_writer_that_comes_late_is_believed_against_who_gave_its_intent_up(deployment: Deployment) -> None:
    path = fresh.path()
    intent = _changes(deployment.one).intend("update", path, origin=ORIGIN)
    _changes(deployment.other).abandon(intent)
    _changes(deployment.one).commit(intent, 7)
    assert _lines(deployment, path) == [("update", 7)]


def test_changes_of_every_kind_are_to_be_announced_oldest_first(deployment: Deployment) -> None:
    _settle(deployment)
    journal = _changes(deployment.one)
    path, flag, instance = fresh.path(), fresh.flag(), fresh.instance()
    journal.commit(journal.intend("create", path, origin=ORIGIN), 1)
    deployment.one.flags.create(flag, origin=ORIGIN)
    deployment.one.registry.register(instance, origin=ORIGIN)
    journal.commit(journal.intend("update", path, origin=ORIGIN), 2)
    events = _settle(deployment)
    assert [type(event) for event in events] == [ConfigChanged, FlagChanged, RegistryChanged, ConfigChanged]
    assert [event.version for event in _config(events, path)] == [1, 2]


def test_what_the_bus_tells_and_what_is_to_be_announced_have_the_same_ids(deployment: Deployment) -> None:
    _settle(deployment)
    path = fresh.path()
    journal = _changes(deployment.one)
    with listening(deployment.other.bus) as heard:
        journal.commit(journal.intend("create", path, origin=ORIGIN), 1)
        eventually(lambda: heard.config(path))
        assert _config(_settle(deployment), path) == heard.config(path)[:1]


def test_reads_of_secrets_are_nothing_to_announce(deployment: Deployment) -> None:
    _settle(deployment)
    assert deployment.one.journal is not None
    deployment.one.journal.record_read([fresh.path()], origin=ORIGIN)
    assert _settle(deployment) == []


def test_what_was_claimed_is_not_given_to_another(deployment: Deployment) -> None:
    _settle(deployment)
    path = fresh.path()
    journal = _changes(deployment.one)
    journal.commit(journal.intend("create", path, origin=ORIGIN), 1)
    assert len(_config(_changes(deployment.other).unpublished(), path)) == 1
    assert _config(journal.unpublished(), path) == []


def test_changes_are_claimed_by_one_caller_each_and_what_was_published_does_not_come_back(deployment: Deployment) -> None:
    _settle(deployment)
    paths = [fresh.path() for _ in range(40)]
    for path in paths:
        intent = _changes(deployment.one).intend("create", path, origin=ORIGIN)
        _changes(deployment.one).commit(intent, 1)
    callers = (_changes(deployment.one), _changes(deployment.other))

    def announce(number: int) -> list[Event]:
        claimed: list[Event] = []
        while events := callers[number % 2].unpublished(limit=3):
            assert len(events) <= 3
            callers[number % 2].published([_id(event) for event in events])
            claimed += events
        return claimed

    with ThreadPoolExecutor(4) as pool:
        announced = [event for run in pool.map(announce, range(4)) for event in run]
    assert sorted(event.path for event in announced if isinstance(event, ConfigChanged)) == sorted(paths)
    assert len({_id(event) for event in announced}) == len(announced)
    assert _settle(deployment) == []


def test_publishing_what_nobody_knows_changes_nothing(deployment: Deployment) -> None:
    _settle(deployment)
    path = fresh.path()
    journal = _changes(deployment.one)
    journal.commit(journal.intend("create", path, origin=ORIGIN), 1)
    journal.published(["elsewhere-1", "elsewhere-2"])
    journal.published([])
    assert len(_config(_settle(deployment), path)) == 1


def test_two_writers_of_one_key_are_two_intents(deployment: Deployment) -> None:
    path = fresh.path()
    first = _changes(deployment.one).intend("update", path, origin=ORIGIN)
    second = _changes(deployment.other).intend("update", path, origin=Origin("bob"))
    assert first.id != second.id
    _changes(deployment.one).commit(first, 2)
    assert [intent for intent in _unresolved(deployment) if intent.path == path] == [second]
