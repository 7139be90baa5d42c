"""The metrics give what the pure functions give, however the episodes are spread over batches and processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medvista.functional.episodes import summarise
from medvista.metrics import TrajectoryMetrics, VQAAccuracy, scoring_for
from medvista.types import (
    Completion,
    FinalAnswer,
    Observation,
    Region,
    Reward,
    StopReason,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
    VQASample,
)


def episode(number: int) -> Trajectory:
    """A zoom, then an answer that is right in two episodes of three."""
    sample = VQASample(
        id=str(number),
        benchmark="phantom",
        split="validation",
        question="Which side?",
        answers=("left",),
        images=(),
        group_id=str(number),
        regions=(Region(box=(number, 0, number + 2, 2)),),
    )
    completion = Completion(token_ids=(1,) * (number + 1), log_probs=(0.0,) * (number + 1), text="")
    look = ToolResult(regions=(Region(box=(0, 0, 4, 4)),))
    call = Turn(completion=completion, action=ToolCall(name="zoom", arguments={}), result=look)
    answer = Turn(completion=completion, action=FinalAnswer(text="right" if number % 3 == 2 else "left"))
    return Trajectory(
        sample=sample,
        observation=Observation(text=""),
        turns=(call, answer) if number % 2 else (answer,),
        stop_reason=StopReason.ANSWERED,
        reward=Reward(total=number / 10, terms={}),
    )


def test_accuracy_counts_questions_over_batches() -> None:
    accuracy = VQAAccuracy()
    accuracy.update(["Yes.", None], [["yes"], ["no"]])
    accuracy.update(["(B)"], [["lung"]], [("heart", "lung")])
    assert accuracy.compute() == pytest.approx(2 / 3)
    accuracy.reset()
    accuracy.update(["no"], [["yes"]])
    assert accuracy.compute() == 0.0


def test_accuracy_refuses_questions_without_predictions() -> None:
    with pytest.raises(ValueError, match="zip"):
        VQAAccuracy().update(["yes"], [["yes"], ["no"]])


def test_batches_of_episodes_add_up_to_the_summary_of_all() -> None:
    metric, episodes = TrajectoryMetrics(), [episode(number) for number in range(7)]
    metric.update(episodes[:2])
    metric.update([])
    metric.update(episodes[2:])
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(summarise(episodes))


def test_no_episodes_give_no_numbers() -> None:
    metric = TrajectoryMetrics()
    metric.update([])
    assert metric.compute() == {}


def test_a_metric_survives_a_checkpoint() -> None:
    before, after = TrajectoryMetrics(), TrajectoryMetrics()
    before.persistent(True)
    before.update([episode(1)])
    after.persistent(True)
    after.load_state_dict(before.state_dict())
    after.update([episode(2)])
    assert {name: float(value) for name, value in after.compute().items()} == pytest.approx(
        summarise([episode(1), episode(2)])
    )


TWO_PROCESSES = """
import runpy, sys, torch
from medvista.functional.episodes import summarise
from medvista.metrics import BenchmarkScores, TrajectoryMetrics, VQAAccuracy

episode, rank = runpy.run_path(sys.argv[1])["episode"], int(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
mine = [range(0, 5), range(5, 7)][rank]  # not equally many
metric, accuracy = TrajectoryMetrics(), VQAAccuracy()
metric.update([episode(number) for number in mine])
accuracy.update([episode(number).answer for number in mine], [("left",)] * len(mine))
scores = BenchmarkScores("slake")
scores.update([episode(number).answer for number in mine], [episode(number).sample for number in mine])
torch.save((metric.compute(), accuracy.compute(), scores.compute()), f"{sys.argv[3]}.{rank}")
torch.distributed.destroy_process_group()
"""


def test_two_processes_with_unequal_shares_agree_with_one(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    commands = [[sys.executable, "-c", TWO_PROCESSES, __file__, str(rank), str(meeting)] for rank in (0, 1)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for command in commands]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    expected = summarise([episode(number) for number in range(7)])
    episodes = [episode(number) for number in range(7)]
    means = scoring_for("slake").means([each.answer for each in episodes], [each.sample for each in episodes])
    for rank in (0, 1):
        rates, accuracy, scores = torch.load(f"{meeting}.{rank}")
        assert {name: float(value) for name, value in scores.items()} == pytest.approx(means)
        assert {name: float(value) for name, value in rates.items()} == pytest.approx(expected)
        assert float(accuracy) == pytest.approx(expected["accuracy"])
