"""Runs as data frames: what a folder of two small runs holds, counted by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from medvista.data.trajectories import write_trajectories
from medvista.errors import UserError
from medvista.evaluation import frames
from medvista.evaluation.numbers.results import ArmScore, Comparison, Counterfactual, Effect, Results
from medvista.evaluation.numbers.results_file import write_results
from medvista.types import Trajectory

pytest.importorskip("pandas")
Episodes = Mapping[str, Sequence[Trajectory]]
LOG = """epoch,step,train/loss,val/accuracy
0,0,2.5,
0,1,1.5,
0,1,,0.25
"""


def effect(n: int, accuracy: float, changed: float) -> Effect:
    return Effect(
        n=n,
        accuracy=accuracy,
        accuracy_changed=changed,
        difference=changed - accuracy,
        ci95=(-0.9, 0.1),
        answers_changed=0.5,
        answers_changed_ci95=(0.1, 0.9),
    )


@pytest.fixture
def folder(tmp_path: Path, trajectories: Episodes, results: Results) -> Path:
    """A sweep of one variant over two seeds; the second run has not ended."""
    for seed in (0, 1):
        run = tmp_path / "sweep" / "grpo" / f"seed-{seed}"
        for arm, episodes in trajectories.items():
            write_trajectories(run / "trajectories" / "test" / f"phantom-{arm}-greedy.jsonl", episodes)
        (run / "config.yaml").write_text(f"experiment: nano\nseed: {seed}\n")
        log = run / "checkpoints" / "sft_rl" / "logs" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text(LOG)
    found = Counterfactual(
        benchmark="phantom",
        arm="sft_rl",
        mode="greedy",
        change="blank",
        overall=effect(4, 0.75, 0.25),
        looked=effect(3, 1.0, 0.5),
        p_value=0.02,
        p_holm=0.04,
        seed=0,
    )
    ended = replace(results, counterfactuals=[found], environment={"commit": "abc"})
    write_results(tmp_path / "sweep" / "grpo" / "seed-0" / "results.json", ended)
    return tmp_path / "sweep"


def test_every_run_of_a_folder_has_a_row(folder: Path) -> None:
    found = frames.runs(folder)
    assert found["run"].tolist() == ["grpo/seed-0", "grpo/seed-1"]
    assert found["variant"].tolist() == ["grpo", "grpo"]
    assert found["seed"].tolist() == [0, 1]
    assert found["ended"].tolist() == [True, False]
    assert (found["commit"][0], found["total_s"][0]) == ("abc", 629.8)
    assert frames.runs(folder / "grpo" / "seed-1")["run"].tolist() == ["."]


def test_scores_have_a_row_per_family_and_one_for_all(folder: Path, results: Results) -> None:
    found = frames.scores(folder)
    row = found.query("arm == 'sft_rl' and mode == 'greedy' and family == 'attribute'").squeeze()
    score = results.arms["sft_rl"]["phantom"]["greedy"].families["attribute"]
    assert (row["n"], row["accuracy"], row["low"], row["high"]) == (score.n, score.accuracy, *score.ci95)
    whole = found.query("arm == 'sft' and mode == 'greedy' and family == 'all'").squeeze()
    assert (whole["tool_calls"], whole["tokens"]) == (1.18, 41.5)
    assert len(found) == 6 * 2 * (1 + 5)  # arms, modes, all and five families


def test_episodes_say_how_they_went(folder: Path) -> None:
    found = frames.episodes(folder).query("seed == 0")
    assert len(found) == 4 + 2 + 2
    stumble = found.query("sample == 'phantom-test-9'").squeeze()
    assert (stumble["turns"], stumble["calls"], stumble["failed"], stumble["correct"]) == (3, 2, 1, True)
    assert (stumble["looked"], stumble["hit"], stumble["image"]) == (True, True, "phantom-9")
    assert stumble["reward"] == pytest.approx(1.2)
    missed = found.query("sample == 'phantom-test-11'").squeeze()
    assert (missed["looked"], missed["hit"], missed["answer"]) == (True, False, "left lung")
    silent = found.query("sample == 'phantom-test-13'").squeeze()
    assert (silent["stop_reason"], silent["looked"]) == ("max_turns", False)
    assert found["answer"].isna().sum() == 1, "only the one that was never read"


def test_turns_say_what_was_called_with_what_and_how_it_failed(folder: Path) -> None:
    found = frames.turns(folder).query("seed == 0 and sample == 'phantom-test-9'")
    assert found["kind"].tolist() == ["call", "call", "answer"]
    assert found["ok"].tolist()[:2] == [False, True]
    assert found["error"].tolist()[0] == "invalid_arguments"
    assert json.loads(found["arguments"].tolist()[0]) == {"box": [900, 400, 300, 500]}
    assert frames.turns(folder).query("sample == 'phantom-test-13'")["kind"].unique().tolist() == ["error"]


def test_curves_have_a_row_per_logged_number(folder: Path) -> None:
    found = frames.curves(folder).query("seed == 1")
    rows = found[["stage", "metric", "step", "value"]].to_numpy().tolist()
    assert rows == [
        ["sft_rl", "train/loss", 0, 2.5],
        ["sft_rl", "train/loss", 1, 1.5],
        ["sft_rl", "val/accuracy", 1, 0.25],
    ]


def test_counterfactuals_are_told_of_all_questions_and_of_those_with_a_look(folder: Path) -> None:
    found = frames.counterfactuals(folder).set_index("questions")
    assert found.loc["all", ["n", "difference", "p_holm"]].tolist() == [4, -0.5, 0.04]
    assert found.loc["looked", "accuracy_changed"] == 0.5


def test_tool_gain_and_harm_are_paired_by_question(folder: Path, trajectories: Episodes) -> None:
    run = folder / "grpo" / "seed-0"
    right, wrong, *_ = trajectories["sft_rl"]  # phantoms 3 and 5; that of 7 and 9 are right, and are not replayed
    swapped = [
        replace(wrong, sample=right.sample),
        replace(right, sample=replace(wrong.sample, answers=right.sample.answers)),
    ]
    write_trajectories(run / "trajectories" / "test" / "phantom-sft_rl.blank-greedy.jsonl", swapped)
    row = frames.tool_effects(folder).squeeze()
    assert (row["arm"], row["seed"], row["n"], row["looked"]) == ("sft_rl", 0, 4, 2)
    assert (row["right_both"], row["gain"], row["harm"], row["wrong_both"]) == (0.5, 0.25, 0.25, 0.0)
    assert frames.tool_effects(folder, change="shuffled").empty


def test_a_sweep_is_read_by_variant_and_seed_by_seed(tmp_path: Path) -> None:
    def score(*right: float) -> ArmScore:
        mean = sum(right) / len(right)
        seeds = {str(seed): value for seed, value in enumerate(right)}
        return ArmScore(n=20, accuracy=mean, ci95=(mean - 0.1, mean + 0.1), per_seed=seeds)

    arms = {"sft": score(0.5, 0.5), "sft_rl / grpo": score(0.6, 0.8), "sft_rl / gspo": score(0.7, 0.9)}
    test = Comparison(
        benchmark="phantom",
        arm="sft_rl / gspo",
        baseline="sft_rl / grpo",
        mode="greedy",
        difference=0.1,
        ci95=(0.0, 0.2),
        p_value=0.05,
        p_holm=0.05,
        n=20,
        test="clustered_permutation",
    )
    pooled = {name: {"phantom": {"greedy": value}} for name, value in arms.items()}
    results = Results(experiment="ablations", seeds=(0, 1), arms=pooled, comparisons=[test])
    write_results(tmp_path / "results.json", results)
    found = frames.sweep(tmp_path)
    assert found[["arm", "variant"]].to_numpy().tolist() == [["sft", ""], ["sft_rl", "grpo"], ["sft_rl", "gspo"]]
    gspo = found.iloc[2]
    assert (gspo["baseline"], gspo["difference"], gspo["difference_low"], gspo["p_holm"]) == ("grpo", 0.1, 0.0, 0.05)
    seeds = frames.sweep_seeds(tmp_path)
    assert seeds.query("variant == 'gspo'")[["seed", "accuracy"]].to_numpy().tolist() == [[0, 0.7], [1, 0.9]]


def test_a_folder_without_runs_and_a_missing_pandas_are_told_in_a_sentence(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="holds no run"):
        frames.runs(tmp_path / "nothing")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'medvista\[frames\]'"):
        frames.runs(folder)
