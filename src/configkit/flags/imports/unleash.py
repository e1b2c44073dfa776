"""
Flags of Unleash: an export of its features, or what its clients read (``{"version": 2, "features": [...]}``).

Source: Unleash's documentation ("Import & export", "Activation strategies", "Strategy variants"). Strategies are or-ed, and so
are rules with a percentage: who is not in it goes on to the next.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags.definition import ON
from configkit.flags.imports import constraints
from configkit.flags.imports.findings import (
    Condition,
    Findings,
    Imported,
    UnmappableError,
    a_list,
    a_text,
    an_object,
    environment_of,
    texts,
    where,
)
from configkit.flags.model import SEGMENT, Flag
from configkit.flags.targeting import TARGETING_KEY

_ROLLOUTS = {"flexibleRollout": "rollout", "gradualRolloutUserId": "percentage", "gradualRolloutSessionId": "percentage"}
_STICKINESS = {"gradualRolloutUserId": "userId", "gradualRolloutSessionId": "sessionId"}


def read(document: object, environment: str, *, reshuffle: bool = False, source: str | None = None) -> Imported:
    """
    Return the flags and segments of *document*.

    Args:
        source: The environment of Unleash that is read; None: there is only one.

    Raises:
        InvalidDocumentError: It is no document of Unleash at all, or not clear which environment is meant.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("features"), list):
        raise InvalidDocumentError("a document of Unleash is an object with a list of features", pointer="/features")
    findings = Findings(reshuffle=reshuffle)
    segments: dict[object, str] = {}
    for given in _listed(document.get("segments")):
        with findings.reading(given.get("name")):
            segments[_scalar(given.get("id"))] = _slug(given.get("name"))
            findings.add(_segment(given, segments[_scalar(given.get("id"))], environment, findings))
    for feature in _features(document, source):
        with findings.reading(feature.get("name")):
            findings.add(_Reader(feature, segments, findings).flag(environment))
    return findings.imported()


