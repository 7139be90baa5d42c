"""Tools a policy may call on the images of its episode."""

from medvista.tools.base import Tool, pick_image, quick_tool, tool
from medvista.tools.builtin.window import window
from medvista.tools.builtin.zoom import zoom
from medvista.tools.controls.blanked_call import BlankedCall
from medvista.tools.controls.random_regions import SUBSTITUTED, RandomRegions
from medvista.tools.controls.substituted_results import BlankResults, Donor, ShuffledResults
from medvista.tools.registry import (
    absent_tools,
    available_tools,
    find_tool,
    register_factory,
    register_tool,
    tool_names,
)
from medvista.tools.schema import ArgumentError, Bounds, Items
from medvista.tools.toolbox import Toolbox

__all__ = [
    "SUBSTITUTED",
    "ArgumentError",
    "BlankResults",
    "BlankedCall",
    "Bounds",
    "Donor",
    "Items",
    "RandomRegions",
    "ShuffledResults",
    "Tool",
    "Toolbox",
    "absent_tools",
    "available_tools",
    "find_tool",
    "pick_image",
    "quick_tool",
    "register_factory",
    "register_tool",
    "tool",
    "tool_names",
    "window",
    "zoom",
]
