"""Calls in Ray actors: typed errors in time, replaced actors, batches. Slow: Ray takes seconds to start."""

from __future__ import annotations

import os
import pickle
import signal
import time

import numpy as np
import pytest

from medvista.settings import ToolLimits
from medvista.tools import Toolbox, tool, zoom
from medvista.types import ToolErrorType, ToolResult

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")

TIMEOUT_S = 3.0
MEMORY_MB = 300


@pytest.fixture(scope="module")
def executor():
    from medvista.tools.executors.ray_actors import RayExecutor

    with RayExecutor(ToolLimits(timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB), init={"num_cpus": 1}) as executor:
        yield executor
    assert not ray.is_initialized()  # what it started it has ended


@pytest.fixture
def toolbox(executor, moody):
    return Toolbox([moody, zoom], executor=executor)


@pytest.mark.parametrize(
    ("mood", "kind", "said"),
    [
        ("hang", ToolErrorType.TIMEOUT, "took longer than 3 s"),
        ("raise", ToolErrorType.FAILED, "moody failed: ZeroDivisionError: division by zero"),
        ("leave", ToolErrorType.FAILED, "SystemExit: 3"),
        ("babble", ToolErrorType.FAILED, "cannot leave its process"),
        ("hoard", ToolErrorType.OUT_OF_MEMORY, "ran out of memory"),
        ("end", ToolErrorType.CRASHED, "moody ended its process"),
        ("kill", ToolErrorType.CRASHED, "moody ended its process"),
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
    toolbox.run(call("zoom", bbox_2d=[0, 0, 500, 500]), (image,))  # its actor has started
    released = tmp_path / "released"
    hanging = in_thread(toolbox.run, call("moody", mood="wait", path=str(released)), (image,))
    assert toolbox.run(call("zoom", bbox_2d=[0, 0, 500, 500]), (image,)).ok
    assert not hanging.done()
    released.touch()
    assert hanging.result(timeout=10).ok


def test_results_are_those_of_the_tool_in_line(toolbox, image, call):
    asked = call("zoom", bbox_2d=[100, 100, 900, 900])
    near, far = Toolbox([zoom]).run(asked, (image,)), toolbox.run(asked, (image,))
    assert (far.text, far.regions) == (near.text, near.regions)
    assert np.array_equal(far.images[0].pixels, near.images[0].pixels)
    assert far.images[0].pixels.flags.writeable
    refused = call("zoom", bbox_2d=[900, 0, 100, 500])
    assert toolbox.run(refused, (image,)).error == Toolbox([zoom]).run(refused, (image,)).error


def test_a_model_tool_holds_its_weights_once_and_answers_in_batches(executor, image, call, in_thread):
    class Model:
        """Say what was answered together."""

        max_batch = 8
        max_wait_ms = 4000.0  # eight calls end the wait; on a busy machine they take a while to arrive
        loads = 0

        def load(self) -> None:
            self.loads += 1

        def __call__(self, images, number: int) -> ToolResult:
            return ToolResult(text=f"alone {self.loads}")

        def call_batch(self, requests):
            numbers = sorted(request.arguments["number"] for request in requests)
            return [ToolResult(text=f"{numbers} {self.loads}") for _ in requests]

    toolbox = Toolbox([tool(Model())], executor=executor)
    assert toolbox.run(call("model", number=0), (image,)).text == "alone 1"
    calls = [in_thread(toolbox.run, call("model", number=number), (image,)) for number in range(8)]
    assert {future.result(timeout=30).text for future in calls} == {"[0, 1, 2, 3, 4, 5, 6, 7] 1"}
    assert toolbox.metrics()["model"].batch_size == pytest.approx((1 + 8 * 8) / 9)


def test_a_tool_that_cannot_be_loaded_is_unavailable(executor, image, call):
    class Weightless:
        """Look for weights."""

        def load(self) -> None:
            raise FileNotFoundError("no weights at /nowhere")

        def __call__(self, images) -> ToolResult:
            return ToolResult()

    error = Toolbox([tool(Weightless())], executor=executor).run(call("weightless"), (image,)).error
    assert error.type is ToolErrorType.UNAVAILABLE
    assert "no weights at /nowhere" in error.message


def test_a_copy_shares_ray_and_leaves_it_running_when_it_is_closed(executor, moody, image):
    other = pickle.loads(pickle.dumps(executor))
    assert other.limits == executor.limits
    assert other.run(moody, (image,), {}).value.ok
    other.close()
    assert ray.is_initialized()


def test_an_actor_whose_place_was_taken_is_gone(executor, image, call, moody):
    toolbox = Toolbox([moody], executor=executor)
    pid = toolbox.run(call("moody"), (image,)).text
    toolbox.run(call("moody", mood="hang"), (image,))
    assert toolbox.run(call("moody"), (image,)).text != pid
    from pathlib import Path

    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_an_actor_killed_from_outside_is_replaced_and_no_episode_is_lost(executor, image, moody):
    from medvista.envs import MedicalVQAEnv
    from medvista.policies import SamplingParams, ScriptedPolicy
    from medvista.rollout import RolloutCollector
    from medvista.types import VQASample

    toolbox = Toolbox([moody], executor=executor)
    sample = VQASample(
        id="1", benchmark="mine", split="train", question="?", answers=("yes",), images=(image,), group_id="1"
    )
    killed: list[int] = []

    def script(trajectory):
        if len(trajectory.turns) == 1 and trajectory.seed == 0:
            pid = int(trajectory.turns[0].result.text)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        looks = len(trajectory.turns) < 3
        return '<tool_call>{"name": "moody", "arguments": {}}</tool_call>' if looks else "<answer>yes</answer>"

    collector = RolloutCollector(
        lambda: MedicalVQAEnv([sample], toolbox, max_turns=4), ScriptedPolicy(script), None, workers=2
    )
    episodes = collector.collect([sample] * 4, SamplingParams(), seeds=range(4))
    assert len(killed) == 1
    assert [episode.answer for episode in episodes] == ["yes"] * 4
    results = [turn.result for episode in episodes for turn in episode.turns if turn.result is not None]
    failed = [result.error.type for result in results if not result.ok]
    assert len(failed) <= 1  # the call that was on its way to the actor, at most
    assert set(failed) <= {ToolErrorType.CRASHED}
    assert any(result.ok and int(result.text) != killed[0] for result in results)


@pytest.mark.parametrize("asked", [{"cpus": 1.0}, {"cpus": 0.5, "gpus": 0.0}])
def test_an_actor_is_placed_where_what_it_reserves_is(executor, image, call, asked):
    @tool
    def placed(images) -> ToolResult:
        """Say what was reserved."""
        import ray

        return ToolResult(text=str(ray.get_runtime_context().get_assigned_resources().get("CPU", 0)))

    executor.per_tool["placed"] = ToolLimits(concurrency=1, **asked)
    assert float(Toolbox([placed], executor=executor).run(call("placed"), (image,)).text) == asked["cpus"]
    executor._pools.pop(placed).close()
