"""What executors with workers share: one pool of workers per tool, ended with the executor."""

from __future__ import annotations

import os
import threading
import weakref
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cloudpickle

from medvista.settings import ToolLimits
from medvista.tools.base import Tool
from medvista.tools.capabilities import BatchedTool, HostedTool, LoadedTool, ToolRequest
from medvista.tools.executors import failures
from medvista.tools.executors.base import Execution, Executor
from medvista.tools.executors.threads import ThreadExecutor
from medvista.tools.executors.worker_pool import Worker, WorkerPool
from medvista.types import MedicalImage

DEFAULTS = ToolLimits(timeout_s=60.0)
CONCURRENCY = 4  # workers of a tool; one where it holds weights
START_TIMEOUT_S = 300.0


class PoolExecutor(Executor):
    """Runs each tool in workers of its own, which are killed and replaced where they hang, crash or run out of memory.

    A call's time runs from when it has a worker that has loaded the tool; before that it waits its turn. Tools that
    hold weights (`LoadedTool`, `BatchedTool`) have one worker unless told otherwise, others up to four. Tools that run
    elsewhere by themselves (`HostedTool`) are called in this process, in threads.

    Args:
        limits: of every tool; the timeout is 60 s by default.
        per_tool: see `Executor`.
        start_timeout_s: seconds a worker may take to load its tool.
    """

    def __init__(
        self,
        limits: ToolLimits | None = None,
        per_tool: Mapping[str, ToolLimits] | None = None,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        super().__init__((limits or ToolLimits()).over(DEFAULTS), per_tool)
        self.start_timeout_s = start_timeout_s
        self._here = ThreadExecutor(
            replace(self.limits, memory_mb=None, python=None),
            {name: replace(given, memory_mb=None, python=None) for name, given in self.per_tool.items()},
        )
        self._pools: dict[Tool, WorkerPool] = {}
        self._lock = threading.Lock()
        self._closed = False
        # When the executor is collected and when the interpreter ends, whichever is first.
        self._end = weakref.finalize(self, _close_pools, self._pools, os.getpid())

    def run(self, tool: Tool, images: Sequence[MedicalImage], arguments: Mapping[str, Any]) -> Execution:
        """See `Executor.run`."""
        function: object = tool.function
        if isinstance(function, HostedTool):
            return self._here.run(tool, images, arguments)
        return self._pool(tool).run(ToolRequest(images=images, arguments=arguments))

    def close(self) -> None:
        """See `Executor.close`."""
        with self._lock:
            self._closed = True
        self._end()

    @abstractmethod
    def _make_worker(self, tool: Tool, limits: ToolLimits) -> Worker:
        """Starts a worker without waiting for it."""

    def _pool(self, tool: Tool) -> WorkerPool:
        with self._lock:
            if self._closed:
                raise failures.closed(tool)
            if tool not in self._pools:
                self._pools[tool] = self._new_pool(tool)
            return self._pools[tool]

    def _new_pool(self, tool: Tool) -> WorkerPool:
        limits = self.limits_of(tool)
        heavy = isinstance(tool.function, LoadedTool | BatchedTool)
        make_worker = weakref.WeakMethod(self._make_worker)  # the pool shall not keep its executor from being collected

        def make() -> Worker:
            method = make_worker()
            assert method is not None, "a pool outlived its executor"
            return method(tool, limits)

        return WorkerPool(
            tool,
            make,
            size=limits.concurrency or (1 if heavy else CONCURRENCY),
            timeout_s=limits.timeout_s,
            start_timeout_s=self.start_timeout_s,
            least=limits.min_workers,
        )


def pickled(tool: Tool) -> bytes:
    """The tool as it travels to a worker: by name where a module defines it, else by value.

    Raises:
        CallError: it holds something that cannot leave this process.
    """
    try:
        data: bytes = cloudpickle.dumps(tool)
    except Exception as error:  # what pickling raises depends on what is pickled
        raise failures.not_sendable(tool, error) from error
    return data


def _close_pools(pools: dict[Tool, WorkerPool], owner: int) -> None:
    if os.getpid() != owner:  # in a fork the workers are still the parent's
        return
    for pool in list(pools.values()):
        pool.close()
    pools.clear()
