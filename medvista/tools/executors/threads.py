"""Calls in this process: in the caller's thread, or, with a timeout, in a thread that can be abandoned."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools.base import Tool
from medvista.tools.executors import failures
from medvista.tools.executors.base import Execution, Executor
from medvista.types import MedicalImage

CONCURRENCY = 16  # threads of a tool, where a timeout makes threads


class ThreadExecutor(Executor):
    """For trusted tools: nothing here can end a call that hangs, and a crash takes the whole process along.

    Without a timeout a call runs in the caller's thread, the fastest way there is. With one it runs in a thread of its
    own, which is abandoned when time is up. An abandoned thread keeps its place among the `concurrency` threads of its
    tool until it ends, so their number is bounded; a tool all of whose threads are abandoned is refused.

    Args:
        limits: of every tool. Concurrency is unlimited by default, 16 where there is a timeout. A memory limit is
            refused: threads share their memory.
        per_tool: see `Executor`.

    Raises:
        UserError: a limit makes no sense, or is one of memory.
    """

    def __init__(self, limits: ToolLimits | None = None, per_tool: Mapping[str, ToolLimits] | None = None) -> None:
        super().__init__(limits, per_tool)
        if any(given.memory_mb is not None for given in (self.limits, *self.per_tool.values())):
            raise UserError(
                "Tools in threads share this process's memory; a memory limit needs the executor 'processes' or 'ray'."
            )
        self._places: dict[Tool, _Places] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limits, self.per_tool)

    def run(self, tool: Tool, images: Sequence[MedicalImage], arguments: Mapping[str, Any]) -> Execution:
        """See `Executor.run`."""
        limits = self.limits_of(tool)
        if limits.timeout_s is not None:
            return Execution(self._run_within(limits.timeout_s, tool, images, arguments))
        if limits.concurrency is None:
            return Execution(tool(images, **arguments))
        with self._places_of(tool).one(tool):
            return Execution(tool(images, **arguments))

    def _run_within(
        self, seconds: float, tool: Tool, images: Sequence[MedicalImage], arguments: Mapping[str, Any]
    ) -> Any:
        places, outcome = self._places_of(tool), _Outcome()
        places.take(tool)

        def work() -> None:
            try:
                outcome.value.put((tool(images, **arguments), None))
            except BaseException as error:  # SystemExit, too, would end the thread without a word
                outcome.value.put((None, error))
            finally:
                places.give_back(outcome)

        # A daemon, so that an abandoned call cannot keep the process from ending.
        threading.Thread(target=work, name=f"tool-{tool.name}", daemon=True).start()
        try:
            value, error = outcome.value.get(timeout=seconds)
        except queue.Empty:
            places.abandon(outcome)
            raise failures.took_too_long(tool, seconds) from None
        if isinstance(error, KeyboardInterrupt):  # raised by the tool: a person's reaches the main thread
            raise failures.raised(tool, error)
        if error is not None:
            raise error
        return value

    def _places_of(self, tool: Tool) -> _Places:
        with self._lock:
            if tool not in self._places:
                self._places[tool] = _Places(self.limits_of(tool).concurrency or CONCURRENCY)
            return self._places[tool]


class _Outcome:
    """Where a call in a thread of its own leaves what it returned or raised."""

    def __init__(self) -> None:
        self.value: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self.ended = False
        self.abandoned = False


class _Places:
    """How many threads of a tool there may be, abandoned ones included."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._abandoned = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self, tool: Tool) -> Iterator[None]:
        """A place for a call that nobody will abandon."""
        self.take(tool)
        try:
            yield
        finally:
            self.give_back(_Outcome())

    def take(self, tool: Tool) -> None:
        """Waits for a place; refuses where that could be for ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken < self._count or self._abandoned == self._count)
            if self._abandoned == self._count:
                raise failures.switched_off(tool, self._count)
            self._taken += 1

    def give_back(self, outcome: _Outcome) -> None:
        """The call has ended, abandoned or not."""
        with self._changed:
            outcome.ended = True
            self._taken -= 1
            self._abandoned -= outcome.abandoned
            self._changed.notify_all()

    def abandon(self, outcome: _Outcome) -> None:
        """Nobody waits for the call any more; its place stays taken until it ends."""
        with self._changed:
            if not outcome.ended:
                outcome.abandoned = True
                self._abandoned += 1
                self._changed.notify_all()
