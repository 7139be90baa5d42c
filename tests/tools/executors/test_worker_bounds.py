"""How many workers a tool has: as many as calls wait, between the least and the most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools import Tool, tool
from medvista.tools.capabilities import ToolRequest
from medvista.tools.executors import make_executor
from medvista.tools.executors.answering import answer
from medvista.tools.executors.worker_pool import WorkerPool
from medvista.types import ToolResult

REQUEST = ToolRequest(images=(), arguments={})


class Here:
    """A worker in the caller's thread."""

    alive = True

    def __init__(self, tool: Tool, kept: list[Here]) -> None:
        self.tool, self.kept = tool, kept
        kept.append(self)

    def wait_until_ready(self, timeout_s: float) -> None:
        pass

    def run(self, requests, timeout_s):
        return answer(self.tool, requests)

    def stop(self) -> None:
        pass

    def discard(self) -> None:
        self.kept.remove(self)


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def waiting(gate: threading.Event) -> Tool:
    @tool
    def waiting(images) -> ToolResult:
        """Wait for the gate."""
        gate.wait(30)
        return ToolResult(text="through")

    return waiting


def pool_of(tool: Tool, kept: list[Here], **bounds) -> WorkerPool:
    return WorkerPool(tool, lambda: Here(tool, kept), size=4, timeout_s=5, start_timeout_s=5, **bounds)


def call_at_once(pool: WorkerPool, calls: int, gate: threading.Event, in_thread: Callable, kept: list[Here]) -> int:
    """So many calls side by side; how many workers there were for them."""
    gate.clear()
    futures = [in_thread(pool.run, REQUEST) for _ in range(calls)]
    deadline = time.monotonic() + 10
    while len(kept) < min(calls, 4) and time.monotonic() < deadline:
        time.sleep(0.001)
    seen = len(kept)
    gate.set()
    assert [future.result(timeout=10).value.text for future in futures] == ["through"] * calls
    return seen


def test_the_least_are_started_with_the_pool_and_more_as_calls_wait_up_to_the_most(waiting, gate, in_thread):
    kept: list[Here] = []
    pool = pool_of(waiting, kept, least=2)
    assert len(kept) == 2
    assert call_at_once(pool, 3, gate, in_thread, kept) == 3
    assert call_at_once(pool, 9, gate, in_thread, kept) == 4
    pool.close()
    assert not kept


def test_workers_that_nobody_has_needed_for_long_end_down_to_the_least(waiting, gate, in_thread):
    kept: list[Here] = []
    pool = pool_of(waiting, kept, least=1, idle_s=0.05)
    assert call_at_once(pool, 4, gate, in_thread, kept) == 4
    time.sleep(0.1)
    pool.run(REQUEST)
    assert len(kept) == 1
    assert call_at_once(pool, 3, gate, in_thread, kept) == 3  # and come again with the calls
    pool.close()


def test_without_a_least_whoever_was_started_stays(waiting, gate, in_thread):
    kept: list[Here] = []
    pool = pool_of(waiting, kept, idle_s=0.0)
    assert not kept
    call_at_once(pool, 4, gate, in_thread, kept)
    pool.run(REQUEST)
    assert len(kept) == 4
    pool.close()


def test_a_least_above_the_most_is_refused():
    with pytest.raises(UserError, match=r"least number of workers of zoom, 3, is above their most, concurrency=2"):
        make_executor("processes", per_tool={"zoom": ToolLimits(min_workers=3, concurrency=2)})
