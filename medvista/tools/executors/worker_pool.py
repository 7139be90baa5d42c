"""The workers of one tool: who calls next, who is batched with whom, and what happens when a worker is lost."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from medvista.tools.base import Tool
from medvista.tools.capabilities import BatchedTool, ToolRequest
from medvista.tools.executors import failures
from medvista.tools.executors.answering import Reply
from medvista.tools.executors.base import CallError, Execution
from medvista.tools.schema import ArgumentError
from medvista.types import ToolErrorType

log = logging.getLogger(__name__)

IDLE_S = 60.0


class WorkerDiedError(Exception):
    """The worker ended while it had work; the message says how."""


class Worker(Protocol):
    """A process of its own that holds the tool and answers one batch at a time. It starts when it is made."""

    @property
    def alive(self) -> bool:
        """False when the worker is known to have ended."""

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until the tool is loaded; at once where it is.

        Raises:
            CallError: it is not in time, cannot be loaded, or ended the worker.
        """

    def run(self, requests: Sequence[ToolRequest], timeout_s: float | None) -> Sequence[Reply]:
        """One reply per request.

        Raises:
            TimeoutError: they were not there in time; the worker is of no use any more.
            WorkerDiedError: the worker ended.
        """

    def stop(self) -> None:
        """End the worker at once, whatever it is doing; may be called from any thread, and again."""

    def discard(self) -> None:
        """End the worker and release what belongs to it; called once, by whoever holds the worker."""


@dataclass(frozen=True, slots=True)
class _Lead:
    """Tells a waiting call to run a batch, on a worker that is free or on a new one."""

    worker: Worker | None


class _Call:
    """A request that waits, in the thread of whoever made it, to lead a batch or to be answered."""

    def __init__(self, request: ToolRequest) -> None:
        self.request = request
        self.alone = False  # not to be batched with others
        self.inbox: queue.SimpleQueue[_Lead | Execution | Exception] = queue.SimpleQueue()


