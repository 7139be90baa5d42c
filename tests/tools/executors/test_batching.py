"""Who is batched with whom, and what becomes of a batch whose worker is lost."""

from __future__ import annotations

import threading
import time

import pytest

from medvista.tools import Tool
from medvista.tools.capabilities import BatchedTool, LoadedTool, ToolRequest
from medvista.tools.executors import CallError
from medvista.tools.executors.answering import answer, load
from medvista.tools.executors.worker_pool import WorkerDiedError, WorkerPool
from medvista.tools.schema import ArgumentError
from medvista.types import ToolErrorType, ToolResult


class Adder:
    """Add one to numbers, several at a time."""

    max_batch = 4
    max_wait_ms = 0.0

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.loads = 0
        self.go = threading.Event()  # the first batch waits for it
        self.entered = threading.Event()

    def load(self) -> None:
        self.loads += 1

    def __call__(self, images, number: int) -> ToolResult:
        """Add one to a number."""
        self.batches.append([number])
        self.entered.set()
        self.go.wait(30)
        return ToolResult(text=str(number + 1))

    def call_batch(self, requests):
        numbers = [request.arguments["number"] for request in requests]
        self.batches.append(numbers)
        if -1 in numbers:
            raise RuntimeError("one of them is bad")
        return [ArgumentError("13 is unlucky") if n == 13 else ToolResult(text=str(n + 1)) for n in numbers]


class HereAndNow:
    """A worker without a process, which dies of the number 666 and hangs on 999."""

    made = 0

    def __init__(self, tool: Tool) -> None:
        type(self).made += 1
        self.tool, self.alive, self.discarded = tool, True, False
        load(tool)

    def wait_until_ready(self, timeout_s: float) -> None:
        pass

    def run(self, requests, timeout_s):
        assert self.alive
        numbers = [request.arguments["number"] for request in requests]
        if 666 in numbers:
            self.alive = False
            raise WorkerDiedError("killed by SIGKILL")
        if 999 in numbers:
            raise TimeoutError
        return answer(self.tool, requests)

    def stop(self) -> None:
        self.alive = False

    def discard(self) -> None:
        assert not self.discarded
        self.discarded = True


def a_pool(adder, *, size=1):
    HereAndNow.made = 0
    tool = Tool(adder, name="add")
    return WorkerPool(tool, lambda: HereAndNow(tool), size=size, timeout_s=5, start_timeout_s=5)


def request(number):
    return ToolRequest(images=(), arguments={"number": number})


def run_behind_a_busy_worker(pool, adder, in_thread, numbers):
    """Outcomes of calls that all arrive while the only worker is at work on the number 0."""
    first = in_thread(pool.run, request(0))
    assert adder.entered.wait(10)
    others = []
    for number in numbers:  # one after another, so that their order is known
        others.append(in_thread(pool.run, request(number)))
        while len(pool._waiting) < len(others):
            time.sleep(0.001)
    adder.go.set()
    assert first.result(10).value.text == "1"
    return others


def test_calls_that_arrive_while_the_worker_is_busy_are_answered_together(in_thread):
    adder = Adder()
    pool = a_pool(adder)
    others = run_behind_a_busy_worker(pool, adder, in_thread, [1, 2, 3, 4, 5])
    executions = [future.result(10) for future in others]
    assert [execution.value.text for execution in executions] == ["2", "3", "4", "5", "6"]
    assert adder.batches == [[0], [1, 2, 3, 4], [5]]  # max_batch is 4
    assert [execution.batch_size for execution in executions] == [4, 4, 4, 4, 1]
    assert adder.loads == HereAndNow.made == 1  # the weights are held once


def test_a_call_waits_for_others_as_long_as_the_tool_says(in_thread):
    adder = Adder()
    adder.go.set()
    adder.max_batch, adder.max_wait_ms = 3, 20_000.0
    pool = a_pool(adder)
    start = time.monotonic()
    calls = [in_thread(pool.run, request(number)) for number in (1, 2, 3)]
    assert sorted(future.result(10).batch_size for future in calls) == [3, 3, 3]
    assert time.monotonic() - start < 10  # a full batch does not wait
    adder.max_wait_ms = 1.0
    assert a_pool(adder).run(request(4)).batch_size == 1


