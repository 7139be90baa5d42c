"""Tools by name: those that ship with the package, and your own."""

from __future__ import annotations

import difflib

from medvista.errors import UserError
from medvista.tools.base import Tool
from medvista.tools.window import window
from medvista.tools.zoom import zoom

_TOOLS: dict[str, Tool] = {tool.name: tool for tool in (zoom, window)}


def register_tool(tool: Tool) -> Tool:
    """Make a tool known by its name, so that a configuration can ask for it.

    Raises:
        ValueError: another tool has that name.
    """
    if _TOOLS.setdefault(tool.name, tool) is not tool:
        raise ValueError(f"A tool named {tool.name!r} is already registered.")
    return tool


def find_tool(name: str) -> Tool:
    """The registered tool of that name.

    Raises:
        UserError: there is none.
    """
    if name not in _TOOLS:
        near = difflib.get_close_matches(name, _TOOLS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(_TOOLS))}."
        raise UserError(f"There is no tool named {name!r}; {hint}")
    return _TOOLS[name]


def tool_names() -> tuple[str, ...]:
    """Names of all registered tools."""
    return tuple(_TOOLS)
