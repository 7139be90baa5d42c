"""The flow of a sweep: run what is missing, pool what the runs have left, compare, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import cast

from medvista.app.config.composition import plain
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.ending import print_ending
from medvista.app.evaluating.outcomes import read_outcomes
from medvista.app.evaluating.reporting import learning_curves, notes
from medvista.app.processes import evaluation_device
from medvista.app.progress import Progress, Work
from medvista.app.provenance import environment
from medvista.app.run_folder import prepare_folder
from medvista.app.sweep.launch import Failures, Reached, run_locally
from medvista.app.sweep.parts import SHARED, Part, Sweep, is_done, read_sweep
from medvista.app.sweep.pooling import arms_by_name, pooled_results
from medvista.app.sweep.slurm import run_on_slurm
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.results import Mode
from medvista.evaluation.numbers.results_file import write_results
from medvista.evaluation.page.episode_choice import pick_episodes
from medvista.evaluation.page.report import write_report
from medvista.types import Trajectory

_FIRST_SEED = "Curves and episodes are those of the first seed; every run has a report of its own."
_NAMED = 3  # runs that stopped, which a sentence names


def run_sweep(config: ExperimentConfig) -> None:
    """Runs what is missing, `sweep.workers` runs at a time, then compares variants and arms over all of them.

    Raises:
        UserError: a variant is wrong, or a run has stopped; the others have then ended all the same.
    """
    sweep = read_sweep(config)
    prepare_folder(config)
    done = [part for part in sweep.parts if is_done(part)]
    start = time.perf_counter()
    progress = Progress([Work(name="runs", units=len(sweep.parts), unit="run")])
    with closing(progress), progress.stage("runs", len(sweep.parts), "run") as shown:
        shown.resumed_at(len(done))
        stopped = _launch(sweep, done, lambda: shown.reach(shown.done + 1))
    _refuse_failures(stopped, len(sweep.parts))
    _report(sweep, seconds=time.perf_counter() - start)


def _launch(sweep: Sweep, done: Sequence[Part], reached: Reached) -> Failures:
    if sweep.settings.launcher == "slurm":
        return run_on_slurm(sweep.parts, done, sweep.config, reached)
    return run_locally(sweep.parts, done, sweep.settings.workers, reached)


def _refuse_failures(stopped: Failures, runs: int) -> None:
    if stopped:
        told = "; ".join(f"{part}: {problem}" for part, problem in stopped[:_NAMED])
        more = f"; and {len(stopped) - _NAMED} more" if len(stopped) > _NAMED else ""
        raise UserError(
            f"{len(stopped)} of {runs} runs of the sweep did not end ({told}{more}): mend that, and the same command "
            "with resume=true goes on."
        )


def _report(sweep: Sweep, seconds: float) -> None:
    config = sweep.config
    results = replace(
        pooled_results(sweep),
        timing={"total_s": seconds},
        config=plain(config),
        overrides=tuple(config.overrides),
        environment=environment(str(evaluation_device(config.trainer))),
    )
    write_results(config.output_dir / "results.json", results)
    write_report(
        config.output_dir / "report.html",
        results,
        dict(_curves_of_first_seed(sweep)),
        dict(_episodes_of_first_seed(sweep)),
        notes=(*notes(config), _FIRST_SEED),
    )
    print_ending(config, results)


def _curves_of_first_seed(sweep: Sweep) -> Iterator[tuple[str, Mapping[str, Sequence[tuple[int, float]]]]]:
    """The curves of each stage that a run has trained itself."""
    for part in (part for part in sweep.parts if part.seed == sweep.settings.seeds[0]):
        for stage, metrics in learning_curves(part.folder).items():
            if stage not in part.handed:
                yield stage if part.name == SHARED else f"{stage} / {part.name}", metrics


def _episodes_of_first_seed(sweep: Sweep) -> Iterator[tuple[str, list[Trajectory]]]:
    mode, seed = cast(Mode, sweep.config.evaluation.modes[0]), sweep.settings.seeds[0]
    for name, arm, variant in arms_by_name(sweep):
        folder = sweep.part_of(arm, variant, seed).folder
        outcomes = read_outcomes(folder / "outcomes.json")
        played = next(found for found in outcomes if (found.arm, found.mode) == (arm, mode))
        yield name, pick_episodes(read_trajectories(played.path(folder)))
