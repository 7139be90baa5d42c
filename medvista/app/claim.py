"""A claim over seeds and teachers: independent runs, then one table with intervals over seeds and images."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from medvista.app.arms import ARMS, families_that_need_a_look
from medvista.app.config.composition import compose
from medvista.app.config.schema import ClaimConfig, ExperimentConfig
from medvista.app.evaluating.ending import print_ending
from medvista.app.evaluating.outcomes import Outcomes, read_outcomes
from medvista.app.evaluating.reporting import learning_curves, notes
from medvista.app.progress import Progress, Work
from medvista.app.run_folder import prepare_folder
from medvista.app.stage_settings import differences, run_settings
from medvista.data.phantom_vqa import BENCHMARK, CHANCE
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.arm_scores import tool_use
from medvista.evaluation.numbers.holm import holm_corrected
from medvista.evaluation.numbers.results import ArmScore, Comparison, Mode, Results
from medvista.evaluation.numbers.results_file import write_results
from medvista.evaluation.page.episode_choice import pick_episodes
from medvista.evaluation.page.report import write_report
from medvista.evaluation.playing.episode_set import EpisodeSet
from medvista.functional.statistics import (
    bootstrap_ci,
    hierarchical_bootstrap_difference,
    paired_permutation_test,
)
from medvista.types import Trajectory

_OF_THE_CLAIM = ("experiment=", "output_dir=", "cache_dir=", "arms=", "seed=", "resume=", "claim=", "claim.")
_EQUAL_BUDGET = ("sft_longer", "sft_rejection", "direct_rl")  # what RL has to be better than, so compared first
_WITHOUT_TEACHER = ("direct", "direct_rl", "tools_untrained")  # the same for every teacher, so run once a seed


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run of the claim."""

    teacher: str
    seed: int
    folder: Path
    arms: tuple[str, ...]
    overrides: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """What a person would type to get the same run."""
        own = [f"seed={self.seed}", f"output_dir={self.folder}", f"arms=[{','.join(self.arms)}]", "resume=true"]
        return [sys.executable, "-m", "medvista.app.commands.run", *self.overrides, *own]


def run_claim(config: ExperimentConfig) -> None:
    """Runs what is missing, `workers` runs at a time, then compares arms over all of them."""
    assert config.claim is not None
    prepare_folder(config)
    parts = list(claim_parts(config, config.claim))
    missing = [part for part in parts if not is_done(part)]
    start = time.perf_counter()
    progress = Progress([Work(name="runs", units=len(parts), unit="run")])
    with (
        closing(progress),
        ThreadPoolExecutor(config.claim.workers) as pool,
        progress.stage("runs", len(parts), "run") as shown,
    ):
        shown.resumed_at(len(parts) - len(missing))
        for _ in pool.map(_run_part, missing):
            shown.reach(shown.done + 1)
    results = with_tool_use(claim_results(config, parts), config, parts)
    write_results(config.output_dir / "results.json", replace(results, timing={"total_s": time.perf_counter() - start}))
    write_report(
        config.output_dir / "report.html",
        results,
        dict(_curves_of_first_seed(parts)),
        dict(_episodes_of_first_seed(config, parts)),
        notes=(*notes(config), "Curves and episodes are those of the first seed; every run has a report of its own."),
    )
    print_ending(config, results)


def _curves_of_first_seed(parts: Sequence[Part]) -> Iterator[tuple[str, Mapping[str, Sequence[tuple[int, float]]]]]:
    for part in (part for part in parts if part.seed == parts[0].seed):
        for stage, metrics in learning_curves(part.folder).items():
            yield f"{stage} / {part.teacher}", metrics


def _episodes_of_first_seed(config: ExperimentConfig, parts: Sequence[Part]) -> Iterator[tuple[str, list[Trajectory]]]:
    mode = cast(Mode, config.evaluation.modes[0])
    for part in (part for part in parts if part.seed == parts[0].seed):
        for arm in part.arms:
            path = EpisodeSet(BENCHMARK, arm, mode).path(part.folder)
            yield _name(arm, part.teacher), pick_episodes(read_trajectories(path))


def claim_parts(config: ExperimentConfig, claim: ClaimConfig) -> Iterator[Part]:
    """One run per seed and teacher; arms that no teacher touches run with the first teacher only.

    What the command line overrides holds for every run, whatever its teacher says.
    """
    forwarded = [given for given in config.overrides if not given.startswith(_OF_THE_CLAIM)]
    for seed in claim.seeds:
        for index, (teacher, overrides) in enumerate(claim.teachers.items()):
            arms = [arm for arm in config.arms if index == 0 or arm not in _WITHOUT_TEACHER]
            yield Part(
                teacher=teacher,
                seed=seed,
                folder=config.output_dir / teacher / f"seed-{seed}",
                arms=tuple(arms),
                overrides=(f"experiment={claim.experiment}", f"cache_dir={config.cache_dir}", *overrides, *forwarded),
            )


def is_done(part: Part) -> bool:
    """Whether the run has ended, under the settings that it would have now.

    Raises:
        UserError: it was made with other settings, which are named; more arms are no other settings.
    """
    if not (part.folder / "results.json").exists():
        return False
    written = f"experiment={part.folder / 'config.yaml'}"
    before, now = (run_settings(compose(ExperimentConfig, given)) for given in ([written], part.overrides))
    if differs := differences(before, now):
        raise UserError(
            f"the run of teacher {part.teacher}, seed {part.seed} in {part.folder} was made with other settings: "
            f"{'; '.join(differs)}. Give the same ones, or another output_dir."
        )
    return set(compose(ExperimentConfig, [written]).arms) >= set(part.arms)


