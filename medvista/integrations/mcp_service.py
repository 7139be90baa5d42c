"""A toolbox as a Model Context Protocol server, whatever its transport.

An agent opens an image with ``open_image``, which names a session, then calls ``zoom`` and the others on the images of
that session by their index; what a tool returns becomes the next images. Or it gives the images with the call, in
``files``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import medvista
from medvista.errors import UserError
from medvista.imaging import fit
from medvista.imaging.encoding import to_png
from medvista.imaging.masks import mask_to_rle
from medvista.imaging.volume import describe_volume
from medvista.integrations.mcp_sessions import ImageSession, ImageSessions, own_sources
from medvista.outside_text import harmless
from medvista.tools import Toolbox
from medvista.types import Mask, MedicalImage, Region, ToolCall, ToolError, ToolErrorType, ToolResult

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp.types import CallToolResult
    from mcp.types import Tool as ListedTool

OPEN = "open_image"
_OURS = ("session", "files")  # arguments that every tool gets from this server

_INSTRUCTIONS = """Look closely at medical images. Call open_image with a path or base64 data: it shows the image, \
names a session, and says the index of the image in it. Then call the other tools with that session and index. Images \
that a tool returns get the next indices, and can be looked at again. Boxes are x1 y1 x2 y2, each 0-1000 of the image \
shown. For research only; not a medical device."""

_SESSION = {"type": "string", "description": "the session that open_image named; left out: the one of this connection"}
_FILES = {
    "type": "array",
    "items": {"type": "string"},
    "description": "paths or data: URLs of images for this call alone, instead of a session; indices count these",
}
_OPEN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "a file, or a folder with one DICOM series"},
        "data": {"type": "string", "description": "instead of a path: the content of a file, in base64"},
        "session": {"type": "string", "description": "a session to add the image to; left out: this connection's"},
    },
    "additionalProperties": False,
}
_OPEN_DESCRIPTION = "Open a medical image (PNG, JPEG, TIFF, DICOM, NIfTI), so that the other tools can look at it."


class ToolService:
    """A toolbox as an MCP server.

    Args:
        toolbox: runs the calls.
        sessions: opens images and keeps them.
        view_size: longer side in pixels of the images sent; tools work on native resolution.

    Raises:
        UserError: a tool has an argument or a name that this server needs for itself.
    """

    def __init__(self, toolbox: Toolbox, sessions: ImageSessions, *, view_size: int = 448) -> None:
        self.toolbox = toolbox
        self.sessions = sessions
        self.view_size = view_size
        for tool in toolbox.tools:
            if tool.name == OPEN or set(_OURS) & tool.parameters["properties"].keys():
                raise UserError(f"the tool {tool.name!r} cannot be offered: its name or an argument is the server's.")

    def list_tools(self) -> list[ListedTool]:
        """``open_image``, then the tools, each with the arguments ``session`` and ``files``."""
        from mcp.types import Tool as ListedTool

        listed = [ListedTool(name=OPEN, description=_OPEN_DESCRIPTION, input_schema=_OPEN_SCHEMA)]
        for tool in self.toolbox.tools:
            properties = {**tool.parameters["properties"], "session": _SESSION, "files": _FILES}
            schema = {**tool.parameters, "properties": properties}
            listed.append(ListedTool(name=tool.name, description=tool.description, input_schema=schema))
        return listed

    def call(self, name: str, arguments: Mapping[str, Any], connection: str | None = None) -> CallToolResult:
        """Run a call; whatever happens comes back as a result.

        Args:
            name: of the tool.
            arguments: as the agent wrote them.
            connection: names what has a session of its own; None where every request stands alone.
        """
        try:
            if name == OPEN:
                return self._open(arguments, connection)
            own = {key: value for key, value in arguments.items() if key not in _OURS}
            call = ToolCall(name=name, arguments=own)
            if (files := arguments.get("files")) is not None:
                return self._run_alone(call, files)
            return self._run_in_session(call, _text(arguments, "session"), connection)
        except UserError as error:
            return _wrong(ToolError(type=ToolErrorType.INVALID_ARGUMENTS, message=str(error)))

    def _open(self, arguments: Mapping[str, Any], connection: str | None) -> CallToolResult:
        path, data = _text(arguments, "path"), _text(arguments, "data")
        if data is not None and not data.startswith("data:"):
            data = f"data:;base64,{data}"
        given = path or data
        if given is None or (path and data):
            raise UserError("Give open_image either a path, or the content of a file as data.")
        image = self.sessions.read(given)
        session = self.sessions.find_or_begin(_text(arguments, "session"), connection)
        indices = session.open(image)
        text = f"Image {indices[0]} of session {session.id}: {describe(image)}."
        return self._answer(text, ToolResult(images=(image,)), indices, session)

    def _run_alone(self, call: ToolCall, files: Any) -> CallToolResult:
        if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
            raise UserError("files has to be a list of paths or data: URLs.")
        images = own_sources([self.sessions.read(file) for file in files])
        result = self.toolbox.run(call, images)
        return self._answer(result.text, result, range(0), None)

    def _run_in_session(self, call: ToolCall, name: str | None, connection: str | None) -> CallToolResult:
        session = self.sessions.find(name, connection)
        if session is None:  # some tools need no image
            result = self.toolbox.run(call, ())
            hint = " Call open_image first." if call.name in self.toolbox.names else ""
            return _wrong(result.error, hint) if result.error else self._answer(result.text, result, range(0), None)
        with session.lock:
            result = self.toolbox.run(call, tuple(session.images))
            indices = session.add(result.images)
        text = f"{_named(indices)}: {result.text}" if indices else result.text
        return self._answer(text, result, indices, session)

    def _answer(self, text: str, result: ToolResult, indices: range, session: ImageSession | None) -> CallToolResult:
        from mcp.types import CallToolResult, ImageContent, TextContent

        if result.error is not None:
            return _wrong(result.error)
        pictures = [base64.b64encode(to_png(fit(image, self.view_size))).decode() for image in result.images]
        shown = [ImageContent(data=data, mime_type="image/png") for data in pictures]
        return CallToolResult(
            content=[TextContent(text=harmless(text)), *shown],
            structured_content=_structured(result, indices, session),
        )

    def sdk_server(self) -> Server[Any]:
        """The SDK's server, which any of its transports can serve."""
        import anyio.to_thread
        from mcp.server import Server
        from mcp.types import ListToolsResult

        async def list_tools(context: Any, params: Any) -> ListToolsResult:
            return ListToolsResult(tools=self.list_tools())

        async def call_tool(context: Any, params: Any) -> CallToolResult:
            # In a thread: a tool that takes its time keeps nobody else waiting.
            return await anyio.to_thread.run_sync(
                self.call, params.name, params.arguments or {}, _connection(context), abandon_on_cancel=True
            )

        return Server(
            "medvista",
            version=medvista.__version__,
            instructions=_INSTRUCTIONS,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
        )


