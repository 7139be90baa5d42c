"""Type hints and docstrings to JSON schemas, and arguments checked against them.

Validation reads the schema, not the hints, so that a tool that comes with a schema only is checked in the same way.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import types
from collections.abc import Callable, Mapping
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


def validate_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them: checked, numbers in strings read, optional nulls dropped.

    Args:
        arguments: what the model wrote.
        schema: an object schema as `arguments_schema` makes it, or one from elsewhere.

    Raises:
        ArgumentError: an argument is unknown, missing or of the wrong kind.
    """
    properties, required = schema["properties"], schema.get("required", ())
    known = ", ".join(properties) or "none"
    open_ended = bool(schema.get("additionalProperties"))  # only a schema from elsewhere is
    for name in arguments:
        if name not in properties and name not in required and not open_ended:
            raise ArgumentError(f"Unknown argument {name[:40]!r}; the arguments are: {known}.")
    given = {name: value for name, value in arguments.items() if value is not None or name in required}
    missing = [name for name in required if name not in given]
    if missing:
        raise ArgumentError(f"The argument {missing[0]!r} is missing{_meaning(properties.get(missing[0], {}))}.")
    return {name: _check(value, properties.get(name, {}), name) for name, value in given.items()}


def _meaning(schema: Mapping[str, Any]) -> str:
    """What a missing argument is for, so that the model can supply it."""
    description = str(schema.get("description", "")).rstrip(".")
    return f": {description}" if description else ""


def _check(value: Any, schema: Mapping[str, Any], where: str) -> Any:
    read = _read(value, schema, where)
    options = schema.get("enum")
    if options and read not in options:
        raise ArgumentError(f"{where} has to be one of {', '.join(map(str, options))}, got {_shown(value)}.")
    return read


def _read(value: Any, schema: Mapping[str, Any], where: str) -> Any:
    """The value in the schema's type."""
    kind = schema.get("type")
    if kind == "array":
        return _check_array(value, schema, where)
    if kind in ("integer", "number"):
        return _check_number(value, schema, where)
    if kind == "boolean":
        return _check_boolean(value, where)
    if kind == "string":
        return _check_string(value, where)
    return value  # a schema from elsewhere may say nothing about the type


def _check_array(value: Any, schema: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, str):
        value = _read_json(value)  # models often write a list in quotes
    if not isinstance(value, list | tuple):
        raise ArgumentError(f"{where} has to be a list, got {_shown(value)}.")
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    if not least <= len(value) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}" if most < math.inf else f"at least {least}"
        raise ArgumentError(f"{where} has to have {wanted} items, got {len(value)}.")
    items = [_check(item, schema.get("items", {}), f"{where}[{index}]") for index, item in enumerate(value)]
    return tuple(items) if least == most else items


def _check_number(value: Any, schema: Mapping[str, Any], where: str) -> int | float:
    integer = schema["type"] == "integer"
    number = _read_json(value) if isinstance(value, str) else value
    finite = isinstance(number, int) or (isinstance(number, float) and math.isfinite(number))
    if isinstance(number, bool) or not finite:
        raise ArgumentError(f"{where} has to be {'an integer' if integer else 'a number'}, got {_shown(value)}.")
    if integer and number != int(number):
        raise ArgumentError(f"{where} has to be an integer, got {_shown(value)}.")
    if number < schema.get("minimum", -math.inf):
        raise ArgumentError(f"{where} has to be at least {schema['minimum']}, got {_shown(value)}.")
    if number > schema.get("maximum", math.inf):
        raise ArgumentError(f"{where} has to be at most {schema['maximum']}, got {_shown(value)}.")
    return int(number) if integer else number


def _check_boolean(value: Any, where: str) -> bool:
    read = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(read, bool):
        raise ArgumentError(f"{where} has to be true or false, got {_shown(value)}.")
    return read


def _check_string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ArgumentError(f"{where} has to be a string, got {_shown(value)}.")
    return value


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