def _listed(given: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list; what else there is belongs to no flag."""
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []


def _scalar(given: object) -> object:
    return given if isinstance(given, int | str) else None


def _features(document: Mapping[str, Any], source: str | None) -> list[Mapping[str, Any]]:
    """Return the features with what the export keeps beside them in their places, as clients read them."""
    features = _listed(document["features"])
    if "featureEnvironments" not in document:
        return features
    states = _listed(document["featureEnvironments"])
    chosen = environment_of((str(each.get("environment")) for each in states), source, "/featureEnvironments")
    here = {_scalar(each.get("featureName")): each for each in states if str(each.get("environment")) == chosen}
    strategies: defaultdict[object, list[Mapping[str, Any]]] = defaultdict(list)
    tags: defaultdict[object, list[object]] = defaultdict(list)
    parents: defaultdict[object, list[Mapping[str, Any]]] = defaultdict(list)
    for each in _listed(document.get("featureStrategies")):
        if each.get("environment", chosen) == chosen:
            strategies[_scalar(each.get("featureName"))].append({**each, "name": each.get("name") or each.get("strategyName")})
    for each in _listed(document.get("featureTags")):
        tags[_scalar(each.get("featureName"))].append(each.get("tagValue"))
    for each in _listed(document.get("dependencies")):
        parents[_scalar(each.get("feature"))] += _listed(each.get("dependencies"))
    whole: list[Mapping[str, Any]] = []
    for feature in features:
        name = _scalar(feature.get("name"))
        state = here.get(name, {})
        beside = {
            "enabled": state.get("enabled", False),
            "strategies": sorted(strategies[name], key=_position),
            "variants": state.get("variants") or feature.get("variants"),
            "tags": tags[name],
            "dependencies": parents[name],
        }
        whole.append({**feature, **beside})
    return whole


def _position(strategy: Mapping[str, Any]) -> float:
    position = strategy.get("sortOrder")
    return position if isinstance(position, int | float) else 0


def _slug(given: object) -> str:
    """Return the name that a segment gets here: flags' names have no spaces."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", a_text(given, "/name")).strip("-.") or "segment"


def _segment(given: Mapping[str, Any], name: str, environment: str, findings: Findings) -> Flag:
    conditions = [
        constraints.condition(each, f"/constraints/{index}", name, findings)
        for index, each in enumerate(a_list(given.get("constraints"), "/constraints"))
    ]
    rule = {"name": "constraints", "conditions": conditions, "variant": ON}
    return Flag(name, environment, kind=SEGMENT, description=given.get("description") or "", rules=(rule,))


class _Reader:
    def __init__(self, feature: Mapping[str, Any], segments: Mapping[object, str], findings: Findings) -> None:
        self._feature = feature
        self._name = a_text(feature.get("name"), "/name")
        self._segments = segments
        self._findings = findings

    def flag(self, environment: str) -> Flag:
        feature = self._feature
        if feature.get("archived") is True:
            raise UnmappableError("/archived", "it was archived, so nothing should read it")
        if not isinstance(feature.get("enabled"), bool):
            raise UnmappableError("/enabled", "true or false is expected")
        if feature.get("variants"):
            raise UnmappableError(
                "/variants", "whether it is on and which variant it has are two answers; make a flag with variants"
            )
        strategies = a_list(feature.get("strategies"), "/strategies")
        active = [(n, each) for n, each in enumerate(strategies) if an_object(each, f"/strategies/{n}").get("disabled") is not True]
        if strategies and not active:
            raise UnmappableError("/strategies", "all of them are disabled, which Unleash's clients are not told of")
        rules = [rule for number, each in active if (rule := self._rule(each, number)) is not None]
        return Flag(
            self._name,
            environment,
            description=feature.get("description") or "",
            is_enabled=feature["enabled"],
            rollout_percentage=0 if strategies else 100,
            rules=tuple(rules),
            prerequisites=tuple(self._prerequisites()),
            tags=tuple(dict.fromkeys(texts(feature.get("tags"), "/tags"))),
        )

    def _prerequisites(self) -> list[dict[str, Any]]:
        found = []
        for index, each in enumerate(a_list(self._feature.get("dependencies"), "/dependencies")):
            at = f"/dependencies/{index}"
            parent = an_object(each, at)
            if parent.get("enabled", True) is not True or parent.get("variants"):
                raise UnmappableError(at, "a prerequisite is a flag that is on; turn the dependency around")
            found.append({"flag": a_text(parent.get("feature"), f"{at}/feature"), "variants": [ON]})
        return found

    def _rule(self, strategy: Mapping[str, Any], number: int) -> dict[str, Any] | None:
        """Return a strategy as a rule; None: it is for nobody."""
        at = f"/strategies/{number}"
        if strategy.get("variants"):
            raise UnmappableError(
                f"{at}/variants", "whether it is on and which variant it has are two answers; make a flag with variants"
            )
        parameters = an_object(strategy.get("parameters") or {}, f"{at}/parameters")
        conditions = [
            constraints.condition(each, f"{at}/constraints/{index}", self._name, self._findings)
            for index, each in enumerate(a_list(strategy.get("constraints"), f"{at}/constraints"))
        ]
        conditions += self._memberships(strategy, at)
        rule: dict[str, Any] = {"name": f"strategy-{number + 1}", "variant": ON}
        name = strategy.get("name")
        if name == "userWithId":
            conditions.append(_named(TARGETING_KEY, parameters.get("userIds"), f"{at}/parameters/userIds"))
        elif name == "remoteAddress":
            conditions.append({**_named("remoteAddress", parameters.get("IPs"), f"{at}/parameters/IPs"), "operator": "in_cidr"})
        elif isinstance(name, str) and name in _ROLLOUTS:
            share = self._share(name, parameters, f"{at}/parameters")
            if share is None:
                return None
            rule |= share
            if "percentage" in share:  # there a strategy is for nobody without what it hashes
                conditions.append({"attribute": share.get("bucket_by", TARGETING_KEY), "operator": "exists"})
        elif name != "default":
            known = ", ".join(["default", "userWithId", "remoteAddress", *_ROLLOUTS])
            raise UnmappableError(f"{at}/name", f"a strategy that has no equal here; these have: {known}")
        return {**rule, "conditions": conditions}

    def _memberships(self, strategy: Mapping[str, Any], at: str) -> list[Condition]:
        found: list[Condition] = []
        for index, each in enumerate(a_list(strategy.get("segments"), f"{at}/segments")):
            number = _scalar(each.get("id") if isinstance(each, Mapping) else each)
            if number not in self._segments:
                raise UnmappableError(f"{at}/segments/{index}", "this segment is not in the document")
            found.append({"operator": "in_segment", "values": [self._segments[number]]})
        return found

    def _share(self, name: str, parameters: Mapping[str, Any], at: str) -> dict[str, Any] | None:
        """Return percentage, attribute and salt of a rollout; nothing where it is for all, and None where for nobody."""
        percentage = _percentage(parameters.get(_ROLLOUTS[name]), f"{at}/{_ROLLOUTS[name]}")
        if percentage == 0:
            return None
        stickiness = _STICKINESS.get(name) or parameters.get("stickiness") or "default"
        if percentage == 100 and stickiness in ("default", "random"):
            return {}
        if stickiness == "random":
            raise UnmappableError(f"{at}/stickiness", "nothing is random here: who gets it is the same at each call")
        self._findings.reshuffled(self._name, at)
        share: dict[str, Any] = {"percentage": percentage}
        if stickiness not in ("default", "userId"):
            share["bucket_by"] = constraints.attribute_of(stickiness, f"{at}/stickiness")
        group = parameters.get("groupId") or self._name
        return share | ({} if group == self._name else {"salt": a_text(group, f"{at}/groupId")})


def _named(attribute: str, given: object, pointer: str) -> Condition:
    names = [name for each in a_text(given, pointer).split(",") if (name := each.strip())]
    return where(attribute, "in", names)


def _percentage(given: object, pointer: str) -> int:
    try:
        percentage = int(given)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        percentage = -1
    if isinstance(given, bool) or not 0 <= percentage <= 100:
        raise UnmappableError(pointer, "a whole number of percent is expected")
    return percentage  # type: ignore[no-any-return]
