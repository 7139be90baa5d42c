"""Calls in Ray actors: processes on this machine or on a cluster's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import cloudpickle
import numpy as np

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools.base import Tool
from medvista.tools.capabilities import ToolRequest
from medvista.tools.executors import failures
from medvista.tools.executors.answering import Reply, answer, could_not_load, load, pack_replies
from medvista.tools.executors.memory import limit_memory
from medvista.tools.executors.packing import pack, unpack
from medvista.tools.executors.pool_executor import START_TIMEOUT_S, PoolExecutor, pickled
from medvista.tools.executors.worker_pool import WorkerDiedError
from medvista.tools.per_array import PerArray

try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError
except ImportError as error:
    raise UserError("The executor 'ray' needs the package ray: pip install 'medvista[ray]'.") from error

log = logging.getLogger(__name__)

STORED_BYTES = 1 << 29  # of images kept in Ray's object store between calls

_QUIET = {"log_to_driver": False, "logging_level": "warning"}
# Ray's workers are nice to other processes by default, so that a busy training process would starve its own tools.
_LOCAL = {"include_dashboard": False, "_system_config": {"worker_niceness": 0}}


class RayExecutor(PoolExecutor):
    """Runs tools in Ray actors. A model tool holds its weights once per actor, and answers in batches.

    Large images go through Ray's object store, once for all the calls on them; a tool sees their pixels read-only.

    Args:
        limits: see `PoolExecutor`; `memory_mb` is what an actor may allocate beyond what it had when it started
            (RLIMIT_DATA: Linux only).
        per_tool: see `Executor`.
        start_timeout_s: see `PoolExecutor`.
        actor_options: by name of a tool, what Ray is asked for its actors: ``{"segment": {"resources": {"a100": 1}}}``,
            instead of the CPUs and GPUs of its limits. By default an actor reserves nothing.
        init: arguments of `ray.init`, where Ray does not run yet: ``{"address": "auto"}`` joins a cluster. What was
            started here ends with `close`.
    """

    def __init__(
        self,
        limits: ToolLimits | None = None,
        per_tool: Mapping[str, ToolLimits] | None = None,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        actor_options: Mapping[str, Mapping[str, Any]] | None = None,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(limits, per_tool, start_timeout_s=start_timeout_s)
        self.actor_options = dict(actor_options or {})
        self.init = dict(init or {})
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            ray.init(**{**_QUIET, **({} if "address" in self.init else _LOCAL), **self.init})
        self._stored = PerArray(ray.put, max_bytes=STORED_BYTES)
        self._standby = _Standby()

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {"start_timeout_s": self.start_timeout_s, "actor_options": self.actor_options, "init": self.init}
        return _copy, (self.limits, self.per_tool, settings)

    def close(self) -> None:
        """See `Executor.close`."""
        super().close()
        self._standby.close()
        if self._started_ray and ray.is_initialized():
            self._started_ray = False
            ray.shutdown()

    def _make_worker(self, tool: Tool, limits: ToolLimits) -> _RayWorker:
        options = self.actor_options.get(tool.name) or _reserved(limits)
        actor = self._standby.take() if options is None else _start_actor(options)
        return _RayWorker(tool, limits, actor, self._stored)


def _copy(limits: ToolLimits, per_tool: Mapping[str, ToolLimits], settings: Mapping[str, Any]) -> RayExecutor:
    return RayExecutor(limits, per_tool, **settings)


class _Actor:
    """What runs in the actor's process."""

    def load(self, tool: bytes, memory_mb: int | None) -> Reply:
        """Read the tool and its weights; says what failed."""
        try:
            self._tool: Tool = cloudpickle.loads(tool)
            limit_memory(memory_mb)
            load(self._tool)
        except (Exception, SystemExit) as error:
            return could_not_load(error)
        return Reply()

    def answer(self, data: bytes, *arrays: np.ndarray) -> tuple[bytes, list[np.ndarray]]:
        """A packed reply for each packed request."""
        return pack_replies(self._tool, answer(self._tool, unpack(data, arrays)))


def _reserved(limits: ToolLimits) -> dict[str, Any] | None:
    """What Ray is asked for an actor of these limits; None for nothing."""
    asked = {"num_cpus": limits.cpus, "num_gpus": limits.gpus}
    return {name: number for name, number in asked.items() if number is not None} or None


def _start_actor(options: Mapping[str, Any]) -> Any:
    return ray.remote(_Actor).options(**{"num_cpus": 0, **options}).remote()


class _Standby:
    """An actor that has started and has no tool yet: the place of a killed one is taken at once, not in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actor = _start_actor({})

    def take(self) -> Any:
        """The actor; another one starts."""
        with self._lock:
            taken, self._actor = self._actor, _start_actor({})
        return taken

    def close(self) -> None:
        """Let the actor go."""
        self._actor = None


class _RayWorker:
    """An actor that serves one tool; see `medvista.tools.executors.worker_pool.Worker`."""

    alive = True  # an actor that has died says so when it is called

    def __init__(self, tool: Tool, limits: ToolLimits, actor: Any, stored: PerArray[ray.ObjectRef]) -> None:
        self._tool = tool
        self._actor = actor
        self._stored = stored
        self._loading: ray.ObjectRef | None = actor.load.remote(pickled(tool), limits.memory_mb)

    def wait_until_ready(self, timeout_s: float) -> None:
        if self._loading is None:
            return
        try:
            reply: Reply = ray.get(self._loading, timeout=timeout_s)
        except GetTimeoutError:
            raise failures.not_loaded_in_time(self._tool, timeout_s) from None
        except RayError as error:
            raise failures.worker_ended_loading(self._tool, "actor", _why(error)) from None
        if reply.failure is not None:
            log.warning("tool %s could not be loaded\n%s", self._tool.name, reply.trace)
            raise failures.not_loaded(self._tool, reply.message)
        self._loading = None

    def run(self, requests: Sequence[ToolRequest], timeout_s: float | None) -> Sequence[Reply]:
        data, arrays = pack(list(requests))
        pending = self._actor.answer.remote(data, *(self._stored(array) for array in arrays))
        try:
            data, found = ray.get(pending, timeout=timeout_s)
        except GetTimeoutError:
            raise TimeoutError from None
        except RayError as error:
            raise WorkerDiedError(_why(error)) from None
        # Copied: a view would hold its place in the object store for as long as the episode is kept.
        replies: list[Reply] = unpack(data, [array.copy() for array in found])
        return replies

    def stop(self) -> None:
        if ray.is_initialized():  # else it has ended with Ray
            ray.kill(self._actor, no_restart=True)

    def discard(self) -> None:
        self.stop()


def _why(error: RayError) -> str:
    return type(error).__name__
