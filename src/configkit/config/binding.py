"""A pydantic model that follows the configuration: swapped whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from configkit.errors import AccessDeniedError, ConfigKitError, InvalidDocumentError
from configkit.models import ConfigVersion

M = TypeVar("M")


class Binding(Generic[M]):
    """
    The last valid model made from configuration values.

    Attributes:
        current: That model.
        error: Why the newest values were refused; None while they are in use.
    """

    current: M

    def __init__(self, model: type[M], prefix: str, *, where: str = "") -> None:
        self.name: str = model.__name__
        self.error: ConfigKitError | None = None
        self._where = f"{self.name}, bound to {where}" if where else self.name
        self._model: Any = model
        fields: dict[str, Any] = cast("Any", model).model_fields
        self._fields = {prefix + (field.alias or name): field.alias or name for name, field in fields.items()}

    def wants(self, key: str) -> bool:
        """Return whether *key* is one of the model's."""
        return key in self._fields

    def update(self, known: Mapping[str, ConfigVersion]) -> None:
        """
        Make the model anew from *known* documents and swap it in.

        Raises:
            InvalidDocumentError: They do not validate; the last good model stays. The message has no values.
            AccessDeniedError: One of them is a secret that may not be read; the last good model stays.
        """
        try:
            self.current = self._made(known)
        except ConfigKitError as error:
            self.error = error
            raise
        self.error = None

    def _made(self, known: Mapping[str, ConfigVersion]) -> M:
        import pydantic  # noqa: PLC0415  loaded only where models are bound

        found = {}
        for key, field in self._fields.items():
            if key in known:
                if known[key].masked:
                    message = f"{self._where}: {key} is a secret, and these credentials lack secrets:read"
                    raise AccessDeniedError(message, backend="config", operation="bind")
                found[field] = known[key].value
        try:
            return cast("M", self._model.model_validate(found))
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_context=False, include_url=False)[0]
            pointer = "/" + "/".join(map(str, first["loc"]))
            raise InvalidDocumentError(f"{first['msg']} ({self._where})", pointer=pointer) from None

    @staticmethod
    def of(settings: object) -> Binding[Any]:
        """Return the binding behind what `bound` returned."""
        return cast("Binding[Any]", object.__getattribute__(settings, "_binding"))


class _Bound:
    """Reads every attribute from the model that is current now."""

    __slots__ = ("_binding",)

    def __init__(self, binding: Binding[Any]) -> None:
        object.__setattr__(self, "_binding", binding)

    def __getattr__(self, name: str) -> Any:
        return getattr(Binding.of(self).current, name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{Binding.of(self).name} follows the configuration: set the key {name} there")

    def __repr__(self) -> str:
        return f"<live {Binding.of(self).name}>"


def bound(binding: Binding[M]) -> M:
    """Return an object that reads like the model and is always the current one."""
    return cast("M", _Bound(binding))
