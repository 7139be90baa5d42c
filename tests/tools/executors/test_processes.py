"""Calls in processes: whatever a tool does, its episode gets a typed error, and the next call works."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.settings import ToolLimits
from medvista.tools import Toolbox, tool, zoom
from medvista.tools.executors import make_executor
from medvista.tools.executors.processes import ProcessExecutor
from medvista.types import MedicalImage, ToolErrorType, ToolResult

TIMEOUT_S = 3.0
MEMORY_MB = 300


@pytest.fixture(scope="module")
def executor():
    with ProcessExecutor(ToolLimits(timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB, concurrency=2)) as executor:
        yield executor


@pytest.fixture
def toolbox(executor, moody):
    return Toolbox([moody, zoom], executor=executor)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" or threads > 1  # the last thread to end closes its files, and the first one may be earlier


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


@pytest.mark.parametrize(
    ("mood", "kind", "said"),
    [
        ("hang", ToolErrorType.TIMEOUT, "took longer than 3 s"),
        ("raise", ToolErrorType.FAILED, "moody failed: ZeroDivisionError: division by zero"),
        ("leave", ToolErrorType.FAILED, "SystemExit: 3"),
        ("babble", ToolErrorType.FAILED, "cannot leave its process"),
        ("hoard", ToolErrorType.OUT_OF_MEMORY, "ran out of memory"),
        ("end", ToolErrorType.CRASHED, "exit code 3"),
        ("kill", ToolErrorType.CRASHED, "killed by SIGKILL"),
        ("segfault", ToolErrorType.CRASHED, "killed by SIGSEGV"),
    ],
)
def test_a_tool_that_misbehaves_is_a_typed_error_in_time_and_the_next_call_works(
    toolbox, image, call, mood, kind, said
):
    assert toolbox.run(call("moody"), (image,)).ok
    result = toolbox.run(call("moody", mood=mood), (image,))
    assert result.error.type is kind
    assert said in result.error.message
    assert result.seconds < TIMEOUT_S + 0.5
    assert toolbox.run(call("moody"), (image,)).ok


def test_other_episodes_go_on_while_one_hangs(toolbox, image, call, in_thread, tmp_path):
    toolbox.run(call("zoom", bbox_2d=[0, 0, 500, 500]), (image,))  # its worker has started
    hanging = in_thread(toolbox.run, call("moody", mood="wait", path=str(tmp_path / "released")), (image,))
    assert toolbox.run(call("zoom", bbox_2d=[0, 0, 500, 500]), (image,)).ok  # another tool
    assert toolbox.run(call("moody"), (image,)).ok  # the same tool, in its second process
    assert not hanging.done()
    (tmp_path / "released").touch()
    assert hanging.result(timeout=10).ok


def test_no_more_calls_of_a_tool_run_at_a_time_than_it_may(toolbox, image, call, in_thread, tmp_path):
    waiting = [in_thread(toolbox.run, call("moody", mood="wait", path=str(tmp_path / "open")), (image,)) for _ in "12"]
    third = in_thread(toolbox.run, call("moody"), (image,))
    time.sleep(0.1)
    assert not third.done()  # both processes are at work
    (tmp_path / "open").touch()
    pids = {future.result(timeout=20).text for future in waiting}
    assert len(pids) == 2
    assert third.result(timeout=10).text in pids


def test_what_a_hanging_tool_has_started_ends_with_it(toolbox, image, call, tmp_path):
    result = toolbox.run(call("moody", mood="start another", path=str(tmp_path / "pid")), (image,))
    assert result.error.type is ToolErrorType.TIMEOUT
    assert gone_soon(int((tmp_path / "pid").read_text()))


def test_results_are_those_of_the_tool_in_line(toolbox, image, call):
    near = Toolbox([zoom]).run(call("zoom", bbox_2d=[100, 100, 900, 900]), (image,))
    far = toolbox.run(call("zoom", bbox_2d=[100, 100, 900, 900]), (image,))
    assert (far.text, far.regions) == (near.text, near.regions)
    assert np.array_equal(far.images[0].pixels, near.images[0].pixels)
    assert far.images[0].pixels.nbytes > 64 * 1024  # so that it came through shared memory
    assert far.images[0].pixels.dtype == np.uint16
    assert far.images[0].pixels.flags.writeable
    assert np.array_equal(far.images[0].to_source, near.images[0].to_source)


def test_arguments_that_the_tool_refuses_are_told_as_in_line(toolbox, image, call):
    asked = call("zoom", bbox_2d=[900, 0, 100, 500])
    assert toolbox.run(asked, (image,)).error == Toolbox([zoom]).run(asked, (image,)).error


def test_an_image_is_put_into_shared_memory_once_and_leaves_it_with_its_pixels(executor, moody):
    shared = executor._shared
    gc.collect()
    before = len(shared)
    pixels = np.zeros((300, 300), dtype=np.uint16)
    for _ in range(3):  # another MedicalImage each time, as every episode of one sample makes its own
        executor.run(moody, (MedicalImage(pixels=pixels),), {})
    assert len(shared) == before + 1
    del pixels
    gc.collect()
    assert len(shared) == before


def test_a_tool_cannot_write_into_the_images_of_its_episode(executor, image):
    @tool
    def scribble(images) -> ToolResult:
        """Write into the image."""
        images[0].pixels[0, 0] = 0
        return ToolResult()

    error = Toolbox([scribble], executor=executor).run(_call("scribble"), (image,)).error
    assert error.type is ToolErrorType.FAILED
    assert "read-only" in error.message


def test_a_worker_that_was_killed_while_idle_is_replaced_unnoticed(toolbox, image, call):
    pid = int(toolbox.run(call("moody"), (image,)).text)
    os.kill(pid, 9)
    assert gone_soon(pid)
    result = toolbox.run(call("moody"), (image,))
    assert result.ok
    assert int(result.text) != pid


def test_a_tool_that_cannot_be_loaded_is_unavailable(executor, image):
    class Weightless:
        """Look for weights."""

        def load(self) -> None:
            raise FileNotFoundError("no weights at /nowhere")

        def __call__(self, images) -> ToolResult:
            return ToolResult()

    toolbox = Toolbox([tool(Weightless())], executor=executor)
    for _ in "12":
        error = toolbox.run(_call("weightless"), (image,)).error
        assert error.type is ToolErrorType.UNAVAILABLE
        assert "no weights at /nowhere" in error.message


def test_a_tool_that_cannot_travel_is_unavailable_in_words(executor, image):
    lock = threading.Lock()

    @tool
    def guarded(images) -> ToolResult:
        """Hold a lock."""
        with lock:
            return ToolResult()

    error = Toolbox([guarded], executor=executor).run(_call("guarded"), (image,)).error
    assert error.type is ToolErrorType.UNAVAILABLE
    assert "guarded cannot be sent to a worker: TypeError: cannot pickle '_thread.lock'" in error.message


def test_a_tool_that_runs_elsewhere_by_itself_is_called_from_here(executor, image):
    class Served:
        """Say who called."""

        hosted = True

        def __call__(self, images) -> ToolResult:
            return ToolResult(text=str(os.getpid()))

    assert Toolbox([tool(Served())], executor=executor).run(_call("served"), (image,)).text == str(os.getpid())


def test_loading_is_not_counted_as_the_calls_time(executor, image):
    class Slow:
        """Take long to load."""

        def load(self) -> None:
            time.sleep(0.6)

        def __call__(self, images) -> ToolResult:
            return ToolResult(text="loaded")

    with ProcessExecutor(ToolLimits(timeout_s=0.5)) as impatient:
        assert Toolbox([tool(Slow())], executor=impatient).run(_call("slow"), (image,)).text == "loaded"


def test_nothing_is_left_when_the_executor_is_closed_or_dropped(moody, image):
    for end in (lambda executor: executor.close(), lambda executor: None):
        executor = ProcessExecutor()
        pid = int(executor.run(moody, (image,), {}).value.text)
        end(executor)
        del executor
        gc.collect()
        assert gone_soon(pid)


def test_a_closed_executor_refuses_calls_in_words(moody, image):
    executor = ProcessExecutor()
    toolbox = Toolbox([moody], executor=executor)
    toolbox.close()
    error = toolbox.run(_call("moody"), (image,)).error
    assert error.type is ToolErrorType.UNAVAILABLE
    assert "closed" in error.message


def test_closing_ends_a_call_that_runs(moody, image, in_thread, tmp_path):
    executor = ProcessExecutor()
    toolbox = Toolbox([moody], executor=executor)
    toolbox.run(_call("moody"), (image,))
    running = in_thread(toolbox.run, _call("moody", mood="wait", path=str(tmp_path / "never")), (image,))
    while not executor._pools[moody]._at_work:
        time.sleep(0.005)
    executor.close()
    assert running.result(timeout=10).error.type is ToolErrorType.UNAVAILABLE


def test_a_copy_has_the_same_limits_and_workers_of_its_own(executor, moody, image):
    copies = [copy.deepcopy(executor), pickle.loads(pickle.dumps(executor))]
    for other in copies:
        assert other.limits == executor.limits
        assert other.run(moody, (image,), {}).value.text != executor.run(moody, (image,), {}).value.text
        other.close()


def test_limits_of_single_tools_go_before_the_general_ones():
    executor = ProcessExecutor(ToolLimits(memory_mb=500), {"zoom": ToolLimits(timeout_s=1)})
    assert executor.limits_of(zoom) == ToolLimits(timeout_s=1, memory_mb=500)
    with pytest.raises(UserError, match=r"timeout of zoom has to be more than 0 seconds, got 0"):
        make_executor("processes", per_tool={"zoom": ToolLimits(timeout_s=0)})


def _call(name, **arguments):
    from medvista.types import ToolCall

    return ToolCall(name=name, arguments=arguments)


SCRIPT = """
import os, time
from medvista.tools import tool
from medvista.tools.executors.processes import ProcessExecutor
from medvista.types import ToolResult

@tool
def moody(images, hang: bool = False) -> ToolResult:
    "Say who it is, or hang."
    time.sleep(600 * hang)
    return ToolResult(text=str(os.getpid()))

if __name__ == "__main__":
    executor = ProcessExecutor()
    print(executor.run(moody, (), {}).value.text, flush=True)
    executor.run(moody, (), {"hang": True})
"""


@pytest.mark.parametrize("form", ["script", "notebook"])
def test_a_run_that_is_killed_leaves_no_worker_behind_even_one_that_hangs(tmp_path, form):
    path = tmp_path / "run.py"
    path.write_text(SCRIPT)
    # A notebook's functions are in no file: they have to travel by value.
    command = [sys.executable, "-c", SCRIPT] if form == "notebook" else [sys.executable, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        worker = int(run.stdout.readline())
        assert is_running(worker)
        run.kill()
    assert gone_soon(worker)