def describe(image: MedicalImage) -> str:
    """What an agent should know of an image that it cannot see: its native size, bits, spacing.

    >>> import numpy as np
    >>> describe(MedicalImage(pixels=np.zeros((2, 3), np.uint16), modality="CR", spacing_mm=(0.2, 0.1)))
    '3 x 2 pixels of CR, 16 bits, 0.1 x 0.2 mm each'
    """
    width, height = image.size
    kind = "" if image.modality == "unknown" else f" of {image.modality}"
    depth = "colour" if image.pixels.ndim == 3 else f"{8 * image.pixels.itemsize} bits"
    parts = [f"{width} x {height} pixels{kind}", depth]
    if image.spacing_mm is not None:
        row, column = image.spacing_mm
        parts.append(f"{column:.3g} x {row:.3g} mm each")
    if image.volume is not None and image.slice is not None:
        parts.append(describe_volume(image.volume, image.slice))
    return ", ".join(parts)


def _connection(context: Any) -> str | None:
    """What a session may belong to: the one client of standard input, or an HTTP session of older clients."""
    return "stdio" if context.request is None else context.request.headers.get("mcp-session-id")


def _text(arguments: Mapping[str, Any], name: str) -> str | None:
    value = arguments.get(name)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{name} has to be a string.")
    return value or None


def _named(indices: range) -> str:
    return f"Image {indices[0]}" if len(indices) == 1 else f"Images {indices[0]} to {indices[-1]}"


def _structured(result: ToolResult, indices: range, session: ImageSession | None) -> dict[str, Any]:
    """The result for programs: indices, places in source pixels, numbers."""
    return {
        "session": session.id if session is not None else None,
        "images": list(indices),
        "regions": [{"box": list(region.box), **_place(region)} for region in result.regions],
        "masks": [{"rle": mask_to_rle(mask.pixels), **_place(mask)} for mask in result.masks],
        "data": dict(result.data),
    }


def _place(part: Region | Mask) -> dict[str, Any]:
    return {"image": part.image, "label": part.label, "slice": None if part.slice is None else asdict(part.slice)}


def _wrong(error: ToolError, hint: str = "") -> CallToolResult:
    from mcp.types import CallToolResult, TextContent

    said = TextContent(text=harmless(error.message) + hint)
    return CallToolResult(content=[said], structured_content={"error": error.type.value}, is_error=True)
