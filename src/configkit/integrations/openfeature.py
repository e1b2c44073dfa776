"""
configkit's flags behind OpenFeature's API, for applications that are written against that.

    from openfeature import api
    from configkit.integrations.openfeature import ConfigKitProvider

    api.set_provider_and_wait(ConfigKitProvider(kit))
    api.get_client().get_boolean_value("new_ui", False, EvaluationContext("u123", {"country": "DE"}))

Source: OpenFeature specification 0.8, section 2 (providers) and appendix B (the shared behaviours).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import configkit
from configkit.client import ConfigKit
from configkit.errors import MissingExtraError
from configkit.flags.model import Evaluation

try:
    from openfeature.evaluation_context import EvaluationContext
    from openfeature.event import ProviderEventDetails
    from openfeature.exception import ErrorCode, ProviderNotReadyError
    from openfeature.flag_evaluation import FlagResolutionDetails, Reason
    from openfeature.provider import AbstractProvider, Metadata
except ImportError as error:
    raise MissingExtraError("openfeature", "the OpenFeature provider") from error

T = TypeVar("T")

Object = Sequence[Any] | Mapping[str, Any]

_MESSAGES = {
    "FLAG_NOT_FOUND": "there is no such flag",
    "TARGETING_KEY_MISSING": "it is on for a share of the users, so the targeting key is needed",
    "INVALID_CONTEXT": "the targeting key, or the attribute that is hashed, is no text of 1-1024 characters",
    "TYPE_MISMATCH": "its values are of another type",
    "PARSE_ERROR": "this release cannot read it, or what it depends on leads in a circle",
    "PROVIDER_NOT_READY": "no flags could be loaded yet",
}
_ERROR_CODES = {code.value: code for code in ErrorCode}


class ConfigKitProvider(AbstractProvider):
    """
    Resolves flags in the process: no call blocks, and the asynchronous ones have nothing to wait for.

    A whole number is an integer and a float alike; any other number is no integer (TYPE_MISMATCH). The details carry the
    variant, the reason, and as metadata ``version``, ``environment`` and, where a rule decided, ``rule``. Events tell of
    changed flags by name, and of flags that can no longer, and again, be read anew. Tracking is ignored.

    Args:
        kit: The client, which its owner closes; None: `configkit.connect` makes one, which is closed at the shutdown.
        within: Seconds for which the initialisation waits for the first flags.

    Raises:
        ConfigKitError: As `configkit.connect`, without *kit*.
    """

    def __init__(self, kit: ConfigKit | None = None, *, within: float = 5.0) -> None:
        super().__init__()
        self._kit = kit or configkit.connect()
        self._owned = kit is None
        self._within = within
        self._ends: list[Callable[[], None]] = []

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="configkit")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002  flags need no context to load
        """
        Wait for the first flags.

        Raises:
            ProviderNotReadyError: There were none in time; they go on being tried, and an event tells when they are there.
        """
        flags = self._kit.flags
        flags.wait(self._within)
        if not self._ends:
            self._ends = [flags.on_change(self._changed), flags.on_health(self._health)]
        if not flags.wait(0):
            raise ProviderNotReadyError("no flags could be loaded yet")

    def shutdown(self) -> None:
        """End; a client that was made here is closed. A second call does nothing."""
        for end in self._ends:
            end()
        self._ends = []
        if self._owned:
            self._kit.close()

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001  OpenFeature's signature
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return the decision of a flag whose values are true and false."""
        return _resolved(self._evaluate(flag_key, default_value, evaluation_context), default_value)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return the decision of a flag whose values are texts."""
        return _resolved(self._evaluate(flag_key, default_value, evaluation_context), default_value)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return the decision of a flag whose values are numbers, where it is whole."""
        found: FlagResolutionDetails[Any] = _resolved(self._evaluate(flag_key, default_value, evaluation_context), default_value)
        if isinstance(found.value, float):
            if not found.value.is_integer():
                return _failed(default_value, "TYPE_MISMATCH")
            found.value = int(found.value)
        return found

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return the decision of a flag whose values are numbers."""
        found = _resolved(self._evaluate(flag_key, default_value, evaluation_context), default_value)
        found.value = float(found.value)
        return found

    def resolve_object_details(
        self, flag_key: str, default_value: Object, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Object]:
        """Return the decision of a flag whose values are objects or lists."""
        return _resolved(self._evaluate(flag_key, default_value, evaluation_context), default_value)

    def _evaluate(self, name: str, default: Any, context: EvaluationContext | None) -> Evaluation:
        if context is None:
            return self._kit.flags.evaluate(name, default)
        return self._kit.flags.evaluate(name, default, user_id=context.targeting_key, context=context.attributes)

    def _changed(self, names: frozenset[str]) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=sorted(names)))

    def _health(self, stale: bool) -> None:  # noqa: FBT001  a listener's one argument
        if stale:
            self.emit_provider_stale(ProviderEventDetails(message="the flags cannot be read again; the last known ones are served"))
        else:
            self.emit_provider_ready(ProviderEventDetails(message="the flags can be read"))


def _resolved(evaluation: Evaluation, default: T) -> FlagResolutionDetails[T]:
    if evaluation.error_code is not None:
        return _failed(default, evaluation.error_code)
    metadata: dict[str, bool | int | float | str] = {"environment": evaluation.environment, "version": evaluation.version or 0}
    if evaluation.rule is not None:
        metadata["rule"] = evaluation.rule
    return FlagResolutionDetails(evaluation.value, None, None, evaluation.reason, evaluation.variant, metadata)


def _failed(default: T, code: str) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(
        default, _ERROR_CODES.get(code, ErrorCode.GENERAL), _MESSAGES.get(code, "evaluating it failed"), Reason.ERROR
    )
