"""Calls in this process: quick, timed, and never more threads than agreed."""

from __future__ import annotations

import copy
import threading
import time

import pytest

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools import Toolbox, tool
from medvista.tools.executors import ThreadExecutor, make_executor
from medvista.types import ToolErrorType, ToolResult


def waiting_tool(go):
    @tool
    def wait(images) -> ToolResult:
        """Wait for the event."""
        go.wait(60)
        return ToolResult(text=threading.current_thread().name)

    return wait


def tool_threads():
    return [thread for thread in threading.enumerate() if thread.name == "tool-wait"]


def test_without_a_timeout_a_call_runs_in_the_callers_thread(call):
    go = threading.Event()
    go.set()
    assert Toolbox([waiting_tool(go)]).run(call("wait"), ()).text == threading.current_thread().name


def test_a_call_that_runs_out_of_time_is_told_in_time(call):
    go = threading.Event()
    result = Toolbox([waiting_tool(go)], timeout_s=0.05).run(call("wait"), ())
    go.set()
    assert result.error.type is ToolErrorType.TIMEOUT
    assert result.seconds < 0.05 + 0.5


def test_abandoned_threads_are_bounded_and_the_tool_comes_back_when_they_end(call):
    go = threading.Event()
    toolbox = Toolbox([waiting_tool(go)], executor=ThreadExecutor(ToolLimits(timeout_s=0.05, concurrency=3)))
    kinds = [toolbox.run(call("wait"), ()).error.type for _ in range(5)]
    assert kinds == [ToolErrorType.TIMEOUT] * 3 + [ToolErrorType.UNAVAILABLE] * 2
    assert len(tool_threads()) == 3
    assert "switched off: 3 of its calls ran out of time" in toolbox.run(call("wait"), ()).error.message
    go.set()
    for thread in tool_threads():
        thread.join(10)
    assert toolbox.run(call("wait"), ()).ok


def test_callers_that_wait_for_a_place_are_told_when_none_will_be_free(call, in_thread):
    go = threading.Event()
    toolbox = Toolbox([waiting_tool(go)], executor=ThreadExecutor(ToolLimits(timeout_s=0.2, concurrency=1)))
    results = [in_thread(toolbox.run, call("wait"), ()) for _ in range(4)]
    kinds = sorted(future.result(timeout=10).error.type.value for future in results)
    go.set()
    assert kinds == ["timeout", "unavailable", "unavailable", "unavailable"]


@pytest.mark.parametrize("timeout_s", [None, 30.0])
def test_no_more_calls_run_at_a_time_than_may(call, in_thread, timeout_s):
    running, most, lock, go = [0], [0], threading.Lock(), threading.Event()

    @tool
    def busy(images) -> ToolResult:
        """Count who is here."""
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == 2:
                go.set()
        go.wait(10)
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        return ToolResult()

    limits = ToolLimits(timeout_s=timeout_s, concurrency=2)
    toolbox = Toolbox([busy], executor=ThreadExecutor(limits))
    calls = [in_thread(toolbox.run, call("busy"), ()) for _ in range(6)]
    assert all(future.result(timeout=30).ok for future in calls)
    assert most[0] == 2


def test_a_tool_that_wants_to_exit_does_not_end_the_run(call):
    @tool
    def leave(images) -> ToolResult:
        """Leave."""
        raise SystemExit(3)

    for timeout_s in (None, 5.0):
        error = Toolbox([leave], timeout_s=timeout_s).run(call("leave"), ()).error
        assert error.type is ToolErrorType.FAILED
        assert "SystemExit: 3" in error.message


def test_a_memory_limit_is_refused_since_threads_share_theirs():
    with pytest.raises(UserError, match="'processes' or 'ray'"):
        ThreadExecutor(ToolLimits(memory_mb=100))
    with pytest.raises(UserError, match="'processes' or 'ray'"):
        make_executor("threads", per_tool={"zoom": ToolLimits(memory_mb=100)})


def test_a_toolbox_can_be_copied_with_its_executor(call):
    go = threading.Event()
    go.set()
    toolbox = Toolbox([waiting_tool(threading.Event())], timeout_s=0.05)
    other = copy.deepcopy(toolbox.executor)
    assert other is not toolbox.executor
    assert other.limits == toolbox.executor.limits
    assert other.run(waiting_tool(go), (), {}).value.ok


def test_a_timeout_beside_an_executor_is_a_programmers_error():
    with pytest.raises(ValueError, match="Give the timeout to the executor"):
        Toolbox([], timeout_s=1, executor=ThreadExecutor())
