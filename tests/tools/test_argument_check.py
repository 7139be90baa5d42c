"""Arguments against schemas of any draft, and what a model is told of those that do not fit."""

import copy

import pytest

from medvista.notices import NOTICES
from medvista.tools.argument_check import validate_arguments
from medvista.tools.foreign_schema import usable_schema
from medvista.tools.schema import ArgumentError

NUMBER = {"type": "number"}
DRAFT_4, DRAFT_7 = ({"$schema": f"http://json-schema.org/draft-0{n}/schema#"} for n in (4, 7))


def of(**properties):
    return {"type": "object", "properties": properties}


def refused(schema, arguments):
    """What the model is told; None where the arguments are taken."""
    try:
        validate_arguments(arguments, usable_schema(schema, "t"))
    except ArgumentError as error:
        return str(error)
    return None


BOX = {"type": "array", "minItems": 4, "maxItems": 4}
DEFINED = {"$defs": {"tree": of(name={"type": "string"}, inner={"type": "array", "items": {"$ref": "#/$defs/tree"}})}}
RECURSIVE = {**of(tree={"$ref": "#/$defs/tree"}), **DEFINED}


@pytest.mark.parametrize(
    ("schema", "taken", "not_taken", "said"),
    [
        (
            of(b={**BOX, "items": [NUMBER] * 4}),
            {"b": [1, 2, 3, 4]},
            {"b": [1, 2, "x", 4]},
            'b[2] has to be a number, got "x".',
        ),
        (
            {**of(b={"items": [NUMBER, {"type": "string"}], "additionalItems": False}), **DRAFT_7},
            {"b": [1, "x"]},
            {"b": [1, "x", 2]},
            "b has to have at most 2 items, got 3.",
        ),
        (
            of(b={"items": [NUMBER], "additionalItems": {"type": "string"}}),
            {"b": [1, "x", "y"]},
            {"b": [1, "x", 2]},
            "b[2] has to be a string, got 2.",
        ),
        (
            of(b={"items": [NUMBER, {"$ref": "#/properties/b/items/0"}]}),
            {"b": [1, 2]},
            {"b": [1, "x"]},
            'b[1] has to be a number, got "x".',
        ),
        (
            of(b={"type": "array", "prefixItems": [NUMBER] * 4, "items": False, "minItems": 4}),
            {"b": [1, 2, 3, 4]},
            {"b": [1, 2, 3, 4, 5]},
            "b has to have 4 items, got 5.",
        ),
        (of(b={"type": "array", "items": True}), {"b": [1, "x", None]}, {"b": 3}, "b has to be a list, got 3."),
        (of(b={"type": "array", "items": False}), {"b": []}, {"b": [1]}, "b has to have 0 items, got 1."),
        (
            {**of(n={"type": "number", "minimum": 0, "exclusiveMinimum": True}), **DRAFT_4},
            {"n": 1},
            {"n": 0},
            "n has to be more than 0, got 0.",
        ),
        (of(n={"type": "number", "exclusiveMaximum": 5}), {"n": 4.5}, {"n": 5}, "n has to be less than 5, got 5."),
        (
            of(n={"type": "number", "multipleOf": 0.1}),
            {"n": 0.3},
            {"n": 0.35},
            "n has to be a multiple of 0.1, got 0.35.",
        ),
        (of(n={"type": ["integer", "null"]}), {"n": None}, {"n": "x"}, 'n has to be an integer or null, got "x".'),
        (
            of(n={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            {"n": "3"},
            {"n": "x"},
            'n has to be an integer or null, got "x".',
        ),
        (
            of(n={"oneOf": [{"enum": ["auto"]}, {"type": "integer", "minimum": 1}]}),
            {"n": 2},
            {"n": "x"},
            'n has to be one of auto or an integer, got "x".',
        ),
        (of(n={"oneOf": [{"enum": ["auto"]}, {"type": "integer", "minimum": 1}]}), {"n": "auto"}, {"n": 0}, None),
        (of(n={"allOf": [{"type": "integer"}, {"maximum": 3}]}), {"n": 3}, {"n": 4}, "n has to be at most 3, got 4."),
        (of(n={"const": "ct"}), {"n": "ct"}, {"n": "mr"}, 'n has to be "ct", got "mr".'),
        (of(n={"not": {"type": "string"}}), {"n": 1}, {"n": "x"}, 'n may not be "x".'),
        (of(n=False), {}, {"n": 1}, "n may not be given."),
        (
            of(n={"type": "STRING", "nullable": True, "enum": ["a"]}),
            {"n": None},
            {"n": "b"},
            'n has to be one of a, null, got "b".',
        ),
        (of(n="integer", m={"type": "str"}), {"n": 1, "m": "x"}, {"m": 1}, "m has to be a string, got 1."),
        (
            of(n={"type": "string", "required": True}, m={"required": False}),
            {"n": "x"},
            {"m": 1},
            "The argument 'n' is missing.",
        ),
        (
            of(s={"type": "string", "minLength": 2, "maxLength": 3}),
            {"s": "abc"},
            {"s": "a"},
            "s has to have 2 to 3 characters, got 1.",
        ),
        (
            of(s={"type": "string", "pattern": "^[a-z]+$"}),
            {"s": "abc"},
            {"s": "A"},
            's has to match the pattern ^[a-z]+$, got "A".',
        ),
        (of(s={"type": "string", "format": "uint32"}), {"s": "x"}, {"s": 1}, "s has to be a string, got 1."),
        (of(s={"type": "array", "uniqueItems": True}), {"s": [1, True]}, {"s": [1, 1]}, "s has an item twice."),
        (
            of(o=of(size={"type": "integer"}) | {"required": ["size"]}),
            {"o": '{"size": "3"}'},
            {"o": {}},
            "The argument 'size' of o is missing.",
        ),
        (
            of(o=of(size={}) | {"additionalProperties": False}),
            {"o": {"size": 1}},
            {"o": {"sise": 1}},
            "Unknown argument 'sise' of o; the arguments are: size.",
        ),
        (
            of() | {"additionalProperties": {"type": "integer"}},
            {"n": 1},
            {"n": "x"},
            'n has to be an integer, got "x".',
        ),
        (
            of(a={}, b={}) | {"dependencies": {"a": ["b"]}},
            {"a": 1, "b": 2},
            {"a": 1},
            "The call has 'a', which needs 'b' beside it.",
        ),
        (
            of(p={}, u={}) | {"oneOf": [{"required": ["p"]}, {"required": ["u"]}]},
            {"p": 1},
            {},
            "The call needs 'p' or 'u'.",
        ),
        (
            of(a={}) | {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            {"a": 1, "b": 2},
            {"a": 1},
            "The argument 'b' is missing.",
        ),
        (
            RECURSIVE,
            {"tree": {"inner": [{"inner": [{"name": "x"}]}]}},
            {"tree": {"inner": [{"inner": [{"name": 1}]}]}},
            "tree.inner[0].inner[0].name has to be a string, got 1.",
        ),
        (
            {"$ref": "#/definitions/A", "definitions": {"A": of(n={"type": "integer"}) | {"required": ["n"]}}},
            {"n": 1},
            {},
            "The argument 'n' is missing.",
        ),
        (
            {**of(n={"$ref": "#/definitions/five", "maximum": 1}), "definitions": {"five": {"minimum": 5}}, **DRAFT_7},
            {"n": 7},
            {"n": 4},
            "n has to be at least 5, got 4.",
        ),
    ],
)
def test_a_schema_is_read_as_json_schema_says(schema, taken, not_taken, said):
    NOTICES.clear()
    before = copy.deepcopy(schema)
    assert refused(schema, taken) is None
    told = refused(schema, not_taken)
    assert told == said or (said is None and told is not None)
    assert schema == before
    assert not NOTICES.collected()  # nothing was left out


def test_a_message_shows_no_more_of_a_value_than_a_line():
    enum = of(n={"enum": [f"option {i}" for i in range(1000)]})
    for schema, arguments in (
        (enum, {"n": "x" * 100_000}),
        (of(n={"type": "integer"}), {"n": ["x"] * 10_000}),
        (of(n={"const": "y" * 10_000}), {"n": 1}),
        (of(n={"not": {"type": "string"}}), {"n": "x" * 10_000}),
        (of() | {"additionalProperties": False}, {"x" * 10_000: 1}),
        (of(n={"type": "object", "additionalProperties": {"type": "integer"}}), {"n": {"x" * 10_000: "y"}}),
        (of(n={"pattern": "a{3}" * 1000}), {"n": "x"}),
        (of(n={"description": "d" * 10_000}) | {"required": ["n"]}, {}),
    ):
        assert len(refused(schema, arguments)) < 500
