"""Older drafts and other dialects of JSON Schema in the words of draft 2020-12."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_ONE = (
    *("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")

_TYPES = {
    **dict.fromkeys(("string", "str", "text"), "string"),
    **dict.fromkeys(("integer", "int", "long"), "integer"),
    **dict.fromkeys(("number", "float", "double"), "number"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("object", "dict", "map"), "object"),
    **dict.fromkeys(("array", "list", "tuple"), "array"),
    **dict.fromkeys(("null", "none"), "null"),
}
_IGNORES_SIBLINGS = re.compile(r"draft-0[3-7]/")  # of $ref: the drafts before 2019-09
_BESIDE_REFERENCE = ("$ref", "definitions", "$defs", "title", "description", "default")
_LISTED_ITEM = re.compile(r"/items/(?=\d+(?:/|$))")


def modern(given: Any) -> Any:
    """A schema in the words of draft 2020-12; what no draft knows stays, or is ``{}`` where a schema has to be.

    >>> modern({"type": ["INTEGER", "null"], "minimum": 0, "exclusiveMinimum": True})
    {'type': ['integer', 'null'], 'exclusiveMinimum': 0}
    """
    declared = str(given.get("$schema", "")) if isinstance(given, Mapping) else ""
    return _modern(given, bool(_IGNORES_SIBLINGS.search(declared)))


def _modern(given: Any, lone_references: bool) -> Any:
    if isinstance(given, bool):
        return given
    if isinstance(given, str) and given.lower() in _TYPES:
        return {"type": _TYPES[given.lower()]}  # {"size": "integer"}
    if not isinstance(given, Mapping):
        return {}
    # Null is how some languages write what is not there, an empty list how PHP writes an empty object.
    schema = {name: part for name, part in given.items() if part is not None or name in ("default", "const")}
    schema = {name: {} if name in _NAMED and part == [] else part for name, part in schema.items()}
    schema.pop("$schema", None)  # the validator would follow it
    if lone_references and "$ref" in schema:
        schema = {name: part for name, part in schema.items() if name in _BESIDE_REFERENCE}
    for translate in (_types, _lists, _limits, _references, _dependencies, _required):
        translate(schema)
    for name, part in schema.items():
        if name in _ONE:
            schema[name] = _modern(part, lone_references)
        elif name in _NAMED and isinstance(part, Mapping):
            schema[name] = {key: _inner(value, lone_references) for key, value in part.items()}
        elif name in _LISTED and isinstance(part, list):
            schema[name] = [_inner(value, lone_references) for value in part]
    return schema


def _inner(given: Any, lone_references: bool) -> Any:
    """One of several schemas; ``{"not": {}}`` for false, which endpoints take more gladly."""
    return {"not": {}} if given is False else _modern(given, lone_references)


def _types(schema: dict[str, Any]) -> None:
    """Type names of other languages and OpenAPI's ``nullable``; an enumeration of nothing enumerates nothing."""
    if schema.get("enum") == []:
        del schema["enum"]
    kind, nullable = schema.get("type"), schema.pop("nullable", False) is True
    names: list[Any] = kind if isinstance(kind, list) else [kind]
    if not all(isinstance(name, str) for name in names):
        return
    names = [_TYPES.get(name.lower(), name) for name in names] + ["null"] * nullable
    names = list(dict.fromkeys(names))
    schema["type"] = names if isinstance(kind, list) or nullable else names[0]
    if nullable and isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]
    if "any" in names:  # of draft 3
        del schema["type"]


def _lists(schema: dict[str, Any]) -> None:
    """``items`` as a list, and ``additionalItems`` beside it; a list says of what, as endpoints require."""
    others = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if others is not None:
            schema["items"] = others
        if not schema["prefixItems"]:
            del schema["prefixItems"]
    if "array" in (kind if isinstance(kind := schema.get("type"), list) else [kind]) and "prefixItems" not in schema:
        schema.setdefault("items", {})


def _limits(schema: dict[str, Any]) -> None:
    """``exclusiveMinimum: true`` of draft 4."""
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True and limit in schema:
            schema[exclusive] = schema.pop(limit)
        elif isinstance(schema.get(exclusive), bool):
            del schema[exclusive]


def _references(schema: dict[str, Any]) -> None:
    """Anchors of draft 7, the recursion of 2019-09, and paths into what `_lists` renames."""
    name = schema.get("$id")
    if isinstance(name, str) and name.startswith("#"):
        schema["$anchor"] = schema.pop("$id")[1:]
    elif isinstance(name, str) and not _is_address(name):
        del schema["$id"]
    if "$recursiveRef" in schema:
        schema.setdefault("$ref", schema.pop("$recursiveRef"))
    if isinstance(schema.get("$ref"), str):
        schema["$ref"] = _LISTED_ITEM.sub("/prefixItems/", schema["$ref"])


def _is_address(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


def _dependencies(schema: dict[str, Any]) -> None:
    """``dependencies``, which 2019-09 parted in two."""
    dependencies = schema.pop("dependencies", None)
    if isinstance(dependencies, Mapping):
        lists = {name: part for name, part in dependencies.items() if isinstance(part, list)}
        schemas = {name: part for name, part in dependencies.items() if not isinstance(part, list)}
        schema.update({"dependentRequired": lists} if lists else {})
        schema.update({"dependentSchemas": schemas} if schemas else {})


def _required(schema: dict[str, Any]) -> None:
    """``required: true`` on an argument, as in draft 3, and names that are no names or stand there twice."""
    given, properties = schema.pop("required", None), schema.get("properties")
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    if isinstance(properties, Mapping):
        marked = (
            name for name, part in properties.items() if isinstance(part, Mapping) and part.get("required") is True
        )
        names = [*names, *marked]
    names = list(dict.fromkeys(name for name in names if isinstance(name, str)))
    if names or isinstance(given, list):
        schema["required"] = names
