"""The main job, at a tiny size, from an empty folder to the report."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from medvista.app.arms import ARMS
from medvista.app.config.command_line import load_config
from medvista.app.evaluating.outcomes import read_outcomes
from medvista.app.evaluating.reporting import learning_curves, notes
from medvista.app.run_folder import prepare_folder
from medvista.data.phantom_vqa import FAMILIES
from medvista.data.trajectories import read_trajectories
from medvista.evaluation.numbers.results_file import read_results
from medvista.evaluation.page.episode_choice import pick_episodes
from medvista.evaluation.playing.episode_set import EpisodeSet
from medvista.functional.episodes import correct, summarise

TRAINED = {"direct", "direct_rl", "tools_unused", "sft", "sft_longer", "sft_rejection", "sft_rl"}


def test_results_hold_the_keys_that_other_tools_rely_on(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert (results["experiment"], results["seed"]) == ("smoke", 0)
    assert set(results["arms"]) == set(ARMS) - {"majority", "lookup", "blind", "blanked"}
    for arm, benchmarks in results["arms"].items():
        for mode in ("greedy", "sampled"):
            score = benchmarks["phantom"][mode]
            assert score["n"] == 2 * len(FAMILIES[:4]), arm
            assert score["ci95"][0] <= score["accuracy"] <= score["ci95"][1]
            assert set(score["families"]) == set(FAMILIES[:4])
            assert {"tool_calls_mean", "tool_error_rate", "answered_rate"} <= score.keys()
            assert score["tokens_mean"] > 0
    assert {"sft_s", "rl_s", "eval_s", "total_s"} <= results["timing"].keys()
    assert min(results["throughput"][name] for name in ("rollouts_per_s", "generated_tokens_per_s")) > 0
    assert {"medvista", "torch", "transformers", "lightning"} <= results["versions"].keys()


def test_sft_rl_is_compared_with_every_arm_but_the_ceiling_in_both_modes(finished: Path) -> None:
    comparisons = read_results(finished / "results.json").comparisons
    compared = {(c.baseline, c.mode) for c in comparisons if c.arm == "sft_rl"}
    others = (TRAINED | {"tools_untrained", "tools_random", "sft_rl_random"}) - {"sft_rl"}
    assert compared == {(arm, mode) for arm in others for mode in ("greedy", "sampled")}
    assert all(c.p_holm is not None and c.families == ("attribute", "yes_no") for c in comparisons)


def test_the_oracle_looks_at_the_nodule_in_every_question_that_needs_it(finished: Path) -> None:
    score = read_results(finished / "results.json").score("oracle_crop", "phantom", "greedy")
    assert score is not None
    assert score.hit_rate == 1.0


def test_what_stands_in_the_results_can_be_counted_again_from_the_episodes(finished: Path) -> None:
    score = read_results(finished / "results.json").score("sft_rl", "phantom", "sampled")
    episodes = list(read_trajectories(finished / "trajectories" / "test" / "phantom-sft_rl-sampled.jsonl"))
    outcomes = read_outcomes(finished / "outcomes.json")[EpisodeSet("phantom", "sft_rl", "sampled")]
    assert score is not None
    assert score.tokens_mean == pytest.approx(summarise(episodes)["tokens_mean"])
    assert list(outcomes.correct) == [correct(episode) for episode in episodes]
    assert score.accuracy == sum(outcomes.correct) / score.n


def test_every_stage_leaves_a_policy_curves_and_its_cost(finished: Path) -> None:
    for stage in TRAINED:
        folder = finished / "checkpoints" / stage
        assert (folder / "policy" / "model.safetensors").exists()
        assert json.loads((folder / "done.json").read_text())["steps"] > 0, stage
        assert list((finished / "tensorboard" / stage).rglob("events.*")) or stage == "sft_rejection"
    curves = learning_curves(finished)
    assert set(curves) >= TRAINED - {"sft_rejection"}
    assert [step for step, _ in curves["sft_rl"]["rollout/accuracy"]] == [0, 1, 2, 3]


def test_rejection_spends_the_generated_tokens_of_rl(finished: Path) -> None:
    spent = {
        stage: json.loads((finished / "checkpoints" / stage / "done.json").read_text())["generated_tokens"]
        for stage in ("sft_rl", "sft_rejection")
    }
    assert spent["sft_rl"] <= spent["sft_rejection"] < 2 * spent["sft_rl"]


def test_the_report_needs_no_other_file(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "sft_rl_random" in page
    assert "data:image/png;base64," in page
    assert re.findall(r"""src=["'](?!data:)([^"']+)""", page) == []
    linked = set(re.findall(r"""<a [^>]*href=["'](?!data:|#)([^"']+)""", page))
    assert {"results.json", "config.yaml", "arms.svg", "tables/", "trajectories/", "tensorboard/"} <= linked
    assert [name for name in linked if not (finished / name).exists()] == ["viewer/index.html"]  # hidden until it is


def test_the_written_configuration_repeats_the_run(finished: Path) -> None:
    again = load_config([f"experiment={finished / 'config.yaml'}"])
    assert again.sft.steps == 80
    assert again.output_dir == finished


def test_an_earlier_run_is_moved_aside_and_a_resumed_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text("{}")
    (run / "config.yaml").write_text("experiment: nano\noutput_dir: runs/nano\n")
    os.utime(run, (0, 0))
    prepare_folder(load_config([f"output_dir={run}", "resume=true"]))
    assert (run / "results.json").exists()
    prepare_folder(load_config([f"output_dir={run}"]))
    assert [path.name for path in run.iterdir()] == ["config.yaml"]
    assert len(list(tmp_path.glob("run-*/results.json"))) == 1
    assert "resume=true" in capsys.readouterr().err


def test_the_report_shows_a_right_and_a_wrong_episode_of_each_family(finished: Path) -> None:
    episodes = list(read_trajectories(finished / "trajectories" / "test" / "phantom-sft-sampled.jsonl"))
    picked = pick_episodes(episodes)
    kinds = [(correct(episode), episode.sample.metadata["family"]) for episode in picked]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == {(correct(episode), episode.sample.metadata["family"]) for episode in episodes}
    assert [right for right, _ in kinds] == sorted((right for right, _ in kinds), reverse=True)


def test_the_report_declares_the_pre_stage_only_of_a_model_that_had_one() -> None:
    assert "pre-trained" in notes(load_config([]))[0]
    for override in ("policy.path=Qwen/Qwen3-VL-8B-Instruct", "pretrain={steps: 0, caption_steps: 0}"):
        assert not any("pre-trained" in note for note in notes(load_config([override])))


def test_curves_are_read_by_stage_and_metric(tmp_path: Path) -> None:
    for stage in ("sft", "sft_rejection/round-0"):
        log = tmp_path / "checkpoints" / stage / "logs" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text("step,epoch,train/loss,val/phantom/accuracy\n0,0,2.5,\n1,0,1.5,\n1,0,,0.25\n")
    curves = learning_curves(tmp_path)
    assert set(curves) == {"sft", "sft_rejection/round-0"}
    assert curves["sft"] == {"train/loss": [(0, 2.5), (1, 1.5)], "val/phantom/accuracy": [(1, 0.25)]}


def test_the_curves_split_what_rl_gained_into_intrinsic_and_the_tools(finished: Path) -> None:
    curves = learning_curves(finished)
    rl = curves["sft_rl"]
    split = "val/phantom/decomposition"
    accuracy = dict(rl["val/phantom/accuracy"])
    first, last = min(accuracy), max(accuracy)
    gains = [dict(rl[f"{split}/{name}"])[last] for name in ("intrinsic_gain", "tool_effect_gain")]
    assert sum(gains) == pytest.approx(accuracy[last] - accuracy[first])
    without = dict(rl[f"{split}/accuracy_without_tools"])
    assert without.keys() == accuracy.keys()
    for step, effect in rl[f"{split}/tool_effect"]:
        assert effect == pytest.approx(accuracy[step] - without[step])
    assert not any(split in name for name in {**curves["direct_rl"], **curves["sft"]})  # without tools; no RL
