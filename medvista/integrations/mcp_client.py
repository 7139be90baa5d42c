"""The tools of Model Context Protocol servers as tools of an episode."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvista.errors import UserError
from medvista.imaging.encoding import decode_base64, to_data_url, to_png
from medvista.integrations.mcp_connection import CallFailedError, MCPConnection
from medvista.integrations.mcp_listing import given_schema
from medvista.notices import notice
from medvista.outside_text import MAX_CHARACTERS, break_signs, harmless
from medvista.settings import MCPServerConfig
from medvista.tools import Tool, pick_image
from medvista.tools.foreign_schema import UnusableSchemaError, types_of, usable_schema
from medvista.types import MedicalImage, ToolError, ToolErrorType, ToolResult

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock
    from mcp.types import Tool as ListedTool

_LONGEST_DESCRIPTION = 1000  # characters of a tool, or of one of its arguments: the prompt has to hold them all
_ANY_TAG = re.compile(r"<[/!A-Za-z]")
_MOST_IMAGES = 8  # of one result: each fills the policy's context


def mcp_tools(servers: Mapping[str, MCPServerConfig], taken: Collection[str] = ()) -> list[Tool]:
    """The tools of some servers, which are started or reached to ask for them.

    Args:
        servers: by a name of your choice.
        taken: names of tools that there are already. A tool whose name is taken, or that two servers have, is called
            ``<server>_<name>``.

    Raises:
        UserError: a server cannot be used as configured, or does not have a tool that is asked for.
    """
    offered = [
        (server, listed, remote)
        for server, config in servers.items()
        for remote in [MCPConnection(server, config)]
        for listed in _chosen(remote)
    ]
    plain = [_safe_name(listed.name) for _, listed, _ in offered]
    names = set(taken)
    tools = []
    for (server, listed, remote), name in zip(offered, plain, strict=True):
        clashes = name in taken or plain.count(name) > 1
        name = _free(_safe_name(f"{server}_{name}") if clashes else name, names)
        names.add(name)
        tools.append(_tool(name, listed, remote))
    return [tool for tool in tools if tool is not None]


class MCPTool:
    """Calls one tool of a server; what a `Tool` of medvista runs.

    Args:
        remote: the connection.
        name: of the tool, as the server calls it.
        images: argument -> ``"base64"``, ``"data_url"`` or ``"path"``: where the model gives the index of an image, the
            server is sent that image as an 8-bit PNG.
    """

    hosted = True  # see `medvista.tools.capabilities.HostedTool`: the server is a process of its own

    def __init__(self, remote: MCPConnection, name: str, images: Mapping[str, str]) -> None:
        self.remote = remote
        self.name = name
        self.images = dict(images)

    def __call__(self, images: Sequence[MedicalImage], /, **arguments: Any) -> ToolResult:
        """Call the tool and read what comes back."""
        with tempfile.TemporaryDirectory(prefix="medvista-") as folder:
            sent = {name: self._sent(name, value, images, Path(folder)) for name, value in arguments.items()}
            try:
                answer = self.remote.call(self.name, sent)
            except CallFailedError as error:
                return ToolResult(error=ToolError(type=error.kind, message=f"{self.name}: {error}"))
        return read_result(self.name, answer, first=len(images))

    def _sent(self, name: str, value: Any, images: Sequence[MedicalImage], folder: Path) -> Any:
        form = self.images.get(name)
        if form is None:
            return value
        if isinstance(value, list | tuple):
            return [_FORMS[form](pick_image(images, index), folder) for index in value]
        return _FORMS[form](pick_image(images, value), folder)


def read_result(tool: str, answer: CallToolResult, first: int) -> ToolResult:
    """What a server sent, as a result of ours.

    Args:
        tool: its name, for messages.
        answer: texts are joined; pictures become images; other content is named, since no policy can use it.
        first: index that the first image will have in the episode. Where on which source it was taken is not known, so
            each image is its own source.
    """
    images: list[MedicalImage] = []
    texts: list[str] = []
    for block in answer.content:
        try:
            part = _read_block(block)
        except UserError as error:
            return _failed(f"{tool}: an image of the result cannot be read: {error}")
        if isinstance(part, str):
            texts.append(part)
        else:
            images.append(part)
    structured = answer.structured_content
    if not any(texts) and structured is not None:
        texts.append(json.dumps(structured, ensure_ascii=False))
    text = "\n".join(part for part in texts if part)
    if answer.is_error:
        return _failed(f"{tool}: {text or 'failed without saying why'}")
    if len(images) > _MOST_IMAGES:
        text = f"{text}\nOf {len(images)} images the first {_MOST_IMAGES} are shown.".lstrip()
    shown = tuple(replace(image, source=first + k) for k, image in enumerate(images[:_MOST_IMAGES]))
    small = isinstance(structured, dict) and len(json.dumps(structured)) <= MAX_CHARACTERS
    return ToolResult(text=text[: 2 * MAX_CHARACTERS], images=shown, data=structured if small else {})


def _read_block(block: ContentBlock) -> MedicalImage | str:
    if block.type == "text":
        return block.text
    if block.type == "image":
        return decode_base64(block.data)
    if block.type == "resource":
        resource: Any = block.resource  # text, or a blob in base64
        if hasattr(resource, "text"):
            return str(resource.text)
        if str(resource.mime_type or "").startswith("image/"):
            return decode_base64(resource.blob)
    return f"[{block.type} that cannot be shown]"


def _failed(message: str) -> ToolResult:
    return ToolResult(error=ToolError(type=ToolErrorType.FAILED, message=harmless(message, _LONGEST_DESCRIPTION)))


# ----------------------------------------------------------------------------------------------------- images, outwards


def _as_path(image: MedicalImage, folder: Path) -> str:
    path = folder / f"image-{len(list(folder.iterdir()))}.png"
    path.write_bytes(to_png(image))
    return str(path)


_FORMS: Mapping[str, Callable[[MedicalImage, Path], str]] = {
    "base64": lambda image, folder: base64.b64encode(to_png(image)).decode(),
    "data_url": lambda image, folder: to_data_url(image),
    "path": _as_path,  # for a server on this machine; the file is gone after the call
}


# -------------------------------------------------------------------------------------------------- what servers offer


def _chosen(remote: MCPConnection) -> list[ListedTool]:
    config, name = remote.config, remote.name
    if unknown := sorted(set(config.images.values()) - _FORMS.keys()):
        raise UserError(f"images of the MCP server {name!r} are sent as base64, data_url or path, not {unknown[0]!r}.")
    listed = remote.list_tools()
    has = [tool.name for tool in listed]
    if missing := [tool for tool in config.tools if tool not in has]:
        raise UserError(f"the MCP server {name!r} has no tool {missing[0]!r}; it has {', '.join(has) or 'none'}.")
    return [tool for tool in listed if not config.tools or tool.name in config.tools]


def _tool(name: str, listed: ListedTool, remote: MCPConnection) -> Tool | None:
    """A tool of ours; None where it is left out for its schema."""
    where = f"{listed.name!r} of the MCP server {remote.name!r}"
    try:
        parameters = tool_parameters(given_schema(listed.input_schema), remote.config.images, where)
    except UnusableSchemaError as error:
        if listed.name in remote.config.tools:
            raise UserError(f"the schema of {where} cannot be used: {error}; take it out of `tools`.") from None
        notice("tools were left out, since their schema cannot be used", where)
        return None
    text = json.dumps(parameters)
    if harmless(text, limit=len(text)) != text or "</tools" in text:  # it stands in the prompt
        notice("tools were left out, since their schema holds control tokens", where)
        return None
    description = _described(listed.description or listed.title or "")
    return Tool(
        MCPTool(remote, listed.name, remote.config.images), name, description=description, parameters=parameters
    )


def tool_parameters(schema: Any, images: Collection[str] = (), where: str = "a tool") -> dict[str, Any]:
    """A server's schema as the model is shown it and as arguments are checked: images are given by their index.

    Args:
        schema: of any draft, as the server wrote it.
        images: the arguments that take an image.
        where: names the tool in the notice of what was left out.

    Raises:
        UnusableSchemaError: it is no JSON Schema of an object.

    >>> tool_parameters({"properties": {"scan": {"type": "string"}}, "required": ["scan"]}, ["scan"])["properties"]
    {'scan': {'type': 'integer', 'minimum': 0, 'description': 'index of the image, 0 for the first'}}
    """
    usable = usable_schema(schema, where)
    given = {name: {} if part is True else part for name, part in usable["properties"].items()}
    properties = {name: _by_index(part, usable) if name in images else part for name, part in given.items()}
    required = [name for name in usable.get("required", ()) if name in properties]
    adapted = {**usable, "properties": properties, "required": required}
    cleaned: dict[str, Any] = _clean({name: part for name, part in adapted.items() if name != "title"})
    return cleaned


def _by_index(part: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    said = str(part.get("description", "")).strip() if isinstance(part, dict) else ""
    index: dict[str, Any] = {"type": "integer", "minimum": 0}
    if "array" in types_of(part, schema):
        index, meaning = {"type": "array", "items": index}, "indices of images, 0 for the first"
    else:
        meaning = "index of the image, 0 for the first"
    return {**index, "description": f"{meaning}; {said}" if said else meaning}


def _clean(part: Any) -> Any:
    """The schema with harmless descriptions."""
    if isinstance(part, dict):
        return {
            name: _described(value) if name == "description" and isinstance(value, str) else _clean(value)
            for name, value in part.items()
        }
    return [_clean(item) for item in part] if isinstance(part, list) else part


def _described(text: str) -> str:
    # A description stands in the prompt between tags, such as </tools>: it may close none of them.
    return break_signs(" ".join(harmless(text, _LONGEST_DESCRIPTION).split()), _ANY_TAG)


def _safe_name(name: str) -> str:
    """The name with nothing in it but what OpenAI's form of functions allows; a server's may have dots and slashes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "tool"


def _free(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbered if other not in taken)
