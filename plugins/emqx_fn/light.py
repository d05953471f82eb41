"""`NamedTuple` without `typing`, whose import and whose work for each class take a tenth of a render.

A type checker reads the real one: modules import this in the `else` of `if TYPE_CHECKING`.
"""

from __future__ import annotations

from collections import namedtuple


class _Meta(type):
    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, object]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        fields = list(body.pop("__annotations__"))  # type: ignore[call-overload]
        made: type = namedtuple(name, fields, defaults=[body.pop(field) for field in fields if field in body])  # type: ignore[misc]
        for key, value in body.items():
            if key != "__qualname__":
                setattr(made, key, value)
        return made


class NamedTuple(metaclass=_Meta):
    """Base of a class whose annotated fields become those of a tuple; its methods stay."""
