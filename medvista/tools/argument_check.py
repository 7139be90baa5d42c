"""Arguments checked against a tool's JSON schema, and read as they were meant."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing.jsonschema import EMPTY_REGISTRY

from medvista.tools.argument_errors import sentence
from medvista.tools.schema import ArgumentError

_MOST_READINGS = 16  # a list in quotes, of numbers in quotes, ...: as deep as a call may be nested
_UNREADABLE = object()


def validate_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function takes them: checked, numbers in strings read, optional nulls dropped.

    What the schema allows is left as it is; only what it refuses is read in another way.

    Args:
        arguments: what the model wrote.
        schema: an object schema of draft 2020-12, with ``properties``: see `arguments_schema`, `usable_schema`.

    Raises:
        ArgumentError: an argument is unknown, missing or of the wrong kind.
    """
    read: dict[str, Any] = _copied(dict(arguments))
    # References lead nowhere but into the schema: with a registry of its own the validator fetches none.
    validator = _Validator(schema, registry=EMPTY_REGISTRY)
    for _ in range(_MOST_READINGS):
        errors = list(validator.iter_errors(read))
        if not [error for error in errors if _mended(read, error, schema.get("required", ()))]:
            break
    if errors:
        raise ArgumentError(sentence(errors, read, schema))
    return {name: _as_tuples(value, schema["properties"].get(name)) for name, value in read.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _mended(read: dict[str, Any], error: ValidationError, required: Any) -> bool:
    """Whether what the error is about can be read as it was meant; then it is, in place."""
    path = list(error.absolute_path)
    if len(path) == 1 and read.get(path[0], 0) is None and path[0] not in required:
        del read[path[0]]
        return True
    for wrong in _type_errors(error):
        meant = _as_meant(wrong.instance, wrong.validator_value)
        if meant is not _UNREADABLE:
            _put(read, list(wrong.absolute_path), meant)
            return True
    return False


def _type_errors(error: ValidationError) -> Iterator[ValidationError]:
    """The error itself where it is about a type, and those of the alternatives that it is about."""
    if error.validator == "type" and error.absolute_path:
        yield error
    for inner in error.context or ():
        yield from _type_errors(inner)


def _put(read: Any, path: list[Any], value: Any) -> None:
    for step in path[:-1]:
        read = read[step]
    read[path[-1]] = value


def _as_meant(value: Any, wanted: str | list[str]) -> Any:
    """A value in one of the types wanted: models often write a number or a list in quotes, and 3.0 for 3."""
    types = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)
        value = _read_json(value) if isinstance(value, str) else value
    if "integer" in types and isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    fits = any(_Validator.TYPE_CHECKER.is_type(value, kind) for kind in types)
    return value if fits and not isinstance(value, str) else _UNREADABLE


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _UNREADABLE


def _as_tuples(value: Any, schema: Any) -> Any:
    """Lists of a fixed length as tuples, which is how functions take them."""
    if not isinstance(value, list) or not isinstance(schema, dict):
        return value
    items = [_as_tuples(item, schema.get("items")) for item in value]
    return tuple(items) if "maxItems" in schema and schema.get("minItems", 0) == schema["maxItems"] else items


# ----------------------------------------------------------------------------------------------------- the validator


def _is_number(checker: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # 3.0 is one too, and is read as 3


def _multiple_of(validator: Validator, step: float, value: Any, schema: Any) -> Iterator[ValidationError]:
    """Of decimal numbers as they are written: 0.3 is a multiple of 0.1, which is not so in binary."""
    if validator.is_type(value, "number") and Fraction(str(value)) % Fraction(str(step)):
        yield ValidationError(f"{value} is not a multiple of {step}")


_Validator: Any = extend(
    Draft202012Validator,
    validators={"multipleOf": _multiple_of},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number).redefine("integer", _is_integer),
)
