"""Before a run: what the schema cannot know about its configuration, and the folder it writes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from medvista.app.arms import ARMS, CHANGES, EVALUATED
from medvista.app.config.composition import to_yaml
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.suggestions import nearest
from medvista.errors import UserError

_MODES = ("greedy", "sampled")


def check(config: ExperimentConfig) -> None:
    """Finds mistakes in a moment, before anything is loaded.

    Raises:
        UserError: an unknown arm, mode or counterfactual, demonstrations that are not there, nothing to evaluate.
    """
    _check_names("arms", config.arms, ARMS)
    _check_names("evaluation.arms", config.evaluation.arms, EVALUATED)
    _check_names("evaluation.counterfactuals", config.evaluation.counterfactuals, CHANGES)
    for mode in config.evaluation.modes:
        if mode not in _MODES:
            raise UserError(f"evaluation.modes has no '{mode}': use greedy, sampled or both.")
    if not config.arms or not config.evaluation.modes:
        raise UserError("there is nothing to compare: give arms and evaluation.modes at least one name each.")
    for name, sft in (("direct", config.direct), ("sft", config.sft)):
        if sft.path is not None and not sft.path.is_file():
            raise UserError(f"{name}.path={sft.path}: there is no such file; give a JSONL file of demonstrations.")
    if config.task == "evaluate":
        _check_evaluation(config)


def _check_names(key: str, names: Sequence[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(
                f"{key} has no '{name}': did you mean '{nearest(name, list(known))}'? There are {', '.join(known)}."
            )


def _check_evaluation(config: ExperimentConfig) -> None:
    if not config.benchmarks:
        raise UserError("task=evaluate asks nothing: give benchmarks=[...], such as [slake,vqa_rad].")
    if (config.policy.path is None) == (config.policy.endpoint is None):
        raise UserError("task=evaluate needs one model: give policy.path=... or policy.endpoint.model=...")
    if not config.evaluation.arms:
        raise UserError("there is nothing to compare: give evaluation.arms at least one name.")


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
