"""The tools of an episode behind one call that never raises."""

from __future__ import annotations

import difflib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from medvista.circuit_breaker import CircuitBreaker
from medvista.errors import Terminated
from medvista.settings import ToolLimits
from medvista.tools.argument_check import validate_arguments
from medvista.tools.base import Tool
from medvista.tools.call_metrics import CallMetrics, ToolMetrics
from medvista.tools.executors import CallError, Execution, Executor, ThreadExecutor
from medvista.tools.executors.failures import left_alone, raised
from medvista.tools.registry import find_tool
from medvista.tools.result_cache import ResultCache
from medvista.tools.result_check import fault_of
from medvista.tools.schema import ArgumentError
from medvista.types import MedicalImage, ToolCall, ToolError, ToolErrorType, ToolResult

log = logging.getLogger(__name__)

_OUT_OF_ORDER = (
    ToolErrorType.TIMEOUT,
    ToolErrorType.OUT_OF_MEMORY,
    ToolErrorType.CRASHED,
    ToolErrorType.UNAVAILABLE,
)
UNKNOWN = "(unknown)"  # stands for all tools that do not exist, in the metrics

GRAMMAR = """Each turn, first think inside <think> and </think>. Then either call exactly one tool:
<tool_call>{"name": "...", "arguments": {...}}</tool_call>
or give the final answer, which ends the conversation:
<answer>...</answer>"""


