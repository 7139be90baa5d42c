"""MCP servers whose schemas are as the field writes them: open-webui/mcpo#300, microsoft/vscode#244467."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mcp")

from jsonschema import Draft202012Validator

from medvista.errors import UserError
from medvista.integrations.mcp_client import mcp_tools
from medvista.notices import NOTICES
from medvista.settings import MCPServerConfig
from medvista.tools import Toolbox
from medvista.types import MedicalImage, ToolCall, ToolErrorType

HERE = Path(__file__).parent
SCAN = MedicalImage(pixels=np.zeros((8, 8), np.uint8))
PLAIN = {"inputSchema": {"type": "object"}}


@pytest.fixture
def start():
    """Makes toolboxes over servers of their own, which end with the test; what they left out is in `NOTICES`."""
    NOTICES.clear()
    made = []

    def make(script, argument, **settings):
        config = MCPServerConfig(
            command=sys.executable, args=[str(HERE / script), argument], start_timeout_s=120.0, **settings
        )
        tools = mcp_tools({"atlas": config})
        made.extend(tool.function.remote for tool in tools)
        return Toolbox(tools)

    yield make
    for remote in made:
        remote.close()
    NOTICES.clear()


def call(toolbox, tool, /, **arguments):
    result = toolbox.run(ToolCall(name=tool, arguments=arguments), (SCAN,))
    if result.error is None:
        return result.text
    assert result.error.type is ToolErrorType.INVALID_ARGUMENTS
    return result.error.message


def test_lists_and_booleans_as_items_are_checked_as_json_schema_says(start):
    toolbox = start("mcp_server_odd_schemas.py", "all")
    assert toolbox.names == ("crop_tuple", "crop_prefix", "anything", "status", "plain")
    for crop in ("crop_tuple", "crop_prefix"):
        assert call(toolbox, crop, bbox=[1, 2, 3, 4]) == f'{crop} got {{"bbox": [1, 2, 3, 4]}}'
        assert call(toolbox, crop, bbox="[1, 2, 3, 4]") == f'{crop} got {{"bbox": [1, 2, 3, 4]}}'
        assert call(toolbox, crop, bbox=[1, 2, 3]) == f"{crop}: bbox has to have 4 items, got 3."
        assert call(toolbox, crop, bbox=[1, 2, 3, "x"]) == f'{crop}: bbox[3] has to be a number, got "x".'
        assert call(toolbox, crop, bbox=[1, 2, 3, 4, 5]) == f"{crop}: bbox has to have 4 items, got 5."
        assert call(toolbox, crop) == f"{crop}: The argument 'bbox' is missing."
    assert call(toolbox, "anything", values=[1, "x", None]) == 'anything got {"values": [1, "x", null]}'
    assert call(toolbox, "status") == "status got {}"
    assert call(toolbox, "plain", k=None) == 'plain got {"k": null}'
    assert call(toolbox, "plain", k="3") == 'plain got {"k": 3}'
    assert call(toolbox, "plain", k="x") == 'plain: k has to be null or an integer, got "x".'
    assert not NOTICES.collected()


def test_what_a_model_is_told_of_them_is_valid_under_the_newest_draft(start):
    toolbox = start("mcp_server_odd_schemas.py", "all")
    told = {schema["function"]["name"]: schema["function"]["parameters"] for schema in toolbox.schemas()}
    number = {"type": "number"}
    box = {"type": "array", "minItems": 4, "maxItems": 4, "prefixItems": [number] * 4}
    assert told["crop_tuple"]["properties"] == {"bbox": box}
    assert told["crop_prefix"]["properties"] == {"bbox": {**box, "items": False}}
    for schema in told.values():
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert "$schema" not in schema


@pytest.mark.parametrize("mode", ["null", "nullprops"])
def test_null_for_required_or_properties_is_none(start, mode):
    toolbox = start("mcp_server_odd_schemas.py", mode)
    assert toolbox.schemas()[0]["function"]["parameters"] == {"type": "object", "properties": {}, "required": []}
    assert call(toolbox, "status") == "status got {}"


@pytest.mark.parametrize(
    "schema", [None, True, [], {}, {"properties": {"x": True}}, {"type": "object", "properties": []}]
)
def test_one_odd_schema_does_not_cost_the_others_their_server(start, schema):
    toolbox = start("mcp_server_of_schemas.py", json.dumps({"odd": {"inputSchema": schema}, "plain": PLAIN}))
    assert [call(toolbox, tool, x=1) for tool in ("odd", "plain")] == ['{"x": 1}'] * 2


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"type": "object", "required": ["never"]}, None, True])
def test_what_a_server_says_of_its_results_is_no_reason_to_refuse_them(start, schema):
    toolbox = start("mcp_server_of_schemas.py", json.dumps({"told": {**PLAIN, "outputSchema": schema}}))
    assert call(toolbox, "told", x=1) == '{"x": 1}'


def test_a_schema_beyond_repair_leaves_its_tool_out_and_is_refused_where_the_tool_is_asked_for(start):
    tools = json.dumps({"odd": {"inputSchema": {"type": "string"}}, "plain": PLAIN})
    assert start("mcp_server_of_schemas.py", tools).names == ("plain",)
    (notice,) = NOTICES.collected()
    assert notice.line() == (
        "tools were left out, since their schema cannot be used: 1 ('odd' of the MCP server 'atlas')"
    )
    with pytest.raises(
        UserError, match="schema of 'odd' of the MCP server 'atlas' cannot be used: it describes 'string'"
    ):
        start("mcp_server_of_schemas.py", tools, tools=["odd"])


def test_a_list_of_tools_against_the_protocol_is_one_sentence(start):
    with pytest.raises(UserError, match=r"what the server 'atlas' sent cannot be used .*description"):
        start("mcp_server_of_schemas.py", json.dumps({"odd": {**PLAIN, "description": {"text": "no text"}}}))


@pytest.mark.parametrize(
    "several",
    [
        {"type": ["array", "null"]},
        {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        {"$ref": "#/$defs/pictures"},
    ],
)
def test_images_are_given_by_index_however_their_type_is_written(start, several):
    schema = {
        "type": "object",
        "properties": {"scans": several, "scan": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "$defs": {"pictures": {"type": "array", "items": {"type": "string"}}},
    }
    images = {"scans": "base64", "scan": "base64"}
    toolbox = start("mcp_server_of_schemas.py", json.dumps({"look": {"inputSchema": schema}}), images=images)
    sent = json.loads(call(toolbox, "look", scans=[0, 0], scan=0))
    assert [len(sent["scans"]), sent["scan"][:5]] == [2, "iVBOR"]
    assert call(toolbox, "look", scan="chest.png") == 'look: scan has to be an integer, got "chest.png".'
