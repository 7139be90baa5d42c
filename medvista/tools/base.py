"""What a tool is: a typed callable over the images of an episode."""

from __future__ import annotations

import copyreg
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medvista.tools.foreign_schema import usable_schema
from medvista.tools.schema import ArgumentError, arguments_schema, first_paragraph
from medvista.types import MedicalImage, ToolResult

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # of functions in OpenAI's form


class Tool:
    """A named callable ``(images, **arguments) -> ToolResult`` with a JSON schema from its type hints and docstring.

    Args:
        function: a function, or an object with ``__call__``, whose first parameter is the images of the episode (the
            sample's own first, then what tools returned). It never sees answers or annotated regions.
        name: what the model calls it: at most 64 letters, digits, ``_`` and ``-``.
        description: what it says it does, instead of the docstring.
        parameters: JSON schema of its arguments, of any draft, instead of the type hints: for tools from elsewhere.
        quick: whether every call answers within milliseconds, from what is in memory. Rollouts whose tools all do are
            the same to the last bit each time; whether another tool is quick is found out by the clock.

    Raises:
        ValueError: the name has another form, or the schema is none.
    """

    def __init__(
        self,
        function: Callable[..., ToolResult],
        name: str | None = None,
        *,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        quick: bool = False,
    ) -> None:
        body = function if inspect.isfunction(function) else type(function).__call__
        self.function = function
        self.quick = quick
        self.name = name or str(getattr(function, "__name__", type(function).__name__.lower()))
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"A tool's name is at most 64 letters, digits, _ and -, got {self.name!r}.")
        documentation = inspect.getdoc(function) or inspect.getdoc(body) or ""
        self.description = first_paragraph(documentation) if description is None else description
        if parameters is None:
            self.parameters: Mapping[str, Any] = arguments_schema(body, documentation)
        else:
            self.parameters = usable_schema(parameters, f"the tool {self.name}")

    def __call__(self, images: Sequence[MedicalImage], /, **arguments: Any) -> ToolResult:
        """Run the tool on validated arguments; one of a schema from elsewhere may be called ``images``, too."""
        return self.function(images, **arguments)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """By name where a module defines it, as functions travel: a worker then uses what its own module holds."""
        module, name = getattr(self.function, "__module__", None), getattr(self.function, "__qualname__", "")
        if module not in (None, "__main__") and getattr(sys.modules.get(module), name, None) is self:
            return _defined_in, (module, name)
        return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]

    @property
    def schema(self) -> dict[str, Any]:
        """The tool in OpenAI function form."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


def _defined_in(module: str, name: str) -> Tool:
    defined: Tool = getattr(importlib.import_module(module), name)
    return defined


def tool(function: Callable[..., ToolResult]) -> Tool:
    """Decorator that makes a function a `Tool`."""
    return Tool(function)


def quick_tool(function: Callable[..., ToolResult]) -> Tool:
    """Decorator that makes a function a `Tool` whose calls all answer within milliseconds."""
    return Tool(function, quick=True)


def pick_image(images: Sequence[MedicalImage], index: int) -> MedicalImage:
    """The image the model means.

    Raises:
        ArgumentError: there is no image of that index.
    """
    if not 0 <= index < len(images):
        known = {0: "there are none", 1: "only image 0 exists"}.get(len(images), f"images 0 to {len(images) - 1} exist")
        raise ArgumentError(f"There is no image {index}; {known}.")
    return images[index]
