"""The runs of a sweep -> one set of results: arms pooled over seeds, variants or arms compared in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from medvista.app.arms import ARMS, families_that_need_a_look
from medvista.app.evaluating.outcomes import Outcomes, read_outcomes
from medvista.app.sweep.parts import Sweep
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.phantom_vqa import CHANCE
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.arm_scores import tool_use
from medvista.evaluation.numbers.holm import holm_corrected
from medvista.evaluation.numbers.results import ArmScore, Comparison, Mode, Results
from medvista.functional.statistics import (
    hierarchical_bootstrap_difference,
    hierarchical_bootstrap_mean,
    paired_permutation_test,
)

_MAIN = "sft_rl"  # the arm that the others are there to judge
_EQUAL_BUDGET = ("sft_longer", "sft_rejection", "direct_rl")  # what RL has to be better than, so compared first


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """The outcomes of one arm on one benchmark in one mode, at every seed."""

    seeds: Sequence[int]
    runs: Sequence[Outcomes]  # one per seed, on the same questions
    files: Sequence[Path]  # the episodes, a file per seed

    @property
    def correct(self) -> np.ndarray:
        """1 where a question was answered right, ``[seeds, questions]``."""
        return np.array([run.correct for run in self.runs], dtype=float)

    @property
    def groups(self) -> Sequence[str]:
        """The image of each question."""
        return self.runs[0].groups


class Key(NamedTuple):
    """Where the results have a score."""

    name: str  # of the arm, in the results
    benchmark: str
    mode: Mode


AllPooled: TypeAlias = Mapping[Key, Pooled]


def pooled_results(sweep: Sweep) -> Results:
    """What the runs have left, as one: an arm that variants change is named ``<arm> / <variant>``."""
    looks = families_compared(sweep)
    outcomes = dict(pooled_outcomes(sweep, looks))
    _check_same_questions(outcomes)
    arms: dict[str, dict[str, dict[str, ArmScore]]] = {}
    for (name, benchmark, mode), pooled in outcomes.items():
        use = _tool_use(pooled, looks if benchmark == PHANTOM else None)
        arms.setdefault(name, {}).setdefault(benchmark, {})[mode] = replace(_score(pooled), **use)
    chance = {PHANTOM: {"all": float(np.mean([CHANCE[family] for family in looks]))}}
    return Results(
        experiment=sweep.config.experiment,
        seeds=tuple(sweep.settings.seeds),
        arms=arms,
        comparisons=holm_corrected(list(_comparisons(sweep, outcomes, looks))),
        chance={name: value for name, value in chance.items() if any(name == key.benchmark for key in outcomes)},
        descriptions={name: _description(sweep, arm, variant) for name, arm, variant in arms_by_name(sweep)},
    )


def arm_name(sweep: Sweep, arm: str, variant: str) -> str:
    """What the results call an arm of a variant: an arm that all variants share has no variant."""
    return arm if sweep.sharing.of_all(arm) else f"{arm} / {sweep.sharing.owner(arm, variant)}"


def arms_by_name(sweep: Sweep) -> Iterator[tuple[str, str, str]]:
    """Name in the results, arm and variant of every arm once, arms of one variant together."""
    seen = set()
    for variant in sweep.variants:
        for arm in sweep.config.arms:
            name = arm_name(sweep, arm, variant)
            if name not in seen:
                seen.add(name)
                yield name, arm, variant


def _description(sweep: Sweep, arm: str, variant: str) -> str:
    others = sweep.sharing.alike(arm, variant)[1:]
    same = f"; the same for {', '.join(others)}" if others and not sweep.sharing.of_all(arm) else ""
    return ARMS[arm].description + same


def families_compared(sweep: Sweep) -> tuple[str, ...]:
    """The families of phantom questions that accuracies are about: those that need a look, where any does."""
    asked = next(iter(sweep.variants.values())).data.families
    return families_that_need_a_look(asked) or tuple(asked)


def pooled_outcomes(sweep: Sweep, looks: Sequence[str]) -> Iterator[tuple[Key, Pooled]]:
    """What every arm got right; on phantoms, of the questions of the families given."""
    seeds = sweep.settings.seeds
    for name, arm, variant in arms_by_name(sweep):
        folders = [sweep.part_of(arm, variant, seed).folder for seed in seeds]
        runs = [read_outcomes(folder / "outcomes.json") for folder in folders]
        for played in (played for played in runs[0] if played.arm == arm):
            asked = [run[played] for run in runs]
            kept = [found.restricted(looks) for found in asked] if played.benchmark == PHANTOM else asked
            files = [played.path(folder) for folder in folders]
            yield Key(name, played.benchmark, played.mode), Pooled(seeds=seeds, runs=kept, files=files)


def _check_same_questions(outcomes: AllPooled) -> None:
    first: dict[str, Sequence[str]] = {}
    for (name, benchmark, _), pooled in outcomes.items():
        for run in pooled.runs:
            if first.setdefault(benchmark, run.ids) != run.ids:
                raise UserError(
                    f"the runs of {name} were asked other questions of {benchmark} than the first ones of the sweep: "
                    "differences cannot be paired; make them under the same data, in another output_dir."
                )


def _score(pooled: Pooled) -> ArmScore:
    correct_SN = pooled.correct
    interval = hierarchical_bootstrap_mean(correct_SN, pooled.groups)
    return ArmScore(
        n=correct_SN.size,
        accuracy=float(correct_SN.mean()),
        ci95=(interval.low, interval.high),
        per_seed={str(seed): float(row.mean()) for seed, row in zip(pooled.seeds, correct_SN, strict=True)},
    )


def _tool_use(pooled: Pooled, families: Sequence[str] | None) -> dict[str, Any]:
    """How the arm used its tools, on the questions that its accuracy is pooled over."""
    episodes = (episode for path in pooled.files for episode in read_trajectories(path, pixels=False))
    return tool_use(e for e in episodes if families is None or e.sample.metadata["family"] in families)


def _comparisons(sweep: Sweep, outcomes: AllPooled, looks: tuple[str, ...]) -> Iterator[Comparison]:
    """The pairs that `sweep.compare` names, where both were played on the same questions in the same mode."""
    modes = cast(Sequence[Mode], sweep.config.evaluation.modes)
    benchmarks = tuple(dict.fromkeys(benchmark for _, benchmark, _ in outcomes))
    pairs = _pairs_of_arms if sweep.settings.compare == "arms" else _pairs_of_variants
    for mode in modes:
        for ours, theirs in pairs(sweep):
            for benchmark in benchmarks:
                a, b = (outcomes.get(Key(name, benchmark, mode)) for name in (ours, theirs))
                if a is not None and b is not None:
                    families = looks if benchmark == PHANTOM else ()
                    test = _comparison(a, b)
                    yield replace(test, benchmark=benchmark, arm=ours, baseline=theirs, mode=mode, families=families)


def _pairs_of_arms(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """``sft_rl`` and each other arm, variant by variant."""
    if _MAIN in sweep.config.arms:
        for arm in sorted((arm for arm in sweep.config.arms if arm != _MAIN), key=_rank):
            for variant in sweep.variants:
                yield arm_name(sweep, _MAIN, variant), arm_name(sweep, arm, variant)


def _pairs_of_variants(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Each arm of a variant and the same arm of the baseline, where the variant changes it; the main arm first."""
    for arm in sorted(sweep.config.arms, key=lambda arm: arm != _MAIN):
        theirs = arm_name(sweep, arm, sweep.baseline)
        names = dict.fromkeys(arm_name(sweep, arm, variant) for variant in sweep.variants)
        yield from ((ours, theirs) for ours in names if ours != theirs)


def _rank(arm: str) -> int:
    return _EQUAL_BUDGET.index(arm) if arm in _EQUAL_BUDGET else len(_EQUAL_BUDGET)


def _comparison(ours: Pooled, theirs: Pooled) -> Comparison:
    """The paired test over seeds and questions; what was compared is filled in by the caller."""
    a_SN, b_SN = ours.correct, theirs.correct
    gap = hierarchical_bootstrap_difference(a_SN, b_SN, ours.groups)
    return Comparison(
        benchmark="",
        arm="",
        baseline="",
        mode="greedy",
        difference=gap.difference,
        ci95=(gap.low, gap.high),
        p_value=paired_permutation_test(a_SN.ravel(), b_SN.ravel(), list(ours.groups) * len(a_SN)),
        n=a_SN.size,
        test="clustered_permutation",
    )
