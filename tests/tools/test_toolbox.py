"""Calls that never raise."""

import json
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.tools import Tool, Toolbox, find_tool, register_tool, tool, tool_names
from medvista.types import Mask, MedicalImage, Region, ToolCall, ToolErrorType, ToolResult

IMAGES = (MedicalImage(pixels=np.zeros((8, 8), dtype=np.uint8)),)


@tool
def count(images, factor: int = 1) -> ToolResult:
    """Count the images."""
    return ToolResult(text=str(len(images) * factor))


@tool
def broken(images) -> ToolResult:
    """Fail."""
    raise RuntimeError("out of paper")


@tool
def slow(images, seconds: float) -> ToolResult:
    """Sleep."""
    time.sleep(seconds)
    return ToolResult(text="awake")


def call(name, **arguments):
    return ToolCall(name=name, arguments=arguments)


def test_a_call_runs_its_tool_on_the_images_and_is_timed():
    result = Toolbox([count, slow]).run(call("count", factor=2), IMAGES)
    assert result.ok
    assert result.text == "2"
    assert Toolbox([slow]).run(call("slow", seconds=0.01), IMAGES).seconds >= 0.01


def test_an_unknown_tool_names_the_nearest():
    error = Toolbox([count, slow]).run(call("cuont"), IMAGES).error
    assert error.type is ToolErrorType.UNKNOWN_TOOL
    assert error.message == "There is no tool 'cuont'; did you mean 'count'?"
    assert "the tools are: count, slow" in Toolbox([count, slow]).run(call("x"), IMAGES).error.message


def test_invalid_arguments_are_an_error_the_model_can_read():
    error = Toolbox([count]).run(call("count", factor="many"), IMAGES).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert error.message == 'count: factor has to be an integer, got "many".'


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_a_tool_that_raises_is_an_error_and_is_logged(caplog, timeout_s):
    with caplog.at_level(logging.WARNING):
        error = Toolbox([broken], timeout_s=timeout_s).run(call("broken"), IMAGES).error
    assert error.type is ToolErrorType.FAILED
    assert "RuntimeError: out of paper" in error.message
    assert "broken raised" in caplog.text


def returning(value):
    def odd(images) -> ToolResult:
        """Return something odd."""
        return value

    return Toolbox([tool(odd)]).run(call("odd"), IMAGES)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("text", "str, not a ToolResult"),
        (None, "NoneType, not a ToolResult"),
        (ToolResult(images=("picture",)), "str among its images"),
        (ToolResult(images=(MedicalImage(pixels=np.zeros((0, 5))),)), r"shape (0, 5)"),
        (ToolResult(images=(MedicalImage(pixels=np.zeros((4, 5, 3))),)), "type float64"),
        (ToolResult(images=(MedicalImage(pixels=np.zeros((4, 5, 4), dtype=np.uint8)),)), "shape (4, 5, 4)"),
        (ToolResult(images=IMAGES * 17), "17 images; at most 16"),
        (ToolResult(images=(replace(IMAGES[0], to_source=np.zeros((3, 3))),)), "no invertible 3 x 3 matrix"),
        (ToolResult(images=(replace(IMAGES[0], source=2),)), "something of image 2, which does not exist"),
        (ToolResult(images=(replace(IMAGES[0], source=1, to_source=2 * np.eye(3)),)), "something of image 1"),
        (ToolResult(text=7), "a text of type int"),
        (ToolResult(data=[1]), "data of type list"),
        (ToolResult(regions=((1, 2, 3, 4),)), "tuple among its regions"),
        (ToolResult(regions=(Region(box=(1, 2, 0, 4)),)), "the box (1, 2, 0, 4)"),
        (ToolResult(regions=(Region(box=(1, 2, 3, float("nan"))),)), "the box (1, 2, 3, nan)"),
        (ToolResult(regions=(Region(box=None),)), "a malformed ToolResult (TypeError"),
        (ToolResult(masks=(np.zeros((2, 2), bool),)), "ndarray among its masks"),
        (ToolResult(masks=(Mask(pixels=np.zeros((2, 2))),)), "a mask of shape (2, 2) and type float64"),
        (ToolResult(masks=(Mask(pixels=np.zeros((2, 2), bool), image=-1),)), "something of image -1"),
        (ToolResult(images=None), "a malformed ToolResult"),
    ],
)
def test_nonsense_from_a_tool_is_an_error(value, said):
    error = returning(value).error
    assert error.type is ToolErrorType.FAILED
    assert said in error.message


