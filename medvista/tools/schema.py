"""Type hints and docstrings to JSON schemas of a tool's arguments, which `argument_check` reads."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_SCALARS: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Inclusive limits of a number: ``Annotated[float, Bounds(0, 1000)]``."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """How many items a list has, inclusive: ``Annotated[list[int], Items(2, 4)]``."""

    minimum: int | None = None
    maximum: int | None = None


class ArgumentError(ValueError):
    """An argument does not fit; the message tells the model which and why. Tools raise it for their own checks."""


def arguments_schema(function: Callable[..., Any], documentation: str = "") -> dict[str, Any]:
    """JSON schema of a tool's arguments, all parameters but ``self`` and the images.

    Args:
        function: the function, with type hints: int, float, str, bool, `Literal`, ``X | None = None``, lists and tuples
            of these, and `Annotated` with `Bounds` or `Items`.
        documentation: its docstring, whose ``Args:`` section describes the arguments.

    Raises:
        TypeError: a hint is missing or has no schema; a programmer's error.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"][1:]
    described = _argument_descriptions(documentation)
    properties: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name not in hints:
            raise TypeError(f"Argument {parameter.name!r} of {function.__qualname__} needs a type hint.")
        properties[parameter.name] = type_schema(hints[parameter.name])
        if parameter.name in described:
            properties[parameter.name]["description"] = described[parameter.name]
        if parameter.default not in (inspect.Parameter.empty, None):
            default = parameter.default
            properties[parameter.name]["default"] = list(default) if isinstance(default, tuple) else default
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def type_schema(hint: Any) -> dict[str, Any]:
    """JSON schema of one type hint.

    >>> type_schema(tuple[float, float])
    {'type': 'array', 'items': {'type': 'number'}, 'minItems': 2, 'maxItems': 2}
    """
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return {**type_schema(inner[0]), **_limits_schema(inner[1:])}
    if origin is Literal and all(isinstance(value, str) for value in inner):
        return {"type": "string", "enum": list(inner)}
    if origin in (Union, types.UnionType) and len(inner) == 2 and type(None) in inner:
        return type_schema(next(part for part in inner if part is not type(None)))
    if origin is list:
        return {"type": "array", "items": type_schema(inner[0])}
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return {"type": "array", "items": type_schema(inner[0])}
    if origin is tuple and inner and all(part == inner[0] for part in inner):
        return {"type": "array", "items": type_schema(inner[0]), "minItems": len(inner), "maxItems": len(inner)}
    raise TypeError(f"{hint} has no JSON schema here; use int, float, str, bool, Literal, list, tuple or X | None.")


def _limits_schema(annotations: tuple[Any, ...]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for part in annotations:
        if isinstance(part, Bounds):
            limits |= {"minimum": part.minimum, "maximum": part.maximum}
        elif isinstance(part, Items):
            limits |= {"minItems": part.minimum, "maxItems": part.maximum}
    return {key: value for key, value in limits.items() if value is not None}


def first_paragraph(documentation: str) -> str:
    """What a docstring says before its sections, on one line."""
    text = re.split(r"\n\s*(?:Args|Returns|Raises):", documentation)[0]
    return " ".join(text.split())


def _argument_descriptions(documentation: str) -> dict[str, str]:
    """The ``name: text`` entries of a Google-style ``Args:`` section."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", documentation, re.MULTILINE)
    if not section:
        return {}
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
