"""
What becomes of flags, told to OpenTelemetry: counts of what was served, and an event for each evaluation.

    from configkit.integrations.opentelemetry import EvaluationEvents, observe_usage

    observe_usage(kit.flags)
    api.add_hooks([EvaluationEvents().hook()])

Source: OpenTelemetry's semantic conventions for feature flags (``feature_flag.evaluation``). Counting costs evaluation nothing:
the counts that are kept anyway are read when the metrics are exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from configkit.errors import MissingExtraError
from configkit.flags.client import Flags
from configkit.flags.model import Evaluation

try:
    from opentelemetry._logs import LoggerProvider, get_logger
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
except ImportError as error:
    raise MissingExtraError("opentelemetry", "telling OpenTelemetry of flags") from error

if TYPE_CHECKING:
    from openfeature.hook import Hook

SCOPE = "configkit"
COUNTER = "configkit.flag.evaluations"
EVENT = "feature_flag.evaluation"

_KEY, _VARIANT, _REASON = "feature_flag.key", "feature_flag.result.variant", "feature_flag.result.reason"
_SET, _VERSION, _PROVIDER = "feature_flag.set.id", "feature_flag.version", "feature_flag.provider.name"
_CONTEXT, _ERROR, _MESSAGE = "feature_flag.context.id", "error.type", "feature_flag.error.message"
_VALUE = "feature_flag.result.value"


def observe_usage(flags: Flags, *, provider: MeterProvider | None = None) -> None:
    """
    Count what *flags* serve in the metric ``configkit.flag.evaluations``, by flag, variant and environment.

    Args:
        provider: Whose meter it is; None: the global one.
    """
    environment = flags.environment

    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(number, {_KEY: flag, _VARIANT: variant, _SET: environment, _PROVIDER: SCOPE})
            for flag, variants in flags.usage().items()
            for variant, number in variants.items()
        ]

    meter = get_meter(SCOPE, meter_provider=provider)
    meter.create_observable_counter(COUNTER, [observe], unit="{evaluation}", description="Decisions of flags, by variant.")


class EvaluationEvents:
    """
    Tells of single evaluations, each in an event ``feature_flag.evaluation``.

    Args:
        context_id: Whether the user id goes with it; it is personal data, so that it does not unless that is said.
        provider: Whose logger it is; None: the global one.
    """

    def __init__(self, *, context_id: bool = False, provider: LoggerProvider | None = None) -> None:
        self._context_id = context_id
        self._logger = get_logger(SCOPE, logger_provider=provider)

    def emit(self, found: Evaluation, *, user_id: str | int | None = None) -> None:
        """Tell of what `Flags.evaluate` has returned."""
        self._emit(found.flag_name, found.variant, found.reason, found.value, user_id, dict(_of_evaluation(found)))

    def hook(self) -> Hook:
        """Return an OpenFeature hook that tells of every evaluation, of other providers too."""
        from openfeature.flag_evaluation import FlagEvaluationDetails  # noqa: PLC0415  only whoever uses it needs it
        from openfeature.hook import Hook, HookContext, HookHints  # noqa: PLC0415

        emit = self._emit

        class EvaluationHook(Hook):
            """Tells of what was decided, and of what failed."""

            def finally_after(
                self,
                hook_context: HookContext,
                details: FlagEvaluationDetails[Any],
                hints: HookHints,  # noqa: ARG002  OpenFeature's signature
            ) -> None:
                more = dict(_of_metadata(details.flag_metadata))
                if hook_context.provider_metadata is not None:
                    more[_PROVIDER] = hook_context.provider_metadata.name
                if details.error_code is not None:
                    more[_ERROR] = details.error_code.value.lower()
                    more[_MESSAGE] = details.error_message or ""
                user = hook_context.evaluation_context.targeting_key
                emit(details.flag_key, details.variant, details.reason or "UNKNOWN", details.value, user, more)

        return EvaluationHook()

    def _emit(
        self, name: str, variant: str | None, reason: object, value: Any, user_id: str | int | None, more: Mapping[str, str]
    ) -> None:
        attributes: dict[str, Any] = {_KEY: name, _REASON: str(getattr(reason, "value", reason)).lower(), **more}
        if variant is not None:
            attributes[_VARIANT] = variant
        elif isinstance(value, str | bool | int | float):
            attributes[_VALUE] = value
        if self._context_id and user_id is not None:
            attributes[_CONTEXT] = str(user_id)
        self._logger.emit(event_name=EVENT, attributes=attributes)


def _of_evaluation(found: Evaluation) -> Iterator[tuple[str, str]]:
    yield _PROVIDER, SCOPE
    yield _SET, found.environment
    if found.version is not None:
        yield _VERSION, str(found.version)
    if found.error_code is not None:
        yield _ERROR, found.error_code.lower()


def _of_metadata(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the metadata of a flag says, by OpenFeature's names and by those of our provider."""
    for attribute, names in ((_SET, ("flagSetId", "environment")), (_VERSION, ("version",))):
        for name in names:
            if name in metadata:
                yield attribute, str(metadata[name])
                break
