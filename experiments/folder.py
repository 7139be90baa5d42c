"""Before a run: what the schema cannot know about its configuration, and the folder it writes."""

from __future__ import annotations

import sys
from datetime import datetime

from experiments.arms import ARMS
from experiments.composition import to_yaml
from experiments.config import ExperimentConfig
from experiments.schema import nearest
from medvista.errors import UserError

_MODES = ("greedy", "sampled")


def check(config: ExperimentConfig) -> None:
    """Finds mistakes in a moment, before anything is loaded.

    Raises:
        UserError: an unknown arm or mode, or demonstrations that are not there.
    """
    for arm in config.arms:
        if arm not in ARMS:
            raise UserError(
                f"arms has no '{arm}': did you mean '{nearest(arm, list(ARMS))}'? The arms are {', '.join(ARMS)}."
            )
    for mode in config.evaluation.modes:
        if mode not in _MODES:
            raise UserError(f"evaluation.modes has no '{mode}': use greedy, sampled or both.")
    if not config.arms or not config.evaluation.modes:
        raise UserError("there is nothing to compare: give arms and evaluation.modes at least one name each.")
    for name, sft in (("direct", config.direct), ("sft", config.sft)):
        if sft.path is not None and not sft.path.is_file():
            raise UserError(f"{name}.path={sft.path}: there is no such file; give a JSONL file of demonstrations.")


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