class Toolbox:
    """Runs tool calls: checks arguments, measures time, and turns every failure into a typed error.

    Args:
        tools: the tools, with distinct names.
        timeout_s: seconds a call may take in the default executor, `ThreadExecutor`; None runs calls in the caller's
            thread, without limit. A call that ran out of time is abandoned, not killed: for trusted tools only.
        executor: what runs the calls, instead of the default one. It may be shared between toolboxes.
        cache: keeps results of equal calls; none by default, since quick tools are quicker without.
        breakers: by tool, what leaves it alone for a while where it is out of order.

    Raises:
        ValueError: two tools have the same name, or both a timeout and an executor are given.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        timeout_s: float | None = None,
        executor: Executor | None = None,
        cache: ResultCache | None = None,
        breakers: Mapping[str, CircuitBreaker] | None = None,
    ) -> None:
        if timeout_s is not None and executor is not None:
            raise ValueError("Give the timeout to the executor: its limits are those of the toolbox.")
        self.tools = tuple(tools)
        self.executor = executor or ThreadExecutor(ToolLimits(timeout_s=timeout_s))
        self.cache = cache
        self.breakers = dict(breakers or {})
        self._metrics = CallMetrics()
        self._by_name = {tool.name: tool for tool in self.tools}
        if len(self._by_name) < len(self.tools):
            raise ValueError(f"Two tools have the same name: {[tool.name for tool in self.tools]}.")

    @classmethod
    def from_names(
        cls,
        names: Iterable[str],
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        timeout_s: float | None = None,
        executor: Executor | None = None,
        cache: ResultCache | None = None,
    ) -> Toolbox:
        """A toolbox of registered tools.

        Args:
            names: of the tools.
            options: by tool, what its factory is given: weights, a corpus, ...
            timeout_s: see the class, as for the others.
            executor: what runs the calls.
            cache: keeps results of equal calls.

        Raises:
            UserError: a name is not registered, its tool is absent here, or an option does not fit.
        """
        tools = [find_tool(name, **(options or {}).get(name, {})) for name in names]
        return cls(tools, timeout_s=timeout_s, executor=executor, cache=cache)

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
        tool = self._by_name.get(call.name)
        if tool is None:
            ran = _Ran(_error(ToolErrorType.UNKNOWN_TOOL, self._suggest(call.name)))
        else:
            ran = self._run(tool, call, images)
        seconds = time.perf_counter() - start
        error = ran.result.error
        self._metrics.record(
            UNKNOWN if tool is None else tool.name,  # not what the model wrote, which may be anything
            seconds,
            error=None if error is None else error.type.value,
            batch_size=ran.batch_size,
            cached=ran.cached,
        )
        return replace(ran.result, seconds=seconds)

    def metrics(self) -> dict[str, ToolMetrics]:
        """How the calls of each tool went so far; calls of tools that do not exist are under ``"(unknown)"``."""
        return self._metrics.summary()

    def outages(self) -> list[str]:
        """A sentence for each tool that was out of order for a while."""
        return [
            f"{name} failed {breaker.failures} times in a row and was left alone, {breaker.opened} times so far: in "
            f"{breaker.open_s:.0f} s {breaker.refused:,} of its calls were answered with an error at once."
            for name, breaker in self.breakers.items()
            if breaker.opened
        ]

    def close(self) -> None:
        """End the executor's workers."""
        self.executor.close()

    def _run(self, tool: Tool, call: ToolCall, images: Sequence[MedicalImage]) -> _Ran:
        try:
            arguments = validate_arguments(call.arguments, tool.parameters)
            return self._execute(tool, images, arguments)
        except ArgumentError as error:
            return _Ran(_error(ToolErrorType.INVALID_ARGUMENTS, f"{tool.name}: {error}"))
        except CallError as error:
            return _Ran(_error(error.kind, error.message))
        except (KeyboardInterrupt, Terminated):
            raise
        except BaseException as error:  # a tool may raise anything; the episode goes on
            log.warning("tool %s raised", tool.name, exc_info=True)
            return _Ran(_error(ToolErrorType.FAILED, raised(tool, error).message))

    def _execute(self, tool: Tool, images: Sequence[MedicalImage], arguments: dict[str, Any]) -> _Ran:
        cache = self.cache
        if cache is None:
            return self._guarded(tool, images, arguments)
        key = cache.key(tool, images, arguments)
        known = cache.get(key)
        if known is not None:
            return _Ran(known, cached=True)
        ran = self._guarded(tool, images, arguments)
        cache.put(key, ran.result)
        return ran

    def _guarded(self, tool: Tool, images: Sequence[MedicalImage], arguments: dict[str, Any]) -> _Ran:
        """Runs a call, unless the tool is being left alone; see `medvista.circuit_breaker`."""
        breaker = self.breakers.get(tool.name)
        if breaker is None:
            return _checked(tool, images, self.executor.run(tool, images, arguments))
        if not breaker.allows():
            raise left_alone(tool, breaker.failures)
        try:
            ran = _checked(tool, images, self.executor.run(tool, images, arguments))
        except CallError as error:
            _judge(breaker, error.kind)
            raise
        except ArgumentError:
            breaker.passed_over()
            raise
        except BaseException:  # the tool raised, so it is there
            breaker.succeeded()
            raise
        _judge(breaker, None if ran.result.error is None else ran.result.error.type)
        return ran

    def _suggest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"the tools are: {', '.join(self.names) or 'none'}."
        return f"There is no tool {name[:40]!r}; {hint}"


@dataclass(frozen=True, slots=True)
class _Ran:
    """A result, and how it came about."""

    result: ToolResult
    batch_size: int = 0  # 0: not run
    cached: bool = False


def _checked(tool: Tool, images: Sequence[MedicalImage], execution: Execution) -> _Ran:
    n_sources = 1 + max((image.source for image in images), default=-1)
    fault = fault_of(execution.value, n_sources, len(images))
    if fault is not None:
        return _Ran(_error(ToolErrorType.FAILED, f"{tool.name} returned {fault}."), execution.batch_size)
    return _Ran(execution.value, execution.batch_size)


def _judge(breaker: CircuitBreaker, error: ToolErrorType | None) -> None:
    """A tool that answers is in order, whatever it answers: also with an error that another argument would mend."""
    if error in _OUT_OF_ORDER:
        breaker.failed()
    else:
        breaker.succeeded()


def _error(kind: ToolErrorType, message: str) -> ToolResult:
    return ToolResult(error=ToolError(type=kind, message=message))