def test_a_refused_request_fails_alone(in_thread):
    adder = Adder()
    refused, fine = run_behind_a_busy_worker(a_pool(adder), adder, in_thread, [13, 1])
    with pytest.raises(ArgumentError, match="13 is unlucky"):
        refused.result(10)
    assert fine.result(10).value.text == "2"


def test_a_batch_that_raises_is_run_one_by_one(in_thread):
    adder = Adder()
    others = run_behind_a_busy_worker(a_pool(adder), adder, in_thread, [-1, 1])
    assert [future.result(10).value.text for future in others] == ["0", "2"]
    assert adder.batches == [[0], [-1, 1], [-1], [1]]


def test_only_the_call_that_ended_the_worker_pays_for_it(in_thread):
    adder = Adder()
    pool = a_pool(adder)
    one, killer, other = run_behind_a_busy_worker(pool, adder, in_thread, [1, 666, 2])
    assert one.result(10).value.text == "2"
    assert other.result(10).value.text == "3"
    with pytest.raises(CallError, match=r"add ended its process \(killed by SIGKILL\)") as error:
        killer.result(10)
    assert error.value.kind is ToolErrorType.CRASHED
    assert pool.run(request(7)).value.text == "8"


def test_a_batch_that_hangs_is_told_so_and_the_next_call_has_another_worker(in_thread):
    adder = Adder()
    pool = a_pool(adder)
    for future in run_behind_a_busy_worker(pool, adder, in_thread, [1, 999]):
        with pytest.raises(CallError, match="add took longer than 5 s"):
            future.result(10)
    assert HereAndNow.made == 2
    assert pool.run(request(7)).value.text == "8"


def test_whoever_waits_is_told_when_the_pool_closes(in_thread):
    adder = Adder()
    pool = a_pool(adder)
    first = in_thread(pool.run, request(0))
    adder.entered.wait(10)
    second = in_thread(pool.run, request(1))
    while not pool._waiting:
        time.sleep(0.001)
    pool.close()
    for late in (second, in_thread(pool.run, request(2))):
        with pytest.raises(CallError, match="its executor was closed"):
            late.result(10)
    adder.go.set()
    first.result(10)
    assert not pool._idle


def test_many_callers_are_all_answered_whatever_happens_among_them(in_thread):
    adder = Adder()
    adder.go.set()
    pool = a_pool(adder, size=3)
    numbers = [666 if n % 7 == 0 else 13 if n % 5 == 0 else n for n in range(1, 80)]
    calls = [in_thread(pool.run, request(number)) for number in numbers]
    for number, future in zip(numbers, calls, strict=True):
        error = future.exception(timeout=30)
        if number == 666:
            assert isinstance(error, CallError)
        elif number == 13 and error is not None:  # alone it is fine
            assert isinstance(error, ArgumentError)
        else:
            assert future.result().value.text == str(number + 1)
    assert (pool._leaders, len(pool._waiting)) == (0, 0)


def test_a_caller_that_is_interrupted_leaves_the_pool_in_order(in_thread):
    class Interrupted(HereAndNow):
        def run(self, requests, timeout_s):
            if requests[0].arguments["number"] == 5:
                raise KeyboardInterrupt
            return super().run(requests, timeout_s)

    adder = Adder()
    adder.go.set()
    tool = Tool(adder, name="add")
    pool = WorkerPool(tool, lambda: Interrupted(tool), size=1, timeout_s=5, start_timeout_s=5)
    with pytest.raises(KeyboardInterrupt):
        pool.run(request(5))
    assert pool.run(request(1)).value.text == "2"


def test_the_protocols_are_recognised_by_what_a_tool_has():
    assert isinstance(Adder(), BatchedTool)
    assert isinstance(Adder(), LoadedTool)
    assert not isinstance(answer, BatchedTool)
