"""
Which instance the next call goes to: pure functions of the instances and a number.

*turn* is a counter that grows by one with each choice, *draw* a random number from [0, 1); the caller has both. No
function is called without instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import isfinite

from configkit.errors import InvalidDocumentError
from configkit.models import ServiceInstance

STRATEGIES = ("round_robin", "random", "weighted", "least_loaded")


def round_robin(instances: Sequence[ServiceInstance], turn: int) -> ServiceInstance:
    """Return one after the other."""
    return instances[turn % len(instances)]


def random(instances: Sequence[ServiceInstance], draw: float) -> ServiceInstance:
    """Return any, each as likely as another."""
    return instances[min(int(draw * len(instances)), len(instances) - 1)]


def weighted(instances: Sequence[ServiceInstance], draw: float) -> ServiceInstance:
    """Return any, as likely as its share of the weights; one of weight 0 never, unless all are 0."""
    bounds = list(accumulate(instance.weight for instance in instances))
    if not bounds[-1]:
        return random(instances, draw)
    point = min(int(draw * bounds[-1]), bounds[-1] - 1)
    return next(instance for instance, bound in zip(instances, bounds, strict=True) if point < bound)


def least_loaded(instances: Sequence[ServiceInstance], load: Mapping[str, int], turn: int) -> ServiceInstance:
    """
    Return one with the least load, taking turns among equals.

    Args:
        load: Calls in flight by instance id, as the caller counts them; what an instance reports of itself as
            ``metadata["load"]`` is added.
    """
    loads = [load.get(instance.instance_id, 0) + reported_load(instance) for instance in instances]
    least = min(loads)
    return round_robin([instance for instance, its in zip(instances, loads, strict=True) if its == least], turn)


def reported_load(instance: ServiceInstance) -> float:
    """Return the load that *instance* reports in its metadata: a number from 0; anything else counts as 0."""
    try:
        load = float(instance.metadata.get("load", "0"))
    except ValueError:
        return 0.0
    return load if isfinite(load) and load > 0 else 0.0


def in_zone(instances: Sequence[ServiceInstance], zone: str | None) -> Sequence[ServiceInstance]:
    """Return the instances of *zone*, or all of them where it has none (or none is asked for)."""
    near = [instance for instance in instances if instance.zone == zone] if zone is not None else []
    return near or instances


def choose(
    strategy: str, instances: Sequence[ServiceInstance], *, turn: int, draw: float, load: Mapping[str, int]
) -> ServiceInstance:
    """
    Return the instance that *strategy* gives.

    Raises:
        InvalidDocumentError: There is no such strategy.
    """
    if strategy == "round_robin":
        return round_robin(instances, turn)
    if strategy == "random":
        return random(instances, draw)
    if strategy == "weighted":
        return weighted(instances, draw)
    if strategy == "least_loaded":
        return least_loaded(instances, load, turn)
    raise InvalidDocumentError(f"one of: {', '.join(STRATEGIES)}", pointer="/strategy")
