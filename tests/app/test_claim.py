"""A claim over seeds and teachers: which runs it needs, and what it makes of their outcomes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medvista.app.claim import Part, claim_parts, claim_results, is_done, run_claim
from medvista.app.config.command_line import load_config
from medvista.app.config.composition import compose, to_yaml
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.outcomes import Outcomes, read_outcomes, write_outcomes
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.results import Comparison, Results
from medvista.evaluation.numbers.results_file import read_results
from medvista.evaluation.playing.episode_set import EpisodeSet


@pytest.fixture
def claim(tmp_path: Path) -> ExperimentConfig:
    """Two seeds, two teachers, three arms."""
    return load_config(
        [
            f"output_dir={tmp_path}",
            "experiment=smoke",
            "arms=[direct,sft,sft_rl]",
            "evaluation.modes=[greedy]",
            "claim={experiment: smoke, seeds: [0, 1], teachers: {clean: [], faulty: [sft.expert.jitter_share=0.7]}}",
        ]
    )


def outcomes(*right: int) -> Outcomes:
    """Two images, three questions each, of which the one about the side needs no look."""
    return Outcomes(
        ids=list("abcdef"),
        groups=["1", "1", "1", "2", "2", "2"],
        families=["attribute", "yes_no", "side"] * 2,
        correct=[bool(value) for value in right],
    )


RIGHT = {  # teacher, seed -> arm -> right or wrong
    ("clean", 0): {"direct": (0, 0, 1, 0, 0, 1), "sft": (1, 0, 1, 1, 0, 1), "sft_rl": (1, 1, 1, 1, 1, 1)},
    ("clean", 1): {"direct": (0, 1, 1, 0, 1, 1), "sft": (1, 1, 1, 1, 0, 1), "sft_rl": (1, 1, 0, 1, 1, 0)},
    ("faulty", 0): {"sft": (0, 0, 1, 0, 0, 1), "sft_rl": (1, 0, 1, 0, 0, 1)},
    ("faulty", 1): {"sft": (1, 0, 1, 0, 0, 1), "sft_rl": (1, 1, 0, 1, 0, 0)},
}


@pytest.fixture
def results(claim: ExperimentConfig) -> Results:
    """What the claim says of the outcomes above."""
    assert claim.claim is not None
    parts = list(claim_parts(claim, claim.claim))
    for part in parts:
        arms = RIGHT[part.teacher, part.seed]
        assert set(arms) == set(part.arms)
        part.folder.mkdir(parents=True)
        found = {EpisodeSet("phantom", arm, "greedy"): outcomes(*right) for arm, right in arms.items()}
        write_outcomes(part.folder / "outcomes.json", found)
    return claim_results(claim, parts)


def test_each_seed_meets_each_teacher_and_arms_without_a_teacher_run_once(claim: ExperimentConfig) -> None:
    assert claim.claim is not None
    parts = list(claim_parts(claim, claim.claim))
    assert [(p.teacher, p.seed) for p in parts] == [("clean", 0), ("faulty", 0), ("clean", 1), ("faulty", 1)]
    assert [p.arms for p in parts[:2]] == [("direct", "sft", "sft_rl"), ("sft", "sft_rl")]
    assert len({p.folder for p in parts}) == 4


def test_the_command_of_a_part_is_one_that_a_person_could_type(claim: ExperimentConfig) -> None:
    assert claim.claim is not None
    part = list(claim_parts(claim, claim.claim))[3]
    config = load_config(part.command[3:])
    assert (config.seed, config.resume, config.arms) == (1, True, ["sft", "sft_rl"])
    assert config.sft.expert.jitter_share == 0.7
    assert config.output_dir == part.folder
    assert config.claim is None


def test_accuracy_is_pooled_over_seeds_on_the_questions_that_need_a_look(results: Results) -> None:
    score = results.score("sft_rl / faulty", "phantom", "greedy")
    assert score is not None
    assert (score.n, score.accuracy) == (8, 4 / 8)  # 1 of 4 at seed 0, 3 of 4 at seed 1
    assert score.per_seed == {"0": 0.25, "1": 0.75}
    assert set(results.arms) == {"direct", "sft / clean", "sft_rl / clean", "sft / faulty", "sft_rl / faulty"}


def compared(results: Results, arm: str, baseline: str) -> Comparison:
    (found,) = (c for c in results.comparisons if (c.arm, c.baseline) == (arm, baseline))
    return found


def test_arms_are_compared_in_pairs_of_one_teacher_over_all_seeds(results: Results) -> None:
    assert compared(results, "sft_rl / clean", "sft / clean").difference == pytest.approx((2 + 1) / 8)
    assert compared(results, "sft_rl / faulty", "sft / faulty").difference == pytest.approx((1 + 2) / 8)
    assert compared(results, "sft_rl / faulty", "direct").difference == pytest.approx((4 - 2) / 8)
    gap = compared(results, "sft_rl / clean", "sft / clean")
    # At seed 1 nothing is gained on the first image; elsewhere it is one of two questions.
    assert 0 <= gap.ci95[0] <= gap.difference <= gap.ci95[1] <= 0.5
    assert gap.n == 8
    assert gap.families == ("attribute", "yes_no")


def test_outcomes_survive_the_disk(tmp_path: Path) -> None:
    kept = {EpisodeSet("phantom", "sft", "greedy"): outcomes(1, 0, 1, 0, 1, 0)}
    write_outcomes(tmp_path / "outcomes.json", kept)
    assert read_outcomes(tmp_path / "outcomes.json") == kept


def test_only_questions_of_the_families_asked_for_are_kept() -> None:
    kept = outcomes(1, 0, 1, 0, 1, 0).restricted({"side"})
    assert (kept.ids, kept.groups, kept.correct) == (["c", "f"], ["1", "2"], [True, False])


@pytest.mark.slow
def test_a_claim_runs_its_parts_and_shows_curves_and_episodes(tmp_path: Path) -> None:
    config = load_config(
        [
            f"output_dir={tmp_path / 'claim'}",
            f"cache_dir={tmp_path / 'cache'}",
            "experiment=smoke",
            "arms=[direct,sft,sft_rl]",
            "evaluation.modes=[greedy]",
            "claim={experiment: smoke, seeds: [0, 1], workers: 2,"
            " teachers: {clean: [], faulty: [sft.expert.jitter_share=0.7]}}",
        ]
    )
    run_claim(config)
    written = read_results(tmp_path / "claim" / "results.json")
    assert set(written.arms) == {"direct", "sft / clean", "sft / faulty", "sft_rl / clean", "sft_rl / faulty"}
    pooled = written.arms["sft_rl / faulty"]["phantom"]["greedy"]
    assert pooled.n == 2 * 2 * 4  # seeds, families, images
    played = [
        episode
        for seed in (0, 1)
        for episode in read_trajectories(
            EpisodeSet("phantom", "sft_rl", "greedy").path(config.output_dir / f"faulty/seed-{seed}")
        )
        if episode.sample.metadata["family"] in ("attribute", "yes_no")
    ]
    assert len(played) == pooled.n
    assert pooled.tokens_mean == pytest.approx(sum(sum(episode.stream.loss_mask) for episode in played) / pooled.n)
    assert pooled.tool_calls_mean == pytest.approx(sum(len(episode.tool_turns) for episode in played) / pooled.n)
    page = (tmp_path / "claim" / "report.html").read_text()
    assert "sft_rl / faulty" in page
    assert "<svg" in page


def test_a_finished_run_counts_only_under_the_settings_it_was_made_with(tmp_path: Path) -> None:
    run = Part(teacher="clean", seed=0, folder=tmp_path, arms=("sft",), overrides=("experiment=smoke", "sft.steps=4"))
    assert not is_done(run)
    (tmp_path / "results.json").write_text("{}")
    made = compose(ExperimentConfig, ["experiment=smoke", "sft.steps=4", "seed=3", "arms=[sft,direct]"])
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    assert is_done(run)
    assert not is_done(replace(run, arms=("sft", "sft_rl"))), "an arm is missing"
    with pytest.raises(UserError, match=r"sft\.steps was 4 and is 5"):
        is_done(replace(run, overrides=("experiment=smoke", "sft.steps=5")))


def test_what_the_command_overrides_holds_for_every_run_of_the_claim() -> None:
    config = load_config(["experiment=nano_claim", "rl.updates=7", "output_dir=elsewhere", "arms=[sft]"])
    assert config.claim is not None
    for part in claim_parts(config, config.claim):
        made = compose(ExperimentConfig, part.overrides)
        assert made.rl.updates == 7
        assert part.overrides[-1] == "rl.updates=7"
