"""A sweep over variants and seeds: which runs it needs, what they hand on, what it makes of their outcomes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.config.composition import compose, list_experiments, to_yaml
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.outcomes import Outcomes, read_outcomes, write_outcomes
from medvista.app.sweep.hand_over import hand_over
from medvista.app.sweep.parts import Part, Sweep, is_done, read_sweep
from medvista.app.sweep.pooling import pooled_results
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.results import Comparison, Results
from medvista.evaluation.numbers.results_file import read_results
from medvista.evaluation.playing.episode_set import EpisodeSet
from medvista.evaluation.tables.terminal import terminal_tables


def sweep(folder: Path, variants: dict[str, list[str]], *overrides: str, arms: str = "direct,sft,sft_rl") -> Sweep:
    """A sweep over two seeds of the smallest experiment."""
    given = json.dumps({"experiment": "smoke", "seeds": [0, 1], "variants": variants})
    fixed = [f"output_dir={folder}", "experiment=smoke", f"arms=[{arms}]", "evaluation.modes=[greedy]"]
    return read_sweep(load_config([f"sweep={given}", *fixed, *overrides]))


def is_sweep(experiment: str) -> bool:
    return compose(ExperimentConfig, [f"experiment={experiment}"]).sweep is not None


TEACHERS = {"clean": [], "faulty": ["sft.expert.jitter_share=0.7"]}
OBJECTIVES = {"grpo": [], "gspo": ["rl.objective=gspo"], "rloo": ["rl.objective=rloo"]}


def outcomes(*right: int) -> Outcomes:
    """Two images, three questions each, of which the one about the side needs no look."""
    return Outcomes(
        ids=list("abcdef"),
        groups=["1", "1", "1", "2", "2", "2"],
        families=["attribute", "yes_no", "side"] * 2,
        correct=[bool(value) for value in right],
    )


RIGHT = {  # run, seed -> arm -> right or wrong
    ("shared", 0): {"direct": (0, 0, 1, 0, 0, 1)},
    ("shared", 1): {"direct": (0, 1, 1, 0, 1, 1)},
    ("clean", 0): {"sft": (1, 0, 1, 1, 0, 1), "sft_rl": (1, 1, 1, 1, 1, 1)},
    ("clean", 1): {"sft": (1, 1, 1, 1, 0, 1), "sft_rl": (1, 1, 0, 1, 1, 0)},
    ("faulty", 0): {"sft": (0, 0, 1, 0, 0, 1), "sft_rl": (1, 0, 1, 0, 0, 1)},
    ("faulty", 1): {"sft": (1, 0, 1, 0, 0, 1), "sft_rl": (1, 1, 0, 1, 0, 0)},
}


def played(found: Sweep) -> Results:
    """What the sweep says of the outcomes above."""
    for part in found.parts:
        arms = RIGHT[part.name, part.seed]
        assert set(arms) == set(part.arms)
        part.folder.mkdir(parents=True)
        kept = {EpisodeSet("phantom", arm, "greedy"): outcomes(*right) for arm, right in arms.items()}
        write_outcomes(part.folder / "outcomes.json", kept)
        for arm in part.arms:
            write_trajectories(EpisodeSet("phantom", arm, "greedy").path(part.folder), [])
    return pooled_results(found)


def compared(results: Results, arm: str, baseline: str) -> Comparison:
    (found,) = (c for c in results.comparisons if (c.arm, c.baseline) == (arm, baseline))
    return found


# ---------------------------------------------------------------------------------------------------------- the runs


def test_each_seed_meets_each_variant_and_arms_that_no_variant_changes_run_once(tmp_path: Path) -> None:
    parts = sweep(tmp_path, TEACHERS).parts
    assert [(part.name, part.seed) for part in parts] == [
        *(("shared", 0), ("shared", 1)),
        *(("clean", 0), ("faulty", 0), ("clean", 1), ("faulty", 1)),
    ]
    assert parts[0].arms == ("direct",)
    assert {part.arms for part in parts[2:]} == {("sft", "sft_rl")}
    assert len({part.folder for part in parts}) == 6


def test_variants_of_rl_begin_with_one_cold_start_per_seed(tmp_path: Path) -> None:
    shared, *others = (part for part in sweep(tmp_path, OBJECTIVES).parts if part.seed == 1)
    assert shared.arms == ("direct", "sft")
    assert [part.arms for part in others] == [("sft_rl",)] * 3
    assert [part.handed for part in others] == [{"sft": tmp_path / "shared" / "seed-1"}] * 3


def test_a_stage_is_shared_even_if_none_of_its_arms_is_asked_for(tmp_path: Path) -> None:
    shared, *others = (part for part in sweep(tmp_path, OBJECTIVES, arms="sft_rl").parts if part.seed == 0)
    assert shared.arms == ("sft",)
    assert all("sft" in part.handed for part in others)


def test_what_a_variant_changes_is_never_shared(tmp_path: Path) -> None:
    steps = {f"{steps}-{name}": [f"sft.steps={steps}", *own] for steps in (4, 5) for name, own in OBJECTIVES.items()}
    found = sweep(tmp_path, steps)
    first = {part.name: part for part in found.parts if part.seed == 0}
    assert list(first)[:2] == ["shared", "shared-5-grpo"]
    assert first["shared"].arms == ("direct", "sft")
    assert first["shared-5-grpo"].arms == ("sft",)
    assert first["5-rloo"].handed == {"sft": tmp_path / "shared-5-grpo" / "seed-0"}
    for part in found.parts:
        assert compose(ExperimentConfig, part.overrides).sft.steps == found.variants[part.variant].sft.steps


@pytest.mark.parametrize("change", ["sft.steps=9", "data.train_images=9", "max_new_tokens=9", "pretrain.steps=9"])
def test_a_key_that_shapes_the_cold_start_keeps_it_apart(tmp_path: Path, change: str) -> None:
    parts = sweep(tmp_path, {"before": [], "after": [change]}, arms="sft,sft_rl").parts
    assert {part.name for part in parts} == {"before", "after"}
    assert not any(part.handed for part in parts)


def test_a_reward_changes_what_is_trained_and_not_what_is_asked(tmp_path: Path) -> None:
    found = sweep(tmp_path, {"plain": [], "outcome": ["rl.reward={accuracy: 1.0}"]})
    assert found.parts[0].arms == ("direct", "sft")


def test_the_command_of_a_run_is_one_that_a_person_could_type(tmp_path: Path) -> None:
    part = sweep(tmp_path, TEACHERS).parts[5]
    config = load_config(part.command[3:])
    assert (config.seed, config.resume, config.arms) == (1, True, ["sft", "sft_rl"])
    assert config.sft.expert.jitter_share == 0.7
    assert config.output_dir == part.folder
    assert config.sweep is None


def test_what_the_command_overrides_holds_for_every_run() -> None:
    found = read_sweep(load_config(["experiment=nano_claim", "rl.updates=7", "output_dir=elsewhere", "arms=[sft]"]))
    for part in found.parts:
        assert compose(ExperimentConfig, part.overrides).rl.updates == 7


@pytest.mark.parametrize(
    ("variants", "overrides", "said"),
    [
        ({"a b": []}, (), "cannot name a folder"),
        ({"shared": []}, (), "cannot name a folder"),
        ({"a": [], "b": ["rl.update=3"]}, (), "variant b: Unknown key `rl.update`"),
        ({"a": [], "b": ["rl.kl.placement=loss", "rl.kl.estimator=k1"]}, (), "variant b: rl.kl.estimator=k1"),
        ({"a": [], "b": ["rl.reward={acuracy: 1}"]}, (), "variant b: .*acuracy"),
        ({"a": [], "b": ["data.seed=3"]}, (), r"other questions than a \(data.seed was 0 and is 3\)"),
        ({"a": []}, ("sweep.baseline=b",), "sweep.baseline has no 'b'"),
        ({"a": []}, ("sweep.seeds=[1,1]",), "names a seed twice"),
        ({"a": []}, ("sweep.seeds=[]",), "at least one of each"),
        ({"a": []}, ("sweep.experiment=nano_claim",), "is itself a sweep"),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused_before_it_runs(
    tmp_path: Path, variants: dict[str, list[str]], overrides: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        sweep(tmp_path, variants, *overrides)


@pytest.mark.parametrize("experiment", [name for name in list_experiments() if is_sweep(name)])
def test_every_variant_of_a_shipped_sweep_can_be_run(experiment: str) -> None:
    found = read_sweep(load_config([f"experiment={experiment}"]))
    assert found.baseline in found.variants
    assert all(part.arms for part in found.parts)


def test_the_ablations_share_one_cold_start_per_seed_on_images_of_their_own() -> None:
    found = read_sweep(load_config(["experiment=nano_ablations"]))
    assert {config.data.seed for config in found.variants.values()} == {7}
    assert [part.arms for part in found.parts if part.name == "shared"] == [("sft",)] * 3
    assert all(part.arms == ("sft_rl",) and "sft" in part.handed for part in found.parts if part.name != "shared")


def test_a_finished_run_counts_only_under_the_settings_it_was_made_with(tmp_path: Path) -> None:
    given = ("experiment=smoke", "sft.steps=4")
    run = Part(name="clean", variant="clean", seed=0, folder=tmp_path, arms=("sft",), overrides=given)
    assert not is_done(run)
    (tmp_path / "results.json").write_text("{}")
    made = compose(ExperimentConfig, ["experiment=smoke", "sft.steps=4", "seed=3", "arms=[sft,direct]"])
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    assert is_done(run)
    assert not is_done(replace(run, arms=("sft", "sft_rl"))), "an arm is missing"
    with pytest.raises(UserError, match=r"sft\.steps was 4 and is 5"):
        is_done(replace(run, overrides=("experiment=smoke", "sft.steps=5")))


def test_a_stage_is_handed_over_whole_and_once(tmp_path: Path) -> None:
    part = sweep(tmp_path, OBJECTIVES).parts[3]
    stage = part.handed["sft"] / "checkpoints" / "sft"
    (stage / "policy").mkdir(parents=True)
    for name in ("done.json", "settings.json", "last.ckpt", "policy/model.safetensors"):
        (stage / name).write_text(name)
    hand_over(part)
    target = part.folder / "checkpoints" / "sft"
    assert {path.name for path in target.rglob("*") if path.is_file()} == {
        *("done.json", "settings.json", "model.safetensors"),
    }, "checkpoints within the stage are of no use any more"
    assert compose(ExperimentConfig, [f"experiment={part.folder / 'config.yaml'}"]).rl.objective == "gspo"
    (target / "done.json").write_text("mine")
    hand_over(part)
    assert (target / "done.json").read_text() == "mine", "what a run has is not replaced"


# ------------------------------------------------------------------------------------------------------- the results


def test_accuracy_is_pooled_over_seeds_on_the_questions_that_need_a_look(tmp_path: Path) -> None:
    results = played(sweep(tmp_path, TEACHERS))
    score = results.score("sft_rl / faulty", "phantom", "greedy")
    assert score is not None
    assert (score.n, score.accuracy) == (8, 4 / 8)  # 1 of 4 at seed 0, 3 of 4 at seed 1
    assert score.per_seed == {"0": 0.25, "1": 0.75}
    assert score.ci95[0] <= 0.25, "one seed of two may be drawn twice"
    assert set(results.arms) == {"direct", "sft / clean", "sft_rl / clean", "sft / faulty", "sft_rl / faulty"}


def test_each_variant_is_compared_with_the_baseline_arm_by_arm(tmp_path: Path) -> None:
    results = played(sweep(tmp_path, TEACHERS))
    assert [(c.arm, c.baseline) for c in results.comparisons] == [
        ("sft_rl / faulty", "sft_rl / clean"),
        ("sft / faulty", "sft / clean"),
    ]
    assert compared(results, "sft_rl / faulty", "sft_rl / clean").difference == pytest.approx((1 + 3 - 8) / 8)


def test_another_variant_may_be_the_baseline(tmp_path: Path) -> None:
    results = played(sweep(tmp_path, TEACHERS, "sweep.baseline=faulty"))
    assert compared(results, "sft_rl / clean", "sft_rl / faulty").difference == pytest.approx(4 / 8)


def test_arms_are_compared_in_pairs_of_one_variant_over_all_seeds(tmp_path: Path) -> None:
    results = played(sweep(tmp_path, TEACHERS, "sweep.compare=arms"))
    assert compared(results, "sft_rl / clean", "sft / clean").difference == pytest.approx((2 + 1) / 8)
    assert compared(results, "sft_rl / faulty", "sft / faulty").difference == pytest.approx((1 + 2) / 8)
    assert compared(results, "sft_rl / faulty", "direct").difference == pytest.approx((4 - 2) / 8)
    gap = compared(results, "sft_rl / clean", "sft / clean")
    # At seed 1 nothing is gained on the first image; elsewhere it is one of two questions.
    assert 0 <= gap.ci95[0] <= gap.difference <= gap.ci95[1] <= 0.5
    assert gap.n == 8
    assert gap.families == ("attribute", "yes_no")


def test_the_table_shows_every_seed_and_fits_a_terminal(tmp_path: Path) -> None:
    results = played(sweep(tmp_path, TEACHERS))
    table, of_sft = terminal_tables(results)
    assert table.width <= 100
    assert table.header[:6] == ("variant", "accuracy", "against baseline", "p", "seed 0", "seed 1")
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["direct", "clean (baseline)", "faulty"]
    assert rows["faulty"][4:6] == ("25.0", "75.0")
    assert rows["faulty"][2].startswith("−50.0 [")
    assert rows["clean (baseline)"][2:4] == ("–", "–")
    assert "sft: accuracy of each variant" in of_sft.title


def test_runs_that_were_asked_other_questions_are_not_paired(tmp_path: Path) -> None:
    found = sweep(tmp_path, TEACHERS)
    played(found)
    path = found.parts[-1].folder / "outcomes.json"
    kept = read_outcomes(path)
    write_outcomes(path, {key: replace(value, ids=list("uvwxyz")) for key, value in kept.items()})
    with pytest.raises(UserError, match="other questions of phantom"):
        pooled_results(found)


def test_outcomes_survive_the_disk(tmp_path: Path) -> None:
    kept = {EpisodeSet("phantom", "sft", "greedy"): outcomes(1, 0, 1, 0, 1, 0)}
    write_outcomes(tmp_path / "outcomes.json", kept)
    assert read_outcomes(tmp_path / "outcomes.json") == kept


def test_only_questions_of_the_families_asked_for_are_kept() -> None:
    kept = outcomes(1, 0, 1, 0, 1, 0).restricted({"side"})
    assert (kept.ids, kept.groups, kept.correct) == (["c", "f"], ["1", "2"], [True, False])


# ------------------------------------------------------------------------------------------------------- a whole sweep


@pytest.fixture(scope="module")
def whole(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep over two objectives and two seeds that has ended."""
    folder = tmp_path_factory.mktemp("sweep") / "run"
    given = [*tiny, "rl.objective=grpo,gspo", "seed=0,1", "arms=[sft,sft_rl]", "evaluation.modes=[greedy]"]
    assert main(["--sweep", *given, f"output_dir={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_a_variant_of_a_sweep_is_trained_as_a_run_on_its_own(whole: Path, tiny: list[str], tmp_path: Path) -> None:
    alone = ["rl.objective=gspo", "seed=1", "arms=[sft,sft_rl]", "evaluation.modes=[greedy]"]
    assert main([*tiny, *alone, f"output_dir={tmp_path / 'alone'}"]) == 0
    for stage in ("sft", "sft_rl"):
        weights = Path("checkpoints") / stage / "policy" / "model.safetensors"
        swept, own = (load_file(run / weights) for run in (whole / "gspo" / "seed-1", tmp_path / "alone"))
        assert all((swept[name] == own[name]).all() for name in own), stage
    other = load_file(whole / "grpo" / "seed-1" / weights)
    assert any((other[name] != own[name]).any() for name in own), "the objective makes a difference"


@pytest.mark.slow
def test_a_sweep_pools_what_its_runs_have_played_and_shows_it(whole: Path) -> None:
    written = read_results(whole / "results.json")
    assert set(written.arms) == {"sft", "sft_rl / grpo", "sft_rl / gspo"}
    pooled = written.arms["sft_rl / gspo"]["phantom"]["greedy"]
    folders = [whole / "gspo" / f"seed-{seed}" for seed in (0, 1)]
    files = [EpisodeSet("phantom", "sft_rl", "greedy").path(folder) for folder in folders]
    played = [episode for file in files for episode in read_trajectories(file)]
    looks = [episode for episode in played if episode.sample.metadata["family"] in ("attribute", "yes_no")]
    assert pooled.n == len(looks) == 2 * 2 * 2  # seeds, families, images
    assert pooled.tokens_mean == pytest.approx(sum(sum(episode.stream.loss_mask) for episode in looks) / pooled.n)
    assert [(test.arm, test.baseline) for test in written.comparisons] == [("sft_rl / gspo", "sft_rl / grpo")]
    page = (whole / "report.html").read_text()
    assert "accuracy of each variant" in page
    assert "<svg" in page
    assert (whole / "tables" / "variants-phantom-greedy-sft_rl.csv").is_file()


@pytest.mark.slow
def test_a_sweep_that_goes_on_makes_nothing_again(whole: Path, tiny: list[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("*/*/results.json")}
    assert len(before) == 6
    given = [*tiny, "rl.objective=grpo,gspo", "seed=0,1", "arms=[sft,sft_rl]", "evaluation.modes=[greedy]"]
    assert main(["--sweep", *given, f"output_dir={whole}", "resume=true"]) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.glob("*/*/results.json")} == before
    assert main(["--sweep", *given, f"output_dir={whole}", "resume=true", "rl.updates=5"]) == 2
