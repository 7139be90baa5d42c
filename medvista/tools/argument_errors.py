"""What a model is told of arguments that do not fit: one sentence on which, what it has to be, and what came."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jsonschema import ValidationError

_LONGEST_VALUE = 60  # characters
_LONGEST_LIST = 300  # characters of options or names
_LONGEST_MEANING = 200

_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def sentence(errors: Iterable[ValidationError], arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The sentence on the first of some errors: an unknown argument, one that is missing, then the others in order.

    Args:
        errors: of the arguments against the schema, at least one.
        arguments: what came.
        schema: of all arguments.
    """
    order = {name: position for position, name in enumerate(arguments)}

    def rank(error: ValidationError) -> tuple[Any, ...]:
        path = error.absolute_path
        at_root = ("additionalProperties", "unevaluatedProperties", "required")
        first = at_root.index(error.validator) if not path and error.validator in at_root else len(at_root)
        position = order[path[0]] if path else len(order)
        return first, position, len(path), error.validator != "type"

    return _sentence(min(errors, key=rank), schema)


def _sentence(error: ValidationError, schema: Mapping[str, Any]) -> str:
    where = _where(error)
    if error.validator == "required":
        return _missing(error, where)
    if error.validator in ("additionalProperties", "unevaluatedProperties") and isinstance(error.instance, dict):
        return _unknown(error, where, schema)
    if error.context:
        return _alternatives(error, where, schema)
    say = _SAYINGS.get(str(error.validator))
    said = say(error) if say is not None else f"does not fit its schema, got {_shown(error.instance)}"
    return f"{where or 'The call'} {said}."


def _where(error: ValidationError) -> str:
    """``points[1]``, ``options.size``; nothing for the arguments as a whole."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{str(step)[:40]}" for step in error.absolute_path]
    return "".join(steps).removeprefix(".")


def _missing(error: ValidationError, where: str) -> str:
    name = next((name for name in error.validator_value if name not in error.instance), "")
    part = error.schema.get("properties", {}).get(name, {})
    description = str(part.get("description", "") if isinstance(part, dict) else "").rstrip(".")
    meaning = f": {_cut(description, _LONGEST_MEANING)}" if description else ""
    of = f" of {where}" if where else ""
    return f"The argument {name!r}{of} is missing{meaning}."


def _unknown(error: ValidationError, where: str, schema: Mapping[str, Any]) -> str:
    properties = [*error.schema.get("properties", {}), *(() if where else schema.get("properties", ()))]
    names = list(dict.fromkeys(properties))
    unknown = next((str(name) for name in error.instance if name not in names), "")
    of = f" of {where}" if where else ""
    return f"Unknown argument {unknown[:40]!r}{of}; the arguments are: {_listed(names) or 'none'}."


def _alternatives(error: ValidationError, where: str, schema: Mapping[str, Any]) -> str:
    """Of several forms that a value may have: what all of them want, or what the form that comes nearest wants."""
    here = [inner for inner in error.context if inner.absolute_path == error.absolute_path]
    wanted = [_WANTED[str(inner.validator)](inner) for inner in here if inner.validator in _WANTED]
    if wanted and len(here) == len(error.context):
        if all(inner.validator == "required" for inner in here):
            return f"{where or 'The call'} needs {' or '.join(dict.fromkeys(wanted))}."
        return f"{where} has to be {' or '.join(dict.fromkeys(wanted))}, got {_shown(error.instance)}."
    branches = dict[Any, list[ValidationError]]()
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    # The form that the value has at least the type of, and of several the one with the fewest faults.
    nearest = min(
        branches.values(), key=lambda faults: (-min(len(fault.absolute_path) for fault in faults), len(faults))
    )
    return _sentence(nearest[0], schema)


_WANTED: Mapping[str, Callable[[ValidationError], str]] = {
    "type": lambda error: _kinds(error.validator_value),
    "enum": lambda error: f"one of {_listed(error.validator_value)}",
    "const": lambda error: _shown(error.validator_value),
    "required": lambda error: " and ".join(repr(n) for n in error.validator_value if n not in error.instance),
}


def _limit(wording: str) -> Callable[[ValidationError], str]:
    return lambda error: f"has to be {wording} {error.validator_value}, got {_shown(error.instance)}"


def _count(least: str, most: str, what: str) -> Callable[[ValidationError], str]:
    """How many there have to be, both limits in one sentence."""

    def say(error: ValidationError) -> str:
        low, high = error.schema.get(least, 0), error.schema.get(most)
        return f"has to have {_between(low, high)} {what}, got {len(error.instance)}"

    return say


def _beyond(error: ValidationError) -> str:
    low, high = error.schema.get("minItems", 0), len(error.schema.get("prefixItems", ()))
    return f"has to have {_between(low, high)} items, got {len(error.instance)}"


def _between(low: int, high: int | None) -> str:
    if high is None:
        return f"at least {low}"
    return f"{low}" if low == high else f"{low} to {high}" if low else f"at most {high}"


def _needs_another(error: ValidationError) -> str:
    pairs = ((name, other) for name, others in error.validator_value.items() for other in others)
    name, other = next((a, b) for a, b in pairs if a in error.instance and b not in error.instance)
    return f"has {name!r}, which needs {other!r} beside it"


def _wanted(kind: str) -> Callable[[ValidationError], str]:
    return lambda error: f"has to be {_WANTED[kind](error)}, got {_shown(error.instance)}"


_SAYINGS: Mapping[str, Callable[[ValidationError], str]] = {
    **{kind: _wanted(kind) for kind in ("type", "enum", "const")},
    "minimum": _limit("at least"),
    "maximum": _limit("at most"),
    "exclusiveMinimum": _limit("more than"),
    "exclusiveMaximum": _limit("less than"),
    "multipleOf": _limit("a multiple of"),
    **dict.fromkeys(("minItems", "maxItems"), _count("minItems", "maxItems", "items")),
    **dict.fromkeys(("minLength", "maxLength"), _count("minLength", "maxLength", "characters")),
    **dict.fromkeys(("minProperties", "maxProperties"), _count("minProperties", "maxProperties", "arguments")),
    **dict.fromkeys(("items", "unevaluatedItems"), _beyond),
    "uniqueItems": lambda error: "has an item twice",
    "pattern": lambda error: (
        f"has to match the pattern {_cut(error.validator_value, 100)}, got {_shown(error.instance)}"
    ),
    "dependentRequired": _needs_another,
    "oneOf": lambda error: f"fits more than one of the forms it may have, got {_shown(error.instance)}",
    "not": lambda error: f"may not be {_shown(error.instance)}" if error.validator_value else "may not be given",
}


def _kinds(types: str | Sequence[str]) -> str:
    return " or ".join(_KINDS[kind] for kind in ([types] if isinstance(types, str) else types))


def _listed(values: Iterable[Any]) -> str:
    return _cut(
        ", ".join(value if isinstance(value, str) else json.dumps(value, default=str) for value in values),
        _LONGEST_LIST,
    )


def _shown(value: Any) -> str:
    return _cut(json.dumps(value, default=str), _LONGEST_VALUE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
