"""Schemas from elsewhere: what means something keeps its meaning, what means nothing is left out and said."""

import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from medvista.notices import NOTICES
from medvista.tools import Tool
from medvista.tools.argument_check import validate_arguments
from medvista.tools.foreign_schema import UnusableSchemaError, usable_schema
from medvista.tools.schema import ArgumentError
from medvista.types import ToolResult


@pytest.fixture(autouse=True)
def no_notices():
    NOTICES.clear()
    yield
    NOTICES.clear()


def of(**properties):
    return {"type": "object", "properties": properties}


def refused(schema, arguments):
    """What the model is told; None where the arguments are taken."""
    try:
        validate_arguments(arguments, usable_schema(schema, "t"))
    except ArgumentError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", ["type", "items", "enum", "minimum", "description", "required", "anyOf", "$ref"])
def test_null_is_a_part_that_is_not_there(name):
    assert usable_schema(of(n={name: None}), "t") == of(n={})
    assert not NOTICES.collected()


@pytest.mark.parametrize("nothing", [None, []])
def test_null_for_all_properties_and_an_empty_list_of_php_are_none(nothing):
    schema = usable_schema({"type": "object", "properties": nothing, "required": nothing, "$defs": nothing}, "t")
    assert (schema["properties"], schema.get("required", []), schema.get("$defs", {})) == ({}, [], {})
    assert not NOTICES.collected()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "integer", "minimum": "0"},
        {"type": "strnig"},
        {"enum": "axial"},
        {"anyOf": []},
        {"pattern": r"\p{L}+"},
        {"multipleOf": 0},
        {"$ref": "#/nowhere"},
        {"$ref": "#/properties/n"},
        {"$ref": "#/properties/n/description", "description": "no schema"},
        {"allOf": [{"anyOf": [{"$ref": "#/properties/n"}]}]},
    ],
)
def test_what_is_no_json_schema_is_left_out_and_said_once(part):
    schema = usable_schema(of(n=part), "'crop' of the MCP server 'atlas'")
    Draft202012Validator.check_schema(schema)
    assert validate_arguments({"n": 3}, schema) == {"n": 3}
    (notice,) = NOTICES.collected()
    assert notice.what == "parts of tools' schemas that are no JSON Schema are not checked"
    assert notice.examples[0].startswith("'crop' of the MCP server 'atlas': ")
    assert usable_schema(schema, "again") == schema
    assert len(NOTICES.collected()) == 1


def test_a_reference_to_elsewhere_is_never_fetched(monkeypatch):
    def connect(*_):
        pytest.fail("something was fetched")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)
    elsewhere = "http://127.0.0.1:9/schema.json"
    schema = usable_schema(of(n={"$ref": elsewhere}, m={"type": "object", "$schema": elsewhere}), "t")
    assert schema["properties"]["n"] == {}
    assert validate_arguments({"n": 1, "m": {}}, schema) == {"n": 1, "m": {}}
    with pytest.raises(Exception, match="Unresolvable"):  # nor by a schema that nobody has looked at
        validate_arguments({"n": 1}, of(n={"$ref": elsewhere}))


def test_a_schema_by_its_own_address_is_found():
    tree = {"$id": "https://example.org/tree", **of(n={"$ref": "https://example.org/tree#/$defs/n"})}
    assert refused({**tree, "$defs": {"n": {"type": "integer"}}}, {"n": "x"}) == 'n has to be an integer, got "x".'


def deep(levels):
    schema = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (False, "no JSON object"),
        ({"type": "string"}, "describes 'string'"),
        (of(a=deep(2000)), "nested too deeply"),
        (of(**{f"n{i}": {"minimum": "0"} for i in range(60)}), "more than 50 faults"),
    ],
)
def test_what_cannot_be_mended_says_why(schema, why):
    with pytest.raises(UnusableSchemaError, match=why):
        usable_schema(schema, "t")


def test_a_tool_of_ours_takes_any_schema():
    tool = Tool(
        lambda images, **given: ToolResult(text=str(given)), "t", parameters={"properties": None, "required": None}
    )
    assert tool.parameters == of()


words = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "$ref",
        "anyOf",
        "not",
        "minimum",
        "x",
        "$id",
        "$defs",
        "pattern",
    ]
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["object", "array", "#", "#/properties/x", "string", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything, st.dictionaries(words, anything, max_size=3))
def test_any_schema_is_made_valid_or_refused_and_any_call_is_read_or_refused(schema, arguments):
    try:
        usable = usable_schema(schema, "t")
    except UnusableSchemaError:
        return
    Draft202012Validator.check_schema(usable)
    assert usable["type"] == "object"
    assert isinstance(usable["properties"], dict)
    assert refused(usable, arguments) is None or refused(usable, arguments).endswith(".")
