"""What runs a tool's call: in which thread, process or actor, for how long, and how many at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools.base import Tool
from medvista.types import MedicalImage, ToolErrorType


class CallError(Exception):
    """A call produced no result, for a reason that the model may read."""

    def __init__(self, kind: ToolErrorType, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Execution:
    """What a tool returned, not yet checked."""

    value: Any
    batch_size: int = 1  # calls that were answered together with this one, itself included


class Executor(ABC):
    """Runs calls of tools. Any number of threads may call `run` at the same time.

    A copy (`copy.deepcopy`, pickle) has the same settings, and workers of its own.

    Args:
        limits: of every tool; what is None there has the executor's own default.
        per_tool: by name, of single tools; what is None there has the value of `limits`.

    Raises:
        UserError: a limit makes no sense.
    """

    runs_other_pythons: ClassVar[bool] = False

    def __init__(self, limits: ToolLimits | None = None, per_tool: Mapping[str, ToolLimits] | None = None) -> None:
        self.limits = limits or ToolLimits()
        self.per_tool = dict(per_tool or {})
        for name, given in {"": self.limits, **self.per_tool}.items():
            _check(given, f" of {name}" if name else "")
            if given.python is not None and not self.runs_other_pythons:
                raise UserError(
                    f"python={given.python}{f' of {name}' if name else ''} is another interpreter, which the executor "
                    "'processes' can start: set env.tools_executor=processes."
                )

    def limits_of(self, tool: Tool) -> ToolLimits:
        """The limits of one tool."""
        own = self.per_tool.get(tool.name)
        return self.limits if own is None else own.over(self.limits)

    @abstractmethod
    def run(self, tool: Tool, images: Sequence[MedicalImage], arguments: Mapping[str, Any]) -> Execution:
        """Run a call and wait for it.

        Raises:
            ArgumentError: the tool refuses the arguments.
            CallError: the call ran out of time or memory, or ended its worker.
            Exception: whatever the tool raised, where it ran in this process.
        """

    def close(self) -> None:  # noqa: B027 - an executor without workers has nothing to end
        """End all workers; a call after that is refused."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _check(limits: ToolLimits, whose: str) -> None:
    if limits.timeout_s is not None and not limits.timeout_s > 0:
        raise UserError(f"The timeout{whose} has to be more than 0 seconds, got {limits.timeout_s}.")
    if limits.concurrency is not None and limits.concurrency < 1:
        raise UserError(f"The concurrency{whose} has to be at least 1, got {limits.concurrency}.")
    if limits.min_workers is not None and limits.concurrency is not None and limits.min_workers > limits.concurrency:
        raise UserError(
            f"The least number of workers{whose}, {limits.min_workers}, is above their most, concurrency="
            f"{limits.concurrency}."
        )
    if limits.memory_mb is not None and limits.memory_mb < 1:
        raise UserError(f"The memory{whose} has to be at least 1 MB, got {limits.memory_mb}.")
