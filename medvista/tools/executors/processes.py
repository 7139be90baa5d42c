"""Calls in processes of their own, which can be killed."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools.base import Tool
from medvista.tools.capabilities import ToolRequest
from medvista.tools.executors import failures
from medvista.tools.executors.answering import Reply
from medvista.tools.executors.channel import Channel
from medvista.tools.executors.descendants import kill_descendants
from medvista.tools.executors.other_python import OtherPython
from medvista.tools.executors.packing import pack, unpack
from medvista.tools.executors.pool_executor import START_TIMEOUT_S, PoolExecutor, pickled
from medvista.tools.executors.shared_arrays import SharedArray, read_array
from medvista.tools.executors.worker_pool import WorkerDiedError
from medvista.tools.executors.worker_process import READY, serve
from medvista.tools.per_array import PerArray

log = logging.getLogger(__name__)

SHARED_BYTES = 1 << 30  # of images kept in shared memory between calls
SHARED_COUNT = 256  # each is an open file, of which a process may have 1,024 by default


class ProcessExecutor(PoolExecutor):
    """Runs tools in processes on this machine.

    A process is forked from a server that has imported medvista (multiprocessing's ``forkserver``), in about 20 ms.
    Large images go through shared memory, once for all the calls on them; a tool sees their pixels read-only. A tool
    whose limits name another interpreter is started by that one, in as long as it imports the tool.

    Args:
        limits: see `PoolExecutor`; `memory_mb` is what a process may allocate beyond what it had when it started
            (RLIMIT_DATA: Linux only).
        per_tool: see `Executor`.
        start_timeout_s: see `PoolExecutor`.

    Raises:
        UserError: this system has no Unix sockets.
    """

    runs_other_pythons = True

    def __init__(
        self,
        limits: ToolLimits | None = None,
        per_tool: Mapping[str, ToolLimits] | None = None,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        super().__init__(limits, per_tool, start_timeout_s=start_timeout_s)
        if "forkserver" not in multiprocessing.get_all_start_methods():
            raise UserError("The executor 'processes' needs Linux or macOS; use 'threads' or 'ray' here.")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["medvista.tools.executors.worker_process"])
        self._shared = PerArray(SharedArray, max_bytes=SHARED_BYTES, max_count=SHARED_COUNT)

    def __reduce__(self) -> tuple[Any, ...]:
        return _copy, (self.limits, self.per_tool, self.start_timeout_s)

    def _make_worker(self, tool: Tool, limits: ToolLimits) -> _ProcessWorker:
        return _ProcessWorker(tool, limits, self._context, self._shared)


def _copy(limits: ToolLimits, per_tool: Mapping[str, ToolLimits], start_timeout_s: float) -> ProcessExecutor:
    return ProcessExecutor(limits, per_tool, start_timeout_s=start_timeout_s)


def _start_process(
    tool: Tool, limits: ToolLimits, connection: socket.socket, context: multiprocessing.context.ForkServerContext
) -> BaseProcess | OtherPython:
    """The process of a worker, under the interpreter of the run or the one that its tool is to have."""
    if limits.python is not None:
        return OtherPython(limits.python, connection, limits.memory_mb)
    arguments = (connection, limits.memory_mb)
    process = context.Process(target=serve, args=arguments, name=f"tool-{tool.name}", daemon=True)
    process.start()
    return process


class _ProcessWorker:
    """A process that serves one tool; see `medvista.tools.executors.worker_pool.Worker`."""

    def __init__(
        self,
        tool: Tool,
        limits: ToolLimits,
        context: multiprocessing.context.ForkServerContext,
        shared: PerArray[SharedArray],
    ) -> None:
        self._tool = tool
        self._shared = shared
        self._ready = False
        data = pickled(tool)
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _start_process(tool, limits, theirs, context)
        self._channel = Channel(ours)
        self._channel.send(data)

    @property
    def alive(self) -> bool:
        return self._channel.open  # which its end closes earlier than the forkserver tells of it

    def wait_until_ready(self, timeout_s: float) -> None:
        if self._ready:
            return
        try:
            data, _ = self._channel.receive(read_array, timeout_s)
        except TimeoutError:
            raise failures.not_loaded_in_time(self._tool, timeout_s) from None
        except (EOFError, OSError):
            raise failures.worker_ended_loading(self._tool, "process", self._end()) from None
        if data != READY:
            reply: Reply = unpack(data, ())
            log.warning("tool %s could not be loaded\n%s", self._tool.name, reply.trace)
            raise failures.not_loaded(self._tool, reply.message)
        self._ready = True

    def run(self, requests: Sequence[ToolRequest], timeout_s: float | None) -> Sequence[Reply]:
        data, arrays = pack(list(requests))
        try:
            self._channel.send(data, [self._shared(array) for array in arrays], timeout_s)
            data, arrays = self._channel.receive(read_array, timeout_s)
        except TimeoutError:
            raise
        except (EOFError, OSError):
            raise WorkerDiedError(self._end()) from None
        replies: list[Reply] = unpack(data, arrays)
        return replies

    def stop(self) -> None:
        pid = self._process.pid
        if pid is not None and self._process.is_alive():
            kill_descendants(pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # the process leads a group: with it goes what the tool has started
            self._process.kill()

    def discard(self) -> None:
        self.stop()
        self._process.join()
        self._channel.close()

    def _end(self) -> str:
        """How the process ended, in words."""
        self._process.join(timeout=0.3)
        code = self._process.exitcode
        if code is None:
            return "it closed its connection"
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
