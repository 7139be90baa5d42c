"""Type hints to JSON schemas, and arguments checked against them."""

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvista.tools import Bounds, tool
from medvista.tools.argument_check import validate_arguments
from medvista.tools.schema import ArgumentError, Items, arguments_schema, type_schema
from medvista.types import ToolResult


@tool
def everything(
    images,
    count: int,
    level: Annotated[float, Bounds(-1, 1)] = 0.5,
    plane: Literal["axial", "coronal"] = "axial",
    exact: bool = False,
    label: str | None = None,
    points: list[tuple[float, float]] = (),
) -> ToolResult:
    """Do everything.

    And in one paragraph more.

    Args:
        count: how many, in
            whole numbers.
        level: how much, in mm.
    """
    return ToolResult(text=f"{count} {level} {plane} {exact} {label} {points}")


SCHEMA = everything.parameters


def test_a_tool_has_the_openai_function_form():
    assert everything.schema["type"] == "function"
    function = everything.schema["function"]
    assert function["name"] == "everything"
    assert function["description"] == "Do everything. And in one paragraph more."
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "description": "how many, in whole numbers."},
            "level": {
                "type": "number",
                "minimum": -1,
                "maximum": 1,
                "description": "how much, in mm.",
                "default": 0.5,
            },
            "plane": {"type": "string", "enum": ["axial", "coronal"], "default": "axial"},
            "exact": {"type": "boolean", "default": False},
            "label": {"type": "string"},
            "points": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                "default": [],
            },
        },
        "required": ["count"],
        "additionalProperties": False,
    }


def test_a_list_may_have_limits():
    assert type_schema(Annotated[list[int], Items(2, 4)]) == {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": 2,
        "maxItems": 4,
    }
    schema = {"properties": {"views": type_schema(Annotated[list[int], Items(minimum=2)])}}
    assert validate_arguments({"views": [1, 2, 3]}, schema) == {"views": [1, 2, 3]}
    with pytest.raises(ArgumentError, match="views has to have at least 2 items, got 1"):
        validate_arguments({"views": [1]}, schema)


def test_a_missing_argument_is_named_with_what_it_is_for():
    with pytest.raises(ArgumentError, match=r"'count' is missing: how many, in whole numbers\."):
        validate_arguments({}, SCHEMA)


@pytest.mark.parametrize("hint", [dict, object, int | str, Literal[1, 2], tuple[int, str], "int"])
def test_a_hint_without_a_schema_is_a_programmers_error(hint):
    with pytest.raises(TypeError, match="no JSON schema"):
        type_schema(hint)


def test_an_argument_without_a_hint_is_a_programmers_error():
    def careless(images, box):
        """Crop."""

    with pytest.raises(TypeError, match=r"'box' of .*careless needs a type hint"):
        arguments_schema(careless)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"count": 3}, {"count": 3}),
        ({"count": 3.0}, {"count": 3}),
        ({"count": "3"}, {"count": 3}),
        ({"count": 3, "label": None}, {"count": 3}),
        ({"count": 3, "exact": "True"}, {"count": 3, "exact": True}),
        ({"count": 3, "points": "[[1, 2]]"}, {"count": 3, "points": [(1, 2)]}),
        ({"count": 3, "level": 1}, {"count": 3, "level": 1}),
    ],
)
def test_arguments_are_read_as_they_are_meant(written, read):
    assert validate_arguments(written, SCHEMA) == read
    assert type(validate_arguments(written, SCHEMA)["count"]) is int


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "'count' is missing"),
        ({"count": None}, "count has to be an integer, got null"),
        ({"count": 2.5}, "count has to be an integer, got 2.5"),
        ({"count": True}, "count has to be an integer, got true"),
        ({"count": "three"}, 'count has to be an integer, got "three"'),
        ({"count": 1, "level": 2}, "level has to be at most 1, got 2"),
        ({"count": 1, "level": -2}, "level has to be at least -1, got -2"),
        ({"count": 1, "level": float("nan")}, "level has to be a number"),
        ({"count": 1, "level": float("inf")}, "level has to be a number"),
        ({"count": 1, "level": "1e999"}, "level has to be a number"),
        ({"count": 1, "plane": "sagittal"}, 'one of axial, coronal, got "sagittal"'),
        ({"count": 1, "plane": 3}, "plane has to be a string"),
        ({"count": 1, "exact": 1}, "exact has to be true or false"),
        ({"count": 1, "points": 3}, "points has to be a list"),
        ({"count": 1, "points": [[1, 2], [1, 2, 3]]}, r"points\[1\] has to have 2 items, got 3"),
        ({"count": 1, "points": [[1, "x"]]}, r"points\[0\]\[1\] has to be a number"),
        ({"count": 1, "zoom": 2}, "Unknown argument 'zoom'; the arguments are: count, level"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_wrong(written, said):
    with pytest.raises(ArgumentError, match=said):
        validate_arguments(written, SCHEMA)


def test_a_schema_from_elsewhere_may_lack_parts_and_limit_values_of_any_type():
    said = {"properties": {"size": {"type": "integer", "enum": [1, 2]}, "mode": {"enum": ["a", 3]}}, "required": ["z"]}
    assert validate_arguments({"size": "2", "mode": 3, "z": 0}, said) == {"size": 2, "mode": 3, "z": 0}
    for written, why in (
        ({"z": 0, "size": 3}, "size has to be one of 1, 2, got 3"),
        ({"z": 0, "mode": "b"}, 'mode has to be one of a, 3, got "b"'),
        ({}, "'z' is missing"),
    ):
        with pytest.raises(ArgumentError, match=why):
            validate_arguments(written, said)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["count", "level", "plane", "exact", "label", "points", "x"]), anything))
def test_any_arguments_are_read_or_refused(arguments):
    try:
        read = validate_arguments(arguments, SCHEMA)
    except ArgumentError:
        return
    assert isinstance(read["count"], int)
