"""One experiment, from data to report: ``python -m experiments.run [experiment=NAME] [key=value ...]``."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from experiments import cli
from experiments.composition import to_yaml
from experiments.config import ExperimentConfig
from medvista.errors import UserError


def run(config: ExperimentConfig) -> None:
    """Run an experiment; everything it leaves behind is under ``config.output_dir``."""
    check(config)
    prepare_folder(config)
    if config.claim is not None:
        from experiments.claim import run_claim  # noqa: PLC0415 - it starts runs of this module

        run_claim(config)
        return
    run_arms(config)


def run_arms(config: ExperimentConfig) -> None:
    """Train what the arms need, evaluate them once on test, and report."""
    # Imported here, since they take seconds that --help and an unknown key should not cost.
    import lightning  # noqa: PLC0415

    from experiments.base import base_policy  # noqa: PLC0415
    from experiments.build import Parts, quiet_libraries  # noqa: PLC0415
    from experiments.evaluate import ARMS, make_results, play_arms  # noqa: PLC0415
    from experiments.outcomes import Outcomes, write_outcomes  # noqa: PLC0415
    from experiments.stages import Stages  # noqa: PLC0415
    from medvista.evaluation.results import write_results  # noqa: PLC0415
    from medvista.evaluation.tables import format_arms_table, format_comparisons_table  # noqa: PLC0415

    start = time.perf_counter()
    quiet_libraries(config.trainer.threads)
    lightning.seed_everything(config.seed, verbose=False)
    parts = Parts(config)
    stages = Stages(parts, base=lambda: base_policy(parts))
    stages.policy("base")
    timing = {"base_s": time.perf_counter() - start}
    for arm in config.arms:
        if (stage := ARMS[arm].stage) is not None:
            stages.ensure(stage)
    timing |= {f"{_TIMING_NAMES.get(name, name)}_s": record.seconds for name, record in stages.records.items()}
    began = time.perf_counter()
    episodes = play_arms(parts, stages)
    timing |= {"eval_s": time.perf_counter() - began, "total_s": time.perf_counter() - start}
    outcomes = {(benchmark, arm, mode): Outcomes.of(played) for (arm, benchmark, mode), played in episodes.items()}
    write_outcomes(config.output_dir / "outcomes.json", outcomes)
    results = make_results(parts, episodes, timing, stages)
    write_results(config.output_dir / "results.json", results)
    report = _report(config, results, episodes)
    print(f"\n{format_arms_table(results)}\n\n{format_comparisons_table(results)}")
    print(f"\n{config.output_dir / 'results.json'}   numbers\n{report}   open it in a browser")


_TIMING_NAMES = {"sft_rl": "rl"}


def _report(config: ExperimentConfig, results, episodes) -> Path:  # type: ignore[no-untyped-def]
    from medvista.evaluation.report import write_report  # noqa: PLC0415

    shown = {
        arm: pick_episodes(trajectories)
        for (arm, _, mode), trajectories in episodes.items()
        if mode == config.evaluation.modes[0]
    }
    path = config.output_dir / "report.html"
    write_report(path, results, learning_curves(config.output_dir), shown, NOTES)
    return path


NOTES = (
    "The nano model's vision tower was pre-trained on phantom views with a label for every visual token "
    "(which token holds a nodule and where, its kind on a crop, the material of the mass): it has learned to see, "
    "not to act. Every arm starts from it.",
    "The test split was evaluated once, after all training; validation episodes are other images.",
)


def pick_episodes(trajectories: Sequence, count: int = 6) -> list:  # type: ignore[type-arg]
    """Some right and some wrong episodes, the first of each family."""
    from medvista.functional.episodes import correct  # noqa: PLC0415

    picked: list = []  # type: ignore[type-arg]
    for right in (True, False):
        seen: dict[str, int] = {}
        for trajectory in trajectories:
            family = str(trajectory.sample.metadata.get("family", ""))
            if correct(trajectory) is right and seen.get(family, 0) < 1 and sum(seen.values()) < count:
                seen[family] = seen.get(family, 0) + 1
                picked.append(trajectory)
    return picked


def learning_curves(run: Path) -> dict[str, Mapping[str, list[tuple[int, float]]]]:
    """What Lightning's CSV logger wrote, by stage and metric."""
    curves: dict[str, Mapping[str, list[tuple[int, float]]]] = {}
    for path in sorted((run / "checkpoints").glob("**/logs/metrics.csv")):
        metrics: dict[str, list[tuple[int, float]]] = {}
        with path.open() as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if value and name not in ("step", "epoch"):
                        metrics.setdefault(name, []).append((int(row["step"]), float(value)))
        curves[str(path.parent.parent.relative_to(run / "checkpoints"))] = metrics
    return curves


def check(config: ExperimentConfig) -> None:
    """Finds what the schema cannot, before anything is spent."""
    from experiments.schema import nearest  # noqa: PLC0415

    known = (
        "direct", "direct_rl", "tools_untrained", "tools_random", "sft",
        "sft_longer", "sft_rejection", "sft_rl", "sft_rl_random", "oracle_crop", "majority", "lookup", "blind",
    )  # fmt: skip
    for arm in config.arms:
        if arm not in known:
            raise UserError(f"arms has no '{arm}': did you mean '{nearest(arm, known)}'? The arms are {', '.join(known)}.")
    for mode in config.evaluation.modes:
        if mode not in ("greedy", "sampled"):
            raise UserError(f"evaluation.modes has no '{mode}': use greedy, sampled or both.")


def prepare_folder(config: ExperimentConfig) -> None:
    """Writes the configuration; an earlier run in the same folder is moved aside, not overwritten."""
    run = config.output_dir
    if run.exists() and not config.resume and any(run.iterdir()):
        stamp = datetime.fromtimestamp(run.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
        aside = run.with_name(f"{run.name}-{stamp}")
        run.rename(aside)
        print(f"{run} held a run, now in {aside}; resume=true would have gone on with it.", file=sys.stderr)
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(to_yaml(config))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return cli.main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