def test_an_image_made_elsewhere_is_its_own_source():
    first, second = replace(IMAGES[0], source=1), replace(IMAGES[0], source=2)
    assert returning(ToolResult(images=(first, second))).ok
    assert not returning(ToolResult(images=(second, first))).ok


def test_a_hanging_tool_is_given_up_on_in_time():
    start = time.perf_counter()
    error = Toolbox([slow], timeout_s=0.05).run(call("slow", seconds=1), IMAGES).error
    assert time.perf_counter() - start < 0.5
    assert error.type is ToolErrorType.TIMEOUT
    assert error.message == "slow took longer than 0.05 s."
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "tool-slow")


def test_what_the_prompt_says_about_tools():
    toolbox = Toolbox.from_names(["zoom", "window"])
    assert toolbox.names == ("zoom", "window")
    assert toolbox.describe("none") == ""
    assert toolbox.describe("names") == "Tools: zoom, window"
    text = toolbox.describe("schemas")
    described = text.split("<tools>\n")[1].split("\n</tools>")[0].splitlines()
    assert [json.loads(line)["function"]["name"] for line in described] == ["zoom", "window"]
    assert '<tool_call>{"name": "...", "arguments": {...}}</tool_call>' in text
    assert Toolbox([]).describe("schemas") == ""


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        Toolbox([count, count])


def test_an_unknown_name_is_a_users_error():
    with pytest.raises(UserError, match="no tool named 'zom'; did you mean 'zoom'"):
        Toolbox.from_names(["zom"])


def test_an_object_with_weights_is_a_tool_too():
    class Threshold:
        """Count pixels above a level."""

        def __init__(self, level):
            self.level = level

        def __call__(self, images, image: int = 0) -> ToolResult:
            return ToolResult(data={"pixels": int((images[image].pixels > self.level).sum())})

    threshold = Tool(Threshold(level=-1), name="threshold")
    assert threshold.description == "Count pixels above a level."
    assert list(threshold.parameters["properties"]) == ["image"]
    assert Toolbox([threshold]).run(call("threshold"), IMAGES).data == {"pixels": 64}


def test_a_registered_tool_is_found_by_name_and_cannot_be_replaced():
    assert {"zoom", "window"} <= set(tool_names())
    assert register_tool(find_tool("zoom")) is find_tool("zoom")
    with pytest.raises(ValueError, match="already registered"):
        register_tool(Tool(count.function, name="zoom"))


@pytest.mark.parametrize("name", ["look up", "atlas.find", "<answer>", "röntgen", "x" * 65, "zoom\n"])
def test_a_name_that_openais_form_refuses_is_a_programmers_error(name):
    with pytest.raises(ValueError, match="at most 64 letters, digits"):
        Tool(count.function, name=name)


def test_a_tool_may_bring_its_schema_instead_of_type_hints():
    parameters = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    echo = Tool(
        lambda images, **arguments: ToolResult(text=arguments["word"]),
        name="echo",
        description="Say it again.",
        parameters=parameters,
    )
    function = {"name": "echo", "description": "Say it again.", "parameters": parameters}
    assert echo.schema == {"type": "function", "function": function}
    assert Toolbox([echo]).run(call("echo", word="hm"), IMAGES).text == "hm"
    assert "'word' is missing" in Toolbox([echo]).run(call("echo"), IMAGES).error.message
    silent = Tool(lambda images: ToolResult(text="hm"), name="silent", description="Say hm.", parameters={})
    assert silent.schema["function"]["parameters"] == {"type": "object", "properties": {}}
    assert Toolbox([silent]).run(call("silent"), IMAGES).text == "hm"
