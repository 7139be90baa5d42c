"""What a server says of its tools, let past the SDK, which refuses the whole list for one odd schema.

Messages are looked at as they arrive. In a list of tools, a schema that the SDK would refuse is put where it is let
through (`given_schema` finds it there), and what a tool says of its results is taken out: we make no use of it, and the
SDK would refuse results that do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream
    from mcp.shared.message import SessionMessage

_GIVEN = "x-medvista-given"


def given_schema(listed: Mapping[str, Any]) -> Any:
    """The schema of a tool's arguments as the server wrote it."""
    return listed.get(_GIVEN, listed)


def let_through(tool: Any) -> Any:
    """A tool of a list, so that the SDK reads it.

    >>> let_through({"name": "status", "inputSchema": [], "outputSchema": {"type": "objekt"}})
    {'name': 'status', 'inputSchema': {'type': 'object', 'x-medvista-given': []}}
    """
    if not isinstance(tool, dict):
        return tool
    kept = {name: part for name, part in tool.items() if name != "outputSchema"}
    schema = kept.get("inputSchema")
    return kept if _is_plain(schema) else {**kept, "inputSchema": {"type": "object", _GIVEN: schema}}


def _is_plain(schema: Any) -> bool:
    """Whether it has the outer form that the protocol asks for; what is within is ours to judge."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    properties, required = schema.get("properties", {}), schema.get("required", [])
    named = isinstance(properties, dict) and all(isinstance(part, dict) for part in properties.values())
    return named and isinstance(required, list) and all(isinstance(name, str) for name in required)


class MessagesLetThrough:
    """The messages of a server, its lists of tools made such that the SDK reads them.

    Args:
        stream: where they come from, which this stands in for.
    """

    def __init__(self, stream: ReadStream[SessionMessage | Exception]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # the SDK looks for more than the protocol of streams has

    async def receive(self) -> SessionMessage | Exception:
        """The next message."""
        return _read(await self._stream.receive())

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> MessagesLetThrough:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return _read(await self._stream.__anext__())

    async def __aenter__(self) -> MessagesLetThrough:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(kind, error, trace)


def _read(arrived: SessionMessage | Exception) -> SessionMessage | Exception:
    result = getattr(getattr(arrived, "message", None), "result", None)
    if isinstance(result, dict) and isinstance(result.get("tools"), list):
        result["tools"] = [let_through(tool) for tool in result["tools"]]
    return arrived
