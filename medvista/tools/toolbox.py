"""The tools of an episode behind one call that never raises."""

from __future__ import annotations

import difflib
import json
import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from medvista.tools.base import Tool
from medvista.tools.registry import find_tool
from medvista.tools.result_check import fault_of
from medvista.tools.schema import ArgumentError, validate_arguments
from medvista.types import MedicalImage, ToolCall, ToolError, ToolErrorType, ToolResult

log = logging.getLogger(__name__)

GRAMMAR = """Each turn, first think inside <think> and </think>. Then either call exactly one tool:
<tool_call>{"name": "...", "arguments": {...}}</tool_call>
or give the final answer, which ends the conversation:
<answer>...</answer>"""


class Toolbox:
    """Runs tool calls: checks arguments, measures time, and turns every failure into a typed error.

    Args:
        tools: the tools, with distinct names.
        timeout_s: seconds a call may take; None runs calls in the caller's thread, without limit. A call that ran out
            of time is abandoned, not killed: for trusted tools only.

    Raises:
        ValueError: two tools have the same name.
    """

    def __init__(self, tools: Iterable[Tool], *, timeout_s: float | None = None) -> None:
        self.tools = tuple(tools)
        self.timeout_s = timeout_s
        self._by_name = {tool.name: tool for tool in self.tools}
        if len(self._by_name) < len(self.tools):
            raise ValueError(f"Two tools have the same name: {[tool.name for tool in self.tools]}.")

    @classmethod
    def from_names(cls, names: Iterable[str], *, timeout_s: float | None = None) -> Toolbox:
        """A toolbox of registered tools.

        Raises:
            UserError: a name is not registered.
        """
        return cls([find_tool(name) for name in names], timeout_s=timeout_s)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tools, in order."""
        return tuple(self._by_name)

    def schemas(self) -> list[dict[str, Any]]:
        """The tools in OpenAI function form."""
        return [tool.schema for tool in self.tools]

    def describe(self, style: Literal["schemas", "names", "none"] = "schemas") -> str:
        """What the prompt says about the tools.

        Args:
            style: ``"schemas"`` gives JSON schemas and the turn grammar, for large models; ``"names"`` one short line;
                ``"none"`` nothing.
        """
        if style == "none" or not self.tools:
            return ""
        if style == "names":
            return f"Tools: {', '.join(self.names)}"
        lines = "\n".join(json.dumps(schema) for schema in self.schemas())
        return f"You may call these tools:\n<tools>\n{lines}\n</tools>\n{GRAMMAR}"

    def for_episode(self, seed: int) -> Toolbox:
        """The toolbox of one episode; a subclass with randomness returns a copy seeded with `seed`."""
        return self

    def run(self, call: ToolCall, images: Sequence[MedicalImage]) -> ToolResult:
        """Run a call; whatever happens comes back as a result.

        Args:
            call: what the model asked for.
            images: all images of the episode at native resolution, the sample's own first.
        """
        start = time.perf_counter()
        result = self._run(call, images)
        return replace(result, seconds=time.perf_counter() - start)

    def _run(self, call: ToolCall, images: Sequence[MedicalImage]) -> ToolResult:
        tool = self._by_name.get(call.name)
        if tool is None:
            return _error(ToolErrorType.UNKNOWN_TOOL, self._suggest(call.name))
        try:
            arguments = validate_arguments(call.arguments, tool.parameters)
            result = self._call(tool, images, arguments)
        except ArgumentError as error:
            return _error(ToolErrorType.INVALID_ARGUMENTS, f"{tool.name}: {error}")
        except _TimedOutError:
            return _error(ToolErrorType.TIMEOUT, f"{tool.name} took longer than {self.timeout_s:g} s.")
        except Exception as error:  # a tool may raise anything; the episode goes on
            log.warning("tool %s raised", tool.name, exc_info=True)
            return _error(ToolErrorType.FAILED, f"{tool.name} failed: {type(error).__name__}: {str(error)[:200]}")
        fault = fault_of(result, n_sources=1 + max((image.source for image in images), default=-1))
        return result if fault is None else _error(ToolErrorType.FAILED, f"{tool.name} returned {fault}.")

    def _call(self, tool: Tool, images: Sequence[MedicalImage], arguments: dict[str, Any]) -> Any:
        if self.timeout_s is None:
            return tool(images, **arguments)
        return _call_within(self.timeout_s, tool, images, arguments)

    def _suggest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the tools are: {', '.join(self.names) or 'none'}."
        return f"There is no tool {name[:40]!r}; {hint}"


class _TimedOutError(Exception):
    """A call took longer than it may."""


def _call_within(seconds: float, tool: Tool, images: Sequence[MedicalImage], arguments: dict[str, Any]) -> ToolResult:
    outcome: queue.SimpleQueue[ToolResult | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put(tool(images, **arguments))
        except Exception as error:
            outcome.put(error)

    # A daemon, so that an abandoned call cannot keep the process from ending.
    threading.Thread(target=work, name=f"tool-{tool.name}", daemon=True).start()
    try:
        result = outcome.get(timeout=seconds)
    except queue.Empty:
        raise _TimedOutError from None
    if isinstance(result, Exception):
        raise result
    return result


def _error(kind: ToolErrorType, message: str) -> ToolResult:
    return ToolResult(error=ToolError(type=kind, message=message))
