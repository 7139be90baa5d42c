"""Finished runs can be scored again: by judges, and over several samples of a question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvista.app.commands import score
from medvista.data.trajectories import write_trajectories
from medvista.types import Completion, FinalAnswer, Observation, StopReason, Trajectory, Turn, VQASample
from tests.chat_server import chat_server, saying


def episode(number: int, answer: str) -> Trajectory:
    sample = VQASample(
        id=str(number),
        benchmark="slake",
        split="test",
        question="Which organ?",
        answers=("heart",),
        images=(),
        group_id=str(number),
    )
    turn = Turn(completion=Completion(token_ids=(), log_probs=(), text=""), action=FinalAnswer(text=answer))
    return Trajectory(sample=sample, observation=Observation(text=""), turns=(turn,), stop_reason=StopReason.ANSWERED)


def run_of(folder: Path, *answers: str) -> Path:
    path = folder / "trajectories" / "test" / "slake-policy-sampled.jsonl"
    write_trajectories(path, [episode(number, answer) for number, answer in enumerate(answers)])
    return folder


def measures(run: Path) -> dict:
    return json.loads((run / "scores.json").read_text())["arms"]["policy"]["slake"]["sampled"]


def test_a_run_is_scored_with_every_measure_of_its_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = run_of(tmp_path, "heart", "the heart", "left heart", "liver")
    assert score.main([str(run)]) == 0
    found = {name: value["mean"] for name, value in measures(run).items()}
    assert found["accuracy"] == found["open_exact"] == 0.5
    assert found["open_recall"] == 0.75
    assert "judged" not in found
    assert "pass@1" not in found
    assert "slake, policy, sampled" in capsys.readouterr().out


def test_runs_with_other_seeds_are_samples_of_the_same_questions(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / str(seed), *answers) for seed, answers in enumerate([("heart", "liver"), ("liver",) * 2])]
    runs.append(run_of(tmp_path / "2", "Heart.", "heart"))
    assert score.main([str(run) for run in runs]) == 0
    found = {name: value["mean"] for name, value in measures(runs[0]).items()}
    # The first question was right twice of three times, the second once.
    assert found["pass@1"] == found["majority@1"] == pytest.approx(1 / 2)
    assert found["pass@2"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["pass@3"] == 1.0
    assert found["majority@3"] == 0.5
    assert "pass@4" not in found


def test_a_judge_is_asked_once_and_then_replayed_offline(tmp_path: Path) -> None:
    run = run_of(tmp_path, "cardiac muscle", "liver", "no heart")

    def answer(asked, number):
        return saying("Correct" if "cardiac" in asked.text() else "Incorrect")

    with chat_server(answer) as (url, server):
        assert score.main([str(run), "judge.model=m", f"judge.url={url}"]) == 0
        assert len(server.asked) == 2  # an opposed answer is not asked about
    online = measures(run)["judged"]
    assert online["mean"] == pytest.approx(1 / 3)
    assert score.main([str(run), "judge.model=m", "judge_offline=true"]) == 0
    assert measures(run)["judged"] == online


def test_runs_that_asked_other_questions_are_no_samples(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = [run_of(tmp_path / "a", "heart"), run_of(tmp_path / "b", "heart", "liver")]
    assert score.main([str(run) for run in runs]) == 2
    assert "asked policy different questions of slake" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name at least one run's folder"),
        (["{run}", "judg.model=m"], "judg"),
        (["{run}", "resamples=many"], "many"),
        (["{empty}"], "has no test episodes"),
        (["{run}", "judge.model=m", "judge_folder=f"], "give one judge"),
        (["{run}", "judge_offline=true"], "needs the name of the judge"),
        (["{run}", "judge.model=m", "judge_offline=true"], "verdicts of m are not in"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture, arguments: list[str], sentence: str
) -> None:
    run = run_of(tmp_path / "run", "liver")
    (tmp_path / "empty").mkdir()
    given = [argument.format(run=run, empty=tmp_path / "empty") for argument in arguments]
    assert score.main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
