"""Several buses as one."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from configkit.backends.memory import MemoryBus
from configkit.errors import UnavailableError
from configkit.models import Event, RegistryChanged, Resync, utcnow
from configkit.wiring.buses import MergedBus, WatchBus
from tests.waiting import eventually


class Away:
    """A bus that cannot be subscribed to until it is back, or only slowly."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.inner = MemoryBus()
        self.is_away = seconds == 0
        self.seconds = seconds
        self.tried = threading.Event()

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        self.tried.set()
        if self.is_away:
            raise UnavailableError("away", backend="test", operation="subscribe")
        time.sleep(self.seconds)
        return self.inner.subscribe(deliver)


def change(name: str) -> RegistryChanged:
    return RegistryChanged("id", name, utcnow())


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def one() -> Iterator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    bus.close()


def test_events_of_every_bus_are_delivered_until_the_end(one: MemoryBus, heard: list[Event]) -> None:
    other = MemoryBus()
    end = MergedBus({"one": one, "other": other}).subscribe(heard.append)
    one.publish(change("a"))
    other.publish(change("b"))
    assert eventually(lambda: len(heard) == 2)
    end()
    one.publish(change("c"))
    assert [event for event in heard if isinstance(event, Resync)] == []
    assert eventually(lambda: len(heard) == 2)


def test_without_any_bus_nothing_is_subscribed() -> None:
    bus = MergedBus({"a": Away(), "b": Away()})
    with pytest.raises(UnavailableError):
        bus.subscribe(lambda event: None)
    assert bus.waiting == ()


def test_one_that_is_away_stops_nobody_and_is_a_resync_when_it_is_back(one: MemoryBus, heard: list[Event]) -> None:
    away = Away()
    merged = MergedBus({"one": one, "away": away})
    end = merged.subscribe(heard.append)
    assert merged.waiting == ("away",)
    one.publish(change("a"))
    assert eventually(lambda: heard == [heard[0]] and isinstance(heard[0], RegistryChanged) if heard else False)
    away.is_away = False
    assert eventually(lambda: any(isinstance(event, Resync) for event in heard))
    away.inner.publish(change("b"))
    assert eventually(lambda: len(heard) == 3)
    assert eventually(lambda: not merged.waiting)
    end()
    away.inner.close()


def test_one_that_takes_long_is_not_waited_for_and_is_a_resync(one: MemoryBus, heard: list[Event]) -> None:
    slow = Away(seconds=1.2)
    begun = time.monotonic()
    end = MergedBus({"one": one, "slow": slow}).subscribe(heard.append)
    assert time.monotonic() - begun < 1.1
    assert eventually(lambda: any(isinstance(event, Resync) for event in heard))
    end()
    slow.inner.close()


def test_events_come_one_at_a_time_whatever_bus_they_come_from(one: MemoryBus) -> None:
    other = MemoryBus()
    inside: list[int] = []
    most: list[int] = []

    def deliver(event: Event) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.002)
        inside.pop()

    end = MergedBus({"one": one, "other": other}).subscribe(deliver)
    for number in range(20):
        one.publish(change(str(number)))
        other.publish(change(str(number)))
    assert eventually(lambda: len(most) == 40)
    assert set(most) == {1}
    end()
    other.close()


def test_a_watch_becomes_events(heard: list[Event]) -> None:
    listeners: list[Callable[[str], None]] = []

    def listen(callback: Callable[[str], None]) -> Callable[[], None]:
        listeners.append(callback)
        return listeners.clear

    end = WatchBus(listen, change).subscribe(heard.append)
    listeners[0]("asr-service")
    assert isinstance(heard[0], RegistryChanged)
    assert heard[0].service_name == "asr-service"
    end()
    assert listeners == []
