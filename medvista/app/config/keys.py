"""What a dataclass schema can tell a person: its keys, their types in words, their defaults and explanations."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from medvista.schema_field import Explanation, explanation_of

_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}
NAME = "<name>"  # stands in a key for the names that a person gives: env.mcp_servers.<name>.url


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a schema."""

    name: str  # dotted: "data.root"
    annotation: Any
    default: Any  # dataclasses.MISSING when it must be given
    explanation: Explanation = dataclasses.field(default_factory=Explanation)

    @property
    def help(self) -> str:
        """What the key does; a section says it in its docstring."""
        section = section_type(self.annotation)
        return self.explanation.help or ((section.__doc__ or "").split("\n")[0] if section else "")

    @property
    def is_section(self) -> bool:
        """True when the key holds further keys."""
        return section_type(self.annotation) is not None


def section_type(annotation: Any) -> type | None:
    """The dataclass behind ``Section`` or ``Section | None``; None for anything else."""
    options = [option for option in union_members(annotation) if option is not type(None)]
    if len(options) == 1 and dataclasses.is_dataclass(options[0]) and isinstance(options[0], type):
        return options[0]
    return None


def item_type(annotation: Any) -> type | None:
    """The dataclass in ``list[Section]`` or ``dict[str, Section]``; None for anything else."""
    for member in union_members(annotation):
        if get_origin(member) in (list, dict):
            return section_type(get_args(member)[-1])
    return None


def is_mapping(annotation: Any) -> bool:
    """Whether the names in it are a person's own, as in ``dict[str, float]``; those of a section are the schema's."""
    return any((get_origin(member) or member) is dict for member in union_members(annotation))


def iter_keys(schema: type, prefix: str = "", defaults: Any = None) -> Iterator[Key]:
    """All keys of a schema, sections before what they hold, in the order they are written.

    Args:
        schema: a dataclass.
        prefix: what the names begin with.
        defaults: an instance whose values are the defaults; without it, those of the schema.
    """
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        name, annotation = prefix + field.name, hints[field.name]
        yield Key(name=name, annotation=annotation, default=default, explanation=explanation_of(field))
        if section := section_type(annotation):
            yield from iter_keys(section, f"{name}.", default if isinstance(default, section) else None)


def iter_documented(schema: type) -> Iterator[Key]:
    """All keys of `iter_keys`, and those of sections that a person names, under ``<name>``."""
    for key in iter_keys(schema):
        yield key
        if (item := item_type(key.annotation)) is not None:
            yield from iter_keys(item, f"{key.name}.{NAME}.")


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def type_in_words(annotation: Any) -> str:
    """The type as a person would say it.

    >>> type_in_words(float | None), type_in_words(list[str]), type_in_words(Literal["std", "none"])
    ('a number or null', 'a list such as [text, ...]', "one of 'std', 'none'")
    """
    members = union_members(annotation)
    if len(members) > 1:
        return " or ".join(type_in_words(member) for member in members)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(_choice(choice) for choice in arguments)
    if isinstance(origin, type) and issubclass(origin, Enum):
        return "one of " + ", ".join(member.name for member in origin)
    if origin is list or (origin is tuple and arguments[-1:] == (Ellipsis,)):
        return f"a list such as [{_bare(arguments[0])}, ...]" if arguments else "a list"
    if origin is tuple:
        return f"a list [{', '.join(_bare(argument) for argument in arguments)}]"
    if origin is dict and arguments and type_in_words(arguments[-1]) in _WORDS.values():
        return f"a mapping such as {{name: {_bare(arguments[-1])}}}"
    if origin is dict or dataclasses.is_dataclass(origin):
        return "a mapping"
    return _WORDS.get(origin, getattr(origin, "__name__", str(origin)))


def value_in_words(value: Any) -> str:
    """A value as it is written on the command line.

    >>> value_in_words(None), value_in_words(True), value_in_words((0.9, 0.95)), value_in_words({"format": 0.1})
    ('null', 'true', '[0.9,0.95]', '{format: 0.1}')
    """
    if value is dataclasses.MISSING:
        return "(must be given)"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(value_in_words, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {value_in_words(item)}" for name, item in value.items()) + "}"
    return value.name if isinstance(value, Enum) else str(value)


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The types of ``A | B``; of anything else, itself."""
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _choice(choice: Any) -> str:
    return str(choice).lower() if isinstance(choice, bool) else repr(choice)


def _bare(annotation: Any) -> str:
    return type_in_words(annotation).removeprefix("a ")
