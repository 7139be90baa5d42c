"""Reading parsed JSON field by field, so that a wrong file is described in one sentence instead of a traceback."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from medvista.whole_text import whole_text

T = TypeVar("T")

_DEEPEST = 64  # lists and objects in each other; a reader that recurses stops at about a thousand
_MOST_BITS = 1023  # of a whole number: what lies beyond is no float, and Python prints no 5,000 digits

_NAMES = {str: "a text", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


class FieldError(Exception):
    """A field is missing or of the wrong kind; the message names it by its full path."""


class Fields:
    """A JSON object whose fields are read with their types checked, and named by their path in what is raised.

    >>> Fields({"sample": {"id": 7}}).object("sample").read("id", str)
    Traceback (most recent call last):
        ...
    medvista.data.json_fields.FieldError: "sample.id" must be a text, not 7
    """

    __slots__ = ("_path", "_values")

    def __init__(self, values: Any, path: str = "") -> None:
        if not isinstance(values, dict):
            raise FieldError(f"{_quote(path)} must be an object, not {_shorten(values)}")
        self._values: Mapping[str, Any] = values
        self._path = path

    def __contains__(self, key: str) -> bool:
        """True when the field is there and not null."""
        return self._values.get(key) is not None

    def path(self, key: str) -> str:
        """The field's full path, as messages name it."""
        return f"{self._path}.{key}" if self._path else key

    def value(self, key: str) -> Any:
        """The field as it stands; raises `FieldError` when it is missing."""
        if key not in self._values:
            raise FieldError(f"{_quote(self.path(key))} is missing")
        return self._values[key]

    def read(self, key: str, kind: type[T]) -> T:
        """The field as a `kind`; an integer is also a ``float``, a boolean is not an ``int``."""
        value = self.value(key)
        if type(value) is kind:  # what files nearly always hold: reading is what viewers and reports wait for
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)  # type: ignore[return-value]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise FieldError(f"{_quote(self.path(key))} must be {_NAMES[kind]}, not {_shorten(value)}")
        return value

    def get(self, key: str, kind: type[T], default: T) -> T:
        """The field as a `kind`, or `default` when it is missing or null."""
        value = self._values.get(key)
        if value is None:
            return default
        return value if type(value) is kind else self.read(key, kind)

    def one_of(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """A text field which may only take some values."""
        if default is not None and key not in self:
            return default
        value = self.read(key, str)
        if value not in allowed:
            raise FieldError(f"{_quote(self.path(key))} must be one of {', '.join(allowed)}, not {_shorten(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty when missing."""
        values = self.get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise FieldError(f"{_quote(self.path(key))} must be a list of texts, not {_shorten(values)}")
        return tuple(values)

    def numbers(self, key: str, length: int | None = None) -> tuple[float, ...]:
        """A list of numbers, of a given length when one is given."""
        values = self.read(key, list)
        good = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if not good or (length is not None and len(values) != length):
            count = f"{length} numbers" if length is not None else "numbers"
            raise FieldError(f"{_quote(self.path(key))} must be a list of {count}, not {_shorten(values)}")
        return tuple(float(v) for v in values)

    def object(self, key: str) -> Fields:
        """A nested object; the field must be there."""
        return Fields(self.value(key), self.path(key))

    def objects(self, key: str) -> Iterator[Fields]:
        """The objects of a list; none when missing."""
        for index, value in enumerate(self.get(key, list, [])):
            yield Fields(value, f"{self.path(key)}[{index}]")

    def items(self, key: str) -> Iterator[tuple[str, Fields]]:
        """The objects of an object by their names; none when missing."""
        for name, value in self.get(key, dict, {}).items():
            yield name, Fields(value, f"{self.path(key)}.{name}")

    def floats(self, key: str) -> dict[str, float]:
        """An object of numbers; empty when missing."""
        numbers = Fields(self.get(key, dict, {}), self.path(key))
        return {name: numbers.read(name, float) for name in numbers}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


def plain(value: Any, depth: int = 0) -> Any:
    """The value with NumPy scalars and arrays, tuples and paths replaced by what JSON knows.

    A number that is not finite becomes None, since ``NaN`` is no JSON, and browsers and strict readers refuse a file
    with it; so does one beyond all floats. Half a character becomes the sign for that, and what lies deeper than
    `_DEEPEST` lists and objects a mark.
    """
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MOST_BITS else None
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {_shown(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), depth)
    return _shown(value)


def _shown(value: Any) -> str:
    """As text, whatever a class of another hand makes of that."""
    try:
        return whole_text(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _quote(path: str) -> str:
    return f'"{path}"' if path else "it"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
