"""JSON schemas of tools from elsewhere, as servers in the wild write them, in one valid form: draft 2020-12.

What has a meaning keeps it: older drafts (``items`` a list, ``exclusiveMinimum: true``, ``dependencies``, ``required:
true`` on an argument), OpenAPI's ``nullable``, type names of other languages (``"STRING"``, ``"int"``), and null for a
part that is not there. What has none (a minimum that is a string, a reference that leads nowhere) is left out with a
notice: nothing is checked there, and the server, which checks its arguments itself, has the last word. No reference is
ever fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

from medvista.notices import notice
from medvista.tools.older_schema import modern

Schema: TypeAlias = dict[str, Any]
Resolver: TypeAlias = Any  # referencing does not export the type of its resolvers

_META = Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=EMPTY_REGISTRY)
_MOST_FAULTS = 50  # of one schema; with more, it is no JSON Schema
_REFERENCES = {"$ref", "$dynamicRef"}
_SAME_VALUE = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}  # they check what is at hand


class UnusableSchemaError(ValueError):
    """A schema that cannot be mended; the message says why."""


def usable_schema(given: Any, where: str) -> Schema:
    """The schema of a tool's arguments, valid under draft 2020-12, with ``type`` and ``properties``.

    Args:
        given: what came, whatever it is. It is not changed.
        where: names the tool in the notice of what was left out.

    Raises:
        UnusableSchemaError: it is no JSON Schema of an object.

    >>> usable_schema({"properties": {"box": {"items": [{"type": "int"}], "minItems": None}}, "required": None}, "crop")
    {'type': 'object', 'properties': {'box': {'prefixItems': [{'type': 'integer'}]}}}
    """
    try:
        schema = modern({} if given is True else given)
        if not isinstance(schema, dict):
            raise UnusableSchemaError("it is no JSON object")
        faults = [*_without_faults(schema), *_without_bad_patterns(schema), *_without_bad_references(schema)]
    except RecursionError:
        raise UnusableSchemaError("it is nested too deeply") from None
    for fault in faults:
        notice("parts of tools' schemas that are no JSON Schema are not checked", f"{where}: {fault}")
    schema = _written_out(schema)
    kind = schema.get("type", "object")
    if "object" not in (kind if isinstance(kind, list) else [kind]):
        raise UnusableSchemaError(f"it describes {kind!r}, where arguments are an object")
    return {"type": "object", "properties": {}} | schema | {"type": "object"}


def types_of(part: Any, schema: Mapping[str, Any]) -> set[str]:
    """The types that a part of a schema names: itself, by reference, or as one of several forms.

    >>> several = {"$defs": {"several": {"type": "array"}}}
    >>> sorted(types_of({"anyOf": [{"$ref": "#/$defs/several"}, {"type": "null"}]}, several))
    ['array', 'null']
    """
    found, waiting, seen = set[str](), [part], set[int]()
    while waiting:
        at = waiting.pop()
        if not isinstance(at, dict) or id(at) in seen:
            continue
        seen.add(id(at))
        kind = at.get("type", ())
        found |= {kind} if isinstance(kind, str) else set(kind)
        waiting += [form for keyword in ("anyOf", "oneOf", "allOf") for form in at.get(keyword, ())]
        waiting += [_target(_resolver(schema), at["$ref"])] if "$ref" in at else []
    return found


def _without_faults(schema: Schema) -> Iterator[str]:
    """Takes out what the metaschema refuses, and names it."""
    for _ in range(_MOST_FAULTS):
        fault = next(_META.iter_errors(schema), None)
        if fault is None:
            return
        yield _take_out(schema, list(fault.absolute_path))
    raise UnusableSchemaError(f"it has more than {_MOST_FAULTS} faults")


def _take_out(schema: Schema, path: list[Any]) -> str:
    within: Any = schema
    for step in path[:-1]:
        within = within[step]
    del within[path[-1]]
    return ".".join(map(str, path))[:200]


def _without_bad_patterns(schema: Schema) -> Iterator[str]:
    """Takes out what Python's regular expressions do not know, such as those for scripts."""
    for part, _ in _parts(schema, _resolver(schema)):
        if "pattern" in part and not _compiles(part["pattern"]):
            yield f"pattern {part.pop('pattern')[:60]!r}"
        for pattern in [name for name in part.get("patternProperties", ()) if not _compiles(name)]:
            del part["patternProperties"][pattern]
            yield f"patternProperties {pattern[:60]!r}"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


# ----------------------------------------------------------------------------------------------------------- references


def _without_bad_references(schema: Schema) -> Iterator[str]:
    """Takes out references that lead out of the schema, nowhere, to no schema, or around in a circle."""
    parts = list(_parts(schema, _resolver(schema)))
    resolvers = {id(part): resolver for part, resolver in parts}
    for part, resolver in parts:
        for keyword in _REFERENCES & part.keys():
            target = _target(resolver, part[keyword])
            usable = isinstance(target, bool | dict) and (id(target) in resolvers or _META.is_valid(target))
            if not usable or _leads_to(part, target, resolvers):
                yield f"{keyword} {part.pop(keyword)[:100]!r}"


def _leads_to(goal: Schema, start: Any, resolvers: Mapping[int, Resolver]) -> bool:
    """Whether checking a value against `start` comes to `goal` with the same value: it would never end."""
    waiting, seen = [start], set[int]()
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        if part is goal:
            return True
        seen.add(id(part))
        if id(part) in resolvers:
            waiting += [_target(resolvers[id(part)], part[keyword]) for keyword in _REFERENCES & part.keys()]
        for keyword in _SAME_VALUE & part.keys():
            inner = part[keyword]
            inner = list(inner.values()) if keyword == "dependentSchemas" else inner
            waiting += inner if isinstance(inner, list) else [inner]
    return False


def _resolver(schema: Mapping[str, Any]) -> Resolver:
    """Finds what references mean in the schema itself, and nowhere else."""
    return EMPTY_REGISTRY.resolver_with_root(DRAFT202012.create_resource(schema))


def _target(resolver: Resolver, reference: str) -> Any:
    """What a reference means; None where that is nothing here."""
    try:
        return resolver.lookup(reference).contents
    except (Unresolvable, ValueError):
        return None


def _parts(schema: Any, resolver: Resolver) -> Iterator[tuple[Schema, Resolver]]:
    """The schema and every schema within it, but for those that are true or false."""
    if isinstance(schema, dict):
        yield schema, resolver
        for inner in DRAFT202012.subresources_of(schema):
            yield from _parts(inner, resolver.in_subresource(DRAFT202012.create_resource(inner)))


def _written_out(schema: Schema) -> Schema:
    """A schema that is a reference to one of its definitions, as that definition: arguments have to be found."""
    target = _target(_resolver(schema), schema["$ref"]) if "$ref" in schema else None
    rest = {name: part for name, part in schema.items() if name != "$ref"}
    if not isinstance(target, Mapping) or (target.keys() & rest.keys()) - {"title", "description"}:
        return schema
    return _written_out({**target, **rest})
