"""What a user may set about a tool, checked against its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from medvista.errors import UserError

T = TypeVar("T")


def read_options(settings: type[T], options: Mapping[str, Any]) -> T:
    """The settings with the options in place of their defaults.

    Args:
        settings: a dataclass whose fields are texts, numbers, booleans or choices (`Literal`) of texts.
        options: by the names of its fields.

    Raises:
        UserError: an option is unknown or of the wrong kind.
    """
    hints = get_type_hints(settings)
    for name, value in options.items():
        if name not in hints:
            raise UserError(f"it has no option {name!r}; its options are {', '.join(hints)}")
        choices = get_args(hints[name])
        if choices and value not in choices:
            raise UserError(f"its option {name} is one of {', '.join(choices)}, not {value!r}")
        if not choices and not _fits(value, hints[name]):
            raise UserError(f"its option {name} takes a {hints[name].__name__}, not {value!r}")
    return settings(**options)


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
