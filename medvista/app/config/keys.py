"""What a dataclass schema can tell a person: its keys, their types in words, and the key they probably meant."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from medvista.errors import UserError

_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}


def setting(default: Any, *, help: str) -> Any:
    """A dataclass field that `--help` lists, with a line of documentation.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     seed: int = setting(0, help="seed of everything random")
    >>> Config().seed
    0
    """
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=default.copy, metadata={"help": help})
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a schema."""

    name: str  # dotted: "data.root"
    annotation: Any
    default: Any  # dataclasses.MISSING when it must be given
    help: str = ""

    @property
    def is_section(self) -> bool:
        """True when the key holds further keys."""
        return section_type(self.annotation) is not None


def section_type(annotation: Any) -> type | None:
    """The dataclass behind ``Section`` or ``Section | None``; None for anything else."""
    options = [option for option in _union_members(annotation) if option is not type(None)]
    if len(options) == 1 and dataclasses.is_dataclass(options[0]) and isinstance(options[0], type):
        return options[0]
    return None


def item_type(annotation: Any) -> type | None:
    """The dataclass in ``list[Section]`` or ``dict[str, Section]``; None for anything else."""
    for member in _union_members(annotation):
        if get_origin(member) in (list, dict):
            return section_type(get_args(member)[-1])
    return None


def iter_keys(schema: type, prefix: str = "") -> Iterator[Key]:
    """All keys of a schema, sections before what they hold, in the order they are written."""
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        name, annotation = prefix + field.name, hints[field.name]
        yield Key(name=name, annotation=annotation, default=default, help=field.metadata.get("help", ""))
        if section := section_type(annotation):
            yield from iter_keys(section, f"{name}.")


def check_keys(schema: type, settings: Mapping[str, Any], where: str) -> None:
    """Refuse keys the schema does not have.

    Args:
        schema: the dataclass the settings are for.
        settings: nested plain mappings, as read from YAML.
        where: named in the message: ``"on the command line"``, ``"in my.yaml"``.

    Raises:
        UserError: naming the nearest valid key, or a key of a section that was given a plain value.
    """
    _check_section(schema, settings, where, "", [key.name for key in iter_keys(schema)])


def _check_section(schema: type, settings: Mapping[str, Any], where: str, prefix: str, names: list[str]) -> None:
    hints = get_type_hints(schema)
    for key, value in settings.items():
        if key not in hints:
            unknown = prefix + first_leaf({key: value})
            raise UserError(f"Unknown key `{unknown}` {where}: did you mean `{nearest(unknown, names)}`?")
        _check_value(hints[key], value, where, f"{prefix}{key}", names)


def _check_value(annotation: Any, value: Any, where: str, name: str, names: list[str]) -> None:
    section, item = section_type(annotation), item_type(annotation)
    if section and isinstance(value, Mapping):
        _check_section(section, value, where, f"{name}.", names)
    elif section and not (value is None and type(None) in _union_members(annotation)):
        first = next(iter_keys(section)).name
        raise UserError(f"`{name}` {where} is a section, not a value: set a key in it, such as `{name}.{first}=...`.")
    elif item is not None and isinstance(value, (Mapping, list)):
        children = value.items() if isinstance(value, Mapping) else enumerate(value)
        for child, inner in children:  # a mapping's own keys are free; what they hold is checked
            below = [f"{name}.{child}.{key.name}" for key in iter_keys(item)]
            _check_value(item, inner, where, f"{name}.{child}", below)
    elif isinstance(value, Mapping) and not _holds_mapping(annotation):
        raise UserError(f"`{name}` {where} has no keys of its own: it is {type_in_words(annotation)}.")


def first_leaf(settings: Mapping[str, Any]) -> str:
    """The dotted name of the first value in nested mappings.

    >>> first_leaf({"data": {"root": "x"}, "seed": 1})
    'data.root'
    """
    key, value = next(iter(settings.items()))
    return f"{key}.{first_leaf(value)}" if isinstance(value, Mapping) and value else str(key)


def nearest(name: str, names: list[str]) -> str:
    """The valid key most like a misspelt one; a right last part in the wrong section counts as near.

    >>> nearest("data.rot", ["seed", "data", "data.root"]), nearest("root", ["seed", "data.root"])
    ('data.root', 'data.root')
    """

    def likeness(candidate: str) -> float:
        return _ratio(name, candidate) + _ratio(_last(name), _last(candidate))

    return max(names, key=likeness)


def type_in_words(annotation: Any) -> str:
    """The type as a person would say it.

    >>> type_in_words(float | None), type_in_words(list[str]), type_in_words(Literal["std", "none"])
    ('a number or null', 'a list such as [text, ...]', "one of 'std', 'none'")
    """
    members = _union_members(annotation)
    if len(members) > 1:
        return " or ".join(type_in_words(member) for member in members)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if isinstance(origin, type) and issubclass(origin, Enum):
        return "one of " + ", ".join(member.name for member in origin)
    if origin is list or (origin is tuple and arguments[-1:] == (Ellipsis,)):
        return f"a list such as [{_bare(arguments[0])}, ...]" if arguments else "a list"
    if origin is tuple:
        return f"a list [{', '.join(_bare(argument) for argument in arguments)}]"
    if origin is dict or dataclasses.is_dataclass(origin):
        return "a mapping"
    return _WORDS.get(origin, getattr(origin, "__name__", str(origin)))


def _bare(annotation: Any) -> str:
    return type_in_words(annotation).removeprefix("a ")


def _union_members(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _holds_mapping(annotation: Any) -> bool:
    return any((get_origin(member) or member) in (dict, Any) for member in _union_members(annotation))


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a.lower(), b.lower()).ratio()


def _last(name: str) -> str:
    return name.rpartition(".")[2]
