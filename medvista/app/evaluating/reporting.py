"""What a run shows a person at its end: the report, and what it says in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.ending import print_ending
from medvista.app.evaluating.playing import Episodes
from medvista.data.metrics_table import read_metrics
from medvista.data.trajectories import read_trajectories
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.episode_choice import pick_episodes
from medvista.evaluation.page.report import write_report
from medvista.types import Trajectory

Curves = dict[str, dict[str, list[tuple[int, float]]]]  # stage -> metric -> (step, value)

_PRETRAINED = (
    "The base model was pre-trained on single phantom views, without episodes or tools: its vision tower on a label "
    "for every visual token, then all of it on captions (where the nodule is, its kind on a crop, whether that is the "
    "kind a prompt names, the material of the mass). It has learned to see, not to act. Every arm starts from it."
)
_TESTED_ONCE = "The test split was evaluated once, after all training; validation episodes are other images."


def report(config: ExperimentConfig, results: Results, episodes: Episodes, more_notes: Sequence[str] = ()) -> None:
    """Writes ``report.html`` and prints what was found.

    Args:
        config: of the run.
        results: what ``results.json`` holds.
        episodes: of every arm, from which some are picked to be read.
        more_notes: what else a reader of the numbers must know; printed, too.
    """
    shown: dict[str, list[Trajectory]] = {}
    for played, trajectories in episodes.items():
        if played.mode == config.evaluation.modes[0]:
            picked = [trajectory.sample.id for trajectory in pick_episodes(trajectories)]
            path = played.path(config.output_dir)
            seen = {trajectory.sample.id: trajectory for trajectory in read_trajectories(path, ids=set(picked))}
            shown.setdefault(played.arm, []).extend(seen[sample_id] for sample_id in picked)
    page = config.output_dir / "report.html"
    write_report(page, results, learning_curves(config.output_dir), shown, (*notes(config), *more_notes))
    changed = [notice.line() for notice in results.notices]
    print_ending(config, results, (*results.warnings, *changed, *more_notes))


def notes(config: ExperimentConfig) -> tuple[str, ...]:
    """What a reader of the numbers must know."""
    if config.task == "evaluate":
        return ()
    pretrained = config.policy.path is None and (config.pretrain.steps or config.pretrain.caption_steps)
    return (_PRETRAINED, _TESTED_ONCE) if pretrained else (_TESTED_ONCE,)


def learning_curves(run: Path) -> Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]:
    """What the stages logged, by stage and metric.

    Raises:
        UserError: a table is damaged.
    """
    curves: Curves = {}
    for path in sorted((run / "checkpoints").glob("**/logs/metrics.csv")):
        metrics: dict[str, list[tuple[int, float]]] = {}
        for row in read_metrics(path):
            for name, value in row.items():
                if name not in ("step", "epoch"):
                    metrics.setdefault(name, []).append((int(row["step"]), float(value)))
        curves[str(path.parent.parent.relative_to(run / "checkpoints"))] = metrics
    return curves
