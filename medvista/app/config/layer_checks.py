"""One layer of settings against the schema: unknown keys, sections given as values, numbers out of their range."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_origin, get_type_hints

from medvista.app.config.keys import (
    is_mapping,
    item_type,
    iter_keys,
    section_type,
    type_in_words,
    union_members,
)
from medvista.app.config.suggestions import nearest_keys
from medvista.errors import UserError
from medvista.schema_field import Explanation, explanation_of


@dataclasses.dataclass(frozen=True, slots=True)
class _Layer:
    """What every check needs beside the value."""

    where: str  # "on the command line", "in my.yaml"
    known: Mapping[str, Sequence[str]]  # the schema's keys, each with its other names


def check_layer(schema: type, settings: Mapping[str, Any], where: str) -> None:
    """Refuse keys the schema does not have, and numbers it does not allow.

    Args:
        schema: the dataclass the settings are for.
        settings: nested plain mappings, as read from YAML.
        where: named in the message: ``"on the command line"``, ``"in my.yaml"``.

    Raises:
        UserError: naming the nearest valid key, a key of a section that was given a plain value, or the range.
    """
    _check_section(schema, settings, "", _Layer(where, other_names(schema)))


def other_names(schema: type) -> dict[str, tuple[str, ...]]:
    """The keys of a schema, each with what other libraries call it."""
    return {key.name: key.explanation.also for key in iter_keys(schema)}


def unknown_key(name: str, where: str, known: Mapping[str, Sequence[str]]) -> UserError:
    """The sentence about a key that is not there."""
    meant = " or ".join(f"`{key}`" for key in nearest_keys(name, known))
    return UserError(f"Unknown key `{name}`{where and f' {where}'}: did you mean {meant}?")


def first_leaf(settings: Mapping[str, Any]) -> str:
    """The dotted name of the first value in nested mappings.

    >>> first_leaf({"data": {"root": "x"}, "seed": 1})
    'data.root'
    """
    key, value = next(iter(settings.items()))
    return f"{key}.{first_leaf(value)}" if isinstance(value, Mapping) and value else str(key)


def _check_section(schema: type, settings: Mapping[str, Any], prefix: str, layer: _Layer) -> None:
    hints = get_type_hints(schema)
    explained = {field.name: explanation_of(field) for field in dataclasses.fields(schema)}
    for key, value in settings.items():
        _check_space_after_colon(key, value, prefix, layer.where)
        if key not in hints:
            raise unknown_key(prefix + first_leaf({key: value}), layer.where, layer.known)
        name = f"{prefix}{key}"
        _check_value(hints[key], value, name, layer)
        _check_range(explained[key], value, name, layer.where)


def _check_value(annotation: Any, value: Any, name: str, layer: _Layer) -> None:
    section, item = section_type(annotation), item_type(annotation)
    if section and isinstance(value, Mapping):
        _check_section(section, value, f"{name}.", layer)
    elif section and not (value is None and type(None) in union_members(annotation)):
        first = next(iter_keys(section)).name
        raise UserError(
            f"`{name}` {layer.where} is a section, not a value: set a key in it, such as `{name}.{first}=...`."
        )
    elif item is not None and isinstance(value, (Mapping, list)):
        children = value.items() if isinstance(value, Mapping) else enumerate(value)
        for child, inner in children:  # a mapping's own keys are free; what they hold is checked
            _check_space_after_colon(child, inner, f"{name}.", layer.where)
            below = {f"{name}.{child}.{key.name}": key.explanation.also for key in iter_keys(item)}
            _check_value(item, inner, f"{name}.{child}", dataclasses.replace(layer, known=below))
    elif isinstance(value, Mapping):
        if not _holds_mapping(annotation):
            raise UserError(f"`{name}` {layer.where} has no keys of its own: it is {type_in_words(annotation)}.")
        for child, inner in value.items():
            _check_space_after_colon(child, inner, f"{name}.", layer.where)
    elif is_mapping(annotation) and value is not None and not _is_interpolation(value):
        raise UserError(f"`{name}` {layer.where} must be {type_in_words(annotation)}, not {value!r}.")


def _check_space_after_colon(key: Any, value: Any, prefix: str, where: str) -> None:
    """``{accuracy:1.0}`` is YAML for a key ``accuracy:1.0`` without a value."""
    if value is None and isinstance(key, str) and ":" in key.strip(":"):
        name, _, rest = key.partition(":")
        raise UserError(
            f"`{key}` in `{prefix.rstrip('.') or 'the settings'}` {where} has no value: YAML wants a space after the "
            f"colon, as in `{name}: {rest}`."
        )


def _check_range(explanation: Explanation, value: Any, name: str, where: str) -> None:
    for number in _numbers(value):
        if not explanation.allows(number):
            raise UserError(f"`{name}` {where} must be {explanation.range_in_words()}, not {number}.")


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a value; what has the wrong type is told by the schema."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            yield item


def _holds_mapping(annotation: Any) -> bool:
    return is_mapping(annotation) or any((get_origin(member) or member) is Any for member in union_members(annotation))


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def mapping_paths(annotation: Any, value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where settings give a mapping whose names are a person's own, the outer before the inner.

    >>> list(mapping_paths(dict[str, float], {"accuracy": 1.0}, ("rl", "reward")))
    [('rl', 'reward')]
    """
    if not isinstance(value, Mapping):
        return
    section = section_type(annotation)
    if section is not None:
        hints = get_type_hints(section)
        for key, inner in value.items():
            yield from mapping_paths(hints[key], inner, (*path, key))
    elif _holds_mapping(annotation):
        yield path
        for key, inner in value.items():
            yield from mapping_paths(item_type(annotation) or Any, inner, (*path, key))
