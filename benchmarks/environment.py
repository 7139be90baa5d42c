"""What the environment costs beside the tools' own work.

Run it on a quiet machine, in half a minute:

    OMP_NUM_THREADS=1 python -m benchmarks.environment

An episode of the environment with two calls of a tool that does nothing: it returns its image, small enough that it is
shown as it is. What is left is parsing, checking, recording and scoring. The last line is JSON:

* ``overhead_ms_p50``: of a step that calls the tool: at most 0.3 ms.

The table also has a reset, the answering step, and a zoom with its resampling, which depends on the size of the image.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from medvista.envs import MedicalVQAEnv
from medvista.parsing import format_action
from medvista.tools import Tool, Toolbox, zoom
from medvista.types import FinalAnswer, MedicalImage, ToolCall, ToolResult, VQASample

SIDE = 64  # pixels of the image that needs no resampling
LARGE = 1024  # of the one that is zoomed into
LOOK = format_action(ToolCall(name="look", arguments={}))
ZOOM = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [100, 100, 600, 600]}))
ANSWER = format_action(FinalAnswer(text="yes"))


def look(images: Sequence[MedicalImage]) -> ToolResult:
    """The first image as it is."""
    return ToolResult(text="seen", images=(images[0],))


def question(side: int) -> VQASample:
    """A question about a square image of 8-bit grey values."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)
    return VQASample(
        id=f"of {side}",
        benchmark="none",
        split="train",
        question="Is it?",
        answers=("yes",),
        images=(MedicalImage(pixels=pixels),),
        group_id="one",
    )


def milliseconds(side: int, call: str, episodes: int) -> dict[str, np.ndarray]:
    """How long resets, steps with this call and answering steps took."""
    toolbox = Toolbox([Tool(look, "look", description="", parameters={"type": "object", "properties": {}}), zoom])
    env = MedicalVQAEnv([question(side)], toolbox, view_size=SIDE, max_turns=4)
    times: dict[str, list[float]] = {"reset": [], "call": [], "answer": []}
    for seed in range(episodes + 1):
        for name, act in (
            ("reset", lambda: env.reset(seed=seed)),  # noqa: B023 - called here
            ("call", lambda: env.step(call)),
            ("call", lambda: env.step(call)),
            ("answer", lambda: env.step(ANSWER)),
        ):
            times[name].append(_timed(act))
    assert env.trajectory.answer == "yes"
    assert all(turn.result is not None and turn.result.ok for turn in env.trajectory.tool_turns)
    return {name: np.array(taken[2:]) for name, taken in times.items()}  # the first ones load what is needed


def _timed(act: Any) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    options = _parser().parse_args(arguments)
    plain, zooming = milliseconds(SIDE, LOOK, options.episodes), milliseconds(LARGE, ZOOM, options.episodes)
    print(f"{'':<44}{'p50 ms':>9}{'p95 ms':>9}")
    for name, values in (
        (f"reset, image of {SIDE} x {SIDE}", plain["reset"]),
        ("step with a tool that does nothing", plain["call"]),
        ("step with the answer", plain["answer"]),
        (f"reset, image of {LARGE} x {LARGE}", zooming["reset"]),
        (f"step with a zoom into {LARGE} x {LARGE}", zooming["call"]),
    ):
        p50, p95 = np.percentile(values, [50, 95])
        print(f"{name:<44}{p50:>9.3f}{p95:>9.3f}")
    print(json.dumps({"overhead_ms_p50": round(float(np.median(plain["call"])), 4)}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.environment", description="What the environment costs.")
    parser.add_argument("--episodes", type=int, default=500, help="episodes of each kind (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