class WorkerPool:
    """Up to `size` workers of one tool, started when they are needed.

    The pool has no thread: the first call in the queue leads. In its caller's thread it takes a free worker, joins up
    to `max_batch` calls, runs them, passes on the replies, and appoints the next. A worker that hangs or dies is
    replaced at once; if a batch killed its worker, each of its calls is run again, alone.

    Args:
        tool: the tool.
        make_worker: starts a worker, without waiting for it.
        size: workers at most.
        least: workers that are started with the pool and stay; None keeps whoever was started.
        idle_s: seconds without a call after which one more than `least` is ended, when the next call ends.
        timeout_s: seconds a batch may take once its worker is ready; None for no limit.
        start_timeout_s: seconds a worker may take to load the tool.
    """

    def __init__(
        self,
        tool: Tool,
        make_worker: Callable[[], Worker],
        *,
        size: int,
        timeout_s: float | None,
        start_timeout_s: float,
        least: int | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._tool = tool
        self._make_worker = make_worker
        self._size = size
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._least = least
        self._idle_s = idle_s
        function = tool.function
        self._max_batch = function.max_batch if isinstance(function, BatchedTool) else 1
        self._max_wait_s = function.max_wait_ms / 1000 if isinstance(function, BatchedTool) else 0.0
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._waiting: deque[_Call] = deque()
        self._idle = [make_worker() for _ in range(min(least or 0, size))]  # the last to work are behind
        self._idle_since = {worker: time.monotonic() for worker in self._idle}
        self._at_work: set[Worker] = set()
        self._leaders = 0  # each has a worker or is about to start one
        self._gathering = False  # a leader waits for others to join its batch
        self._closed = False

    def run(self, request: ToolRequest) -> Execution:
        """Run a request and wait for it; see `Executor.run`."""
        call = _Call(request)
        with self._lock:
            if self._closed:
                raise failures.closed(self._tool)
            self._waiting.append(call)
            self._arrived.notify()
            self._appoint()
        try:
            message = call.inbox.get()
            while isinstance(message, _Lead):
                self._lead(call, message.worker)
                message = call.inbox.get()
        except BaseException:  # Ctrl-C in the caller's thread: nobody would lead any more
            self._withdraw(call)
            raise
        if isinstance(message, Exception):
            raise message
        return message

    def close(self) -> None:
        """End all workers; calls that wait or run are refused."""
        with self._lock:
            self._closed = True
            waiting, idle = list(self._waiting), list(self._idle)
            self._waiting.clear()
            self._idle.clear()
            for worker in self._at_work:  # their leaders notice, and discard them
                worker.stop()
        for call in waiting:
            call.inbox.put(failures.closed(self._tool))
        for worker in idle:
            worker.discard()

    # -------------------------------------------------------------------------------- under the lock: who calls next

    def _appoint(self) -> None:
        """Lets waiting calls lead while there are workers for them. Calls join a leader that gathers instead."""
        while self._waiting and not self._gathering and (self._idle or self._leaders < self._size):
            worker = self._idle.pop() if self._idle else None
            self._leaders += 1
            self._waiting.popleft().inbox.put(_Lead(worker))

    def _gather(self, batch: list[_Call]) -> None:
        """Adds to a leader the calls that wait or arrive within `max_wait_ms`, up to `max_batch`."""
        if self._max_batch == 1 or batch[0].alone:
            return
        deadline = time.monotonic() + self._max_wait_s
        with self._lock:
            self._gathering = True
            try:
                while len(batch) < self._max_batch and not self._closed:
                    if self._waiting and not self._waiting[0].alone:
                        batch.append(self._waiting.popleft())
                    elif self._waiting or not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                        break
            finally:
                self._gathering = False
                self._appoint()

    def _end_lead(self, worker: Worker | None) -> None:
        """Gives the worker, if there is one to go on with, to whoever is next."""
        with self._lock:
            self._leaders -= 1
            surplus = [] if worker is None else [worker]
            if worker is not None and not self._closed:
                self._at_work.discard(worker)
                self._idle.append(worker)
                self._idle_since[worker] = time.monotonic()
                surplus = []
            self._appoint()
            surplus += self._long_idle()
        for each in surplus:
            self._discard(each)

    def _long_idle(self) -> list[Worker]:
        """Takes out the workers above `least` that nobody has needed for long."""
        if self._least is None:
            return []
        long_ago = time.monotonic() - self._idle_s
        spare = max(0, len(self._idle) + len(self._at_work) - self._least)
        gone = [worker for worker in self._idle if self._idle_since[worker] < long_ago][:spare]
        self._idle = [worker for worker in self._idle if worker not in gone]
        return gone

    def _withdraw(self, call: _Call) -> None:
        """Takes back a call whose thread was interrupted."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
                return
        while not call.inbox.empty():
            message = call.inbox.get()
            if isinstance(message, _Lead):
                self._end_lead(message.worker)

    # ------------------------------------------------------------------------------- in the leader's thread: one batch

    def _lead(self, call: _Call, worker: Worker | None) -> None:
        batch = [call]
        try:
            worker = self._begin_work(worker)
            worker.wait_until_ready(self._start_timeout_s)
            self._gather(batch)
            replies = worker.run([each.request for each in batch], self._timeout_s)
        except BaseException as error:
            self._lose(worker, batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for each, reply in zip(batch, replies, strict=True):
                each.inbox.put(self._outcome(reply, len(batch)))
            used_up = any(reply.failure is ToolErrorType.OUT_OF_MEMORY for reply in replies)
            self._end_lead(self._replacement(worker) if used_up else worker)

    def _begin_work(self, worker: Worker | None) -> Worker:
        """The worker, or a new one where there is none or it died while it was idle."""
        if worker is not None and not worker.alive:
            self._discard(worker)
            worker = None
        worker = worker or self._make_worker()
        with self._lock:
            self._at_work.add(worker)
            if self._closed:
                worker.stop()
        return worker

    def _lose(self, worker: Worker | None, batch: list[_Call], error: BaseException) -> None:
        """Answers a batch that got no replies, and replaces its worker."""
        if worker is not None:
            worker.stop()
        if isinstance(error, WorkerDiedError) and len(batch) > 1 and not self._closed:
            self._run_again_alone(batch)  # one of them did it: the others shall not pay
        else:
            failure = self._failure(error)
            for call in batch:
                call.inbox.put(failure)
        if worker is None or isinstance(error, CallError):  # it cannot be loaded: another one could not either
            if worker is not None:
                self._discard(worker)
            self._end_lead(None)
        else:
            self._end_lead(self._replacement(worker))

    def _run_again_alone(self, batch: list[_Call]) -> None:
        with self._lock:
            for call in reversed(batch):
                call.alone = True
                self._waiting.appendleft(call)

    def _replacement(self, lost: Worker) -> Worker | None:
        """A new worker, starting while its first call is not yet there."""
        self._discard(lost)
        if self._closed:
            return None
        try:
            return self._make_worker()
        except Exception:
            log.warning("no new worker for tool %s could be started", self._tool.name, exc_info=True)
            return None

    def _discard(self, worker: Worker) -> None:
        with self._lock:
            self._at_work.discard(worker)
            self._idle_since.pop(worker, None)
        worker.discard()

    # ---------------------------------------------------------------------------------------- what the callers are told

    def _outcome(self, reply: Reply, batch_size: int) -> Execution | Exception:
        if reply.failure is None:
            return Execution(reply.value, batch_size)
        if reply.trace:
            log.warning("tool %s raised\n%s", self._tool.name, reply.trace)
        if reply.failure is ToolErrorType.INVALID_ARGUMENTS:
            return ArgumentError(reply.message)
        return CallError(reply.failure, reply.message)

    def _failure(self, error: BaseException) -> CallError:
        if self._closed:
            return failures.closed(self._tool)
        if isinstance(error, CallError):
            return error
        if isinstance(error, TimeoutError):
            return failures.took_too_long(self._tool, self._timeout_s)
        if isinstance(error, WorkerDiedError):
            return failures.worker_ended(self._tool, error)
        log.warning("tool %s could not be run", self._tool.name, exc_info=error)
        return failures.raised(self._tool, error)
