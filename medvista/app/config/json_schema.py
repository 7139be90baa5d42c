"""The JSON schema of an experiment's YAML file, from which editors complete and check keys as they are written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from medvista.app.config.keys import Key, iter_keys, section_type, union_members
from medvista.app.config.schema import ExperimentConfig
from medvista.schema_field import Explanation

FILE = "schema.json"  # beside the shipped YAML files, which name it in their first line
_SIMPLE: Mapping[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Path: "string",
    type(None): "null",
}
_REFERENCE = {"type": "string", "pattern": r"\$\{.+\}"}  # ${seed}: another key's value, whatever its type


def schema_text() -> str:
    """The schema as it stands in `FILE`, a line for each key."""
    return _layout(experiment_schema())


def experiment_schema() -> dict[str, Any]:
    """The schema of a YAML file: the keys of `ExperimentConfig`, and ``extends``."""
    schema = _section(ExperimentConfig, ExperimentConfig())
    extends = {"description": "Experiment, or YAML file beside this one, that is inherited.", "type": "string"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A medvista experiment",
        "definitions": {"reference": _REFERENCE},
        **schema,
        "properties": {"extends": extends, **schema["properties"]},
    }


def _section(schema: type, defaults: Any = None) -> dict[str, Any]:
    """A mapping of known keys; ``defaults`` is an instance whose values are theirs."""
    properties = {}
    for key in iter_keys(schema, defaults=defaults):
        if "." not in key.name:
            found = _section_or_null(key) if key.is_section else _of(key.annotation, key.explanation)
            properties[key.name] = _described(key) | found
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _described(key: Key) -> dict[str, Any]:
    known = not key.is_section and key.default is not dataclasses.MISSING
    return {"description": key.help} | ({"default": _plain(key.default)} if known else {})


def _section_or_null(key: Key) -> dict[str, Any]:
    section = section_type(key.annotation)
    assert section is not None
    schema = _section(section, key.default if isinstance(key.default, section) else None)
    return schema | {"type": ["object", "null"]} if type(None) in union_members(key.annotation) else schema


def _of(annotation: Any, explanation: Explanation) -> dict[str, Any]:
    """The schema of one type; where text is not allowed anyway, a reference to another key is."""
    if (section := section_type(annotation)) is not None:
        return _section(section)
    options = [_single(member, explanation) for member in union_members(annotation)]
    if {} in options:
        return {}
    if not any(option.get("type") == "string" for option in options):
        options.append({"$ref": "#/definitions/reference"})
    return options[0] if len(options) == 1 else {"anyOf": options}


def _single(annotation: Any, explanation: Explanation) -> dict[str, Any]:
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if isinstance(origin, type) and issubclass(origin, Enum):
        return {"enum": [member.name for member in origin]}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], explanation)}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], explanation), "minItems": len(arguments)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], explanation)}
    return {"type": _SIMPLE[origin], **_range(origin, explanation)} if origin in _SIMPLE else {}


def _range(origin: Any, explanation: Explanation) -> dict[str, float]:
    if origin not in (int, float):
        return {}
    bounds = {
        "minimum": explanation.least,
        "exclusiveMinimum": explanation.above,
        "maximum": explanation.most,
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _plain(value: Any) -> Any:
    """A default as JSON holds it."""
    if isinstance(value, (Enum, Path)):
        return value.name if isinstance(value, Enum) else value.as_posix()
    return list(value) if isinstance(value, tuple) else value


def _layout(schema: Mapping[str, Any], indent: str = "") -> str:
    """JSON with a line for each key of a section, so that a change of one is a change of one line."""
    lines = []
    for name, value in schema.items():
        if name == "properties":
            inner = [f"{indent}  {json.dumps(key)}: {_property(found, indent + '  ')}" for key, found in value.items()]
            text = "{\n" + ",\n".join(inner) + f"\n{indent} }}"
        else:
            text = json.dumps(value, ensure_ascii=False)
        lines.append(f"{indent} {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _property(schema: Mapping[str, Any], indent: str) -> str:
    return _layout(schema, indent) if "properties" in schema else json.dumps(schema, ensure_ascii=False)