def _run_part(part: Part) -> None:
    part.folder.mkdir(parents=True, exist_ok=True)
    with (part.folder / "log.txt").open("a") as log:
        done = subprocess.run(part.command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise UserError(
            f"the run of teacher {part.teacher}, seed {part.seed} stopped with code {done.returncode}; "
            f"see {part.folder / 'log.txt'}, mend it and go on with resume=true."
        )


def claim_results(config: ExperimentConfig, parts: Sequence[Part]) -> Results:
    """Pools the questions that need a look over seeds; arms are named ``<arm> / <teacher>``."""
    claim = config.claim
    assert claim is not None
    outcomes: dict[tuple[str, str, str], list[Outcomes]] = {
        (part.teacher, arm, mode): [] for part in parts for arm in part.arms for mode in config.evaluation.modes
    }
    looks = families_that_need_a_look(config.data.families)
    for part in parts:
        read = read_outcomes(part.folder / "outcomes.json")
        for arm in part.arms:
            for mode in config.evaluation.modes:
                outcomes[part.teacher, arm, mode].append(
                    read[EpisodeSet(BENCHMARK, arm, cast(Mode, mode))].restricted(looks)
                )
    arms: dict[str, dict[str, dict[str, ArmScore]]] = {}
    for (teacher, arm, mode), runs in outcomes.items():
        arms.setdefault(_name(arm, teacher), {}).setdefault(BENCHMARK, {})[mode] = _pooled(runs, claim.seeds)
    return Results(
        experiment=config.experiment,
        seeds=tuple(claim.seeds),
        arms=arms,
        comparisons=_comparisons(config, claim, outcomes),
        chance={BENCHMARK: {"all": float(np.mean([CHANCE[family] for family in looks]))}},
        descriptions={_name(arm, t): ARMS[arm].description for t, arm, _ in outcomes},
    )


def _name(arm: str, teacher: str) -> str:
    return arm if arm in _WITHOUT_TEACHER else f"{arm} / {teacher}"


def _pooled(runs: Sequence[Outcomes], seeds: Sequence[int]) -> ArmScore:
    correct_SN = np.array([run.correct for run in runs], dtype=float)
    # Questions about one image, whatever the seed, stand or fall together.
    interval = bootstrap_ci(correct_SN.ravel(), list(runs[0].groups) * len(runs))
    return ArmScore(
        n=correct_SN.size,
        accuracy=float(correct_SN.mean()),
        ci95=(interval.low, interval.high),
        per_seed={str(seed): float(row.mean()) for seed, row in zip(seeds, correct_SN, strict=True)},
    )


def with_tool_use(results: Results, config: ExperimentConfig, parts: Sequence[Part]) -> Results:
    """Adds how each arm used its tools, on the questions that accuracy is pooled over."""
    looks = families_that_need_a_look(config.data.families)
    played: dict[str, dict[str, list[Path]]] = {}
    for part in parts:
        for arm in part.arms:
            for mode in config.evaluation.modes:
                path = EpisodeSet(BENCHMARK, arm, cast(Mode, mode)).path(part.folder)
                played.setdefault(_name(arm, part.teacher), {}).setdefault(mode, []).append(path)
    arms = {
        arm: {BENCHMARK: {mode: replace(score, **_use(played[arm][mode], looks)) for mode, score in modes.items()}}
        for arm, benchmarks in results.arms.items()
        for modes in benchmarks.values()
    }
    return replace(results, arms=arms)


def _use(paths: Sequence[Path], looks: Sequence[str]) -> dict[str, Any]:
    episodes = (episode for path in paths for episode in read_trajectories(path, pixels=False))
    return tool_use(episode for episode in episodes if episode.sample.metadata["family"] in looks)


def _rank(arm: str) -> int:
    return _EQUAL_BUDGET.index(arm) if arm in _EQUAL_BUDGET else len(_EQUAL_BUDGET)


def _comparisons(
    config: ExperimentConfig, claim: ClaimConfig, outcomes: dict[tuple[str, str, str], list[Outcomes]]
) -> list[Comparison]:
    """``sft_rl`` against each other arm, paired by seed and question."""
    first, looks = next(iter(claim.teachers)), families_that_need_a_look(config.data.families)
    found = []
    for mode in config.evaluation.modes:
        for arm in sorted((a for a in config.arms if a != "sft_rl"), key=_rank):
            for teacher in claim.teachers:
                ours = outcomes[teacher, "sft_rl", mode]
                theirs = outcomes[first if arm in _WITHOUT_TEACHER else teacher, arm, mode]
                found.append(_comparison(ours, theirs, (teacher, arm, mode), looks))
    return holm_corrected(found)


def _comparison(
    ours: Sequence[Outcomes], theirs: Sequence[Outcomes], names: tuple[str, str, str], looks: tuple[str, ...]
) -> Comparison:
    teacher, arm, mode = names
    a_SN, b_SN = (np.array([run.correct for run in runs], dtype=float) for runs in (ours, theirs))
    groups = ours[0].groups
    gap = hierarchical_bootstrap_difference(a_SN, b_SN, groups)
    return Comparison(
        benchmark=BENCHMARK,
        arm=_name("sft_rl", teacher),
        baseline=_name(arm, teacher),
        mode=cast(Mode, mode),
        difference=gap.difference,
        ci95=(gap.low, gap.high),
        p_value=paired_permutation_test(a_SN.ravel(), b_SN.ravel(), list(groups) * len(a_SN)),
        n=a_SN.size,
        test="clustered_permutation",
        families=looks,
    )
