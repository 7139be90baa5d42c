"""Before a run: what the schema cannot know about its configuration, and the folder it writes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from medvista.app.arms import ARMS, CHANGES, EVALUATED
from medvista.app.config.composition import to_yaml
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.suggestions import nearest
from medvista.data.atomic import write_whole
from medvista.errors import UserError

_MODES = ("greedy", "sampled")
_LOGS, _LOG_NAMES = (".log", ".out", ".err"), ("log.txt", ".lock")


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
        if sft.file is not None and not sft.file.is_file():
            raise UserError(
                f"{name}.path={sft.path}: there is no such file; give a JSONL file of demonstrations, or a folder of "
                "task=collect."
            )
    if config.task == "evaluate":
        _check_evaluation(config)
    if config.task == "collect":
        _check_collection(config)


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


def _check_collection(config: ExperimentConfig) -> None:
    collect = config.collect
    if collect.teacher == "endpoint" and config.policy.endpoint is None:
        raise UserError("collect.teacher=endpoint needs a model to ask: give policy.endpoint.model=...")
    if collect.rationales and config.policy.endpoint is None:
        raise UserError("collect.rationales=true needs a model that writes: give policy.endpoint.model=...")
    if collect.look != "none" and not (config.env.tools or config.env.mcp_servers):
        raise UserError("without env.tools nobody can look: give some, or collect.look=none for direct answers.")
    if collect.look == "fork" and collect.teacher == "expert":
        raise UserError(
            "collect.look=fork asks whether the teacher answers otherwise once a look shows nothing, and the scripted "
            "expert answers the same whatever it is shown: use collect.look=hit."
        )
    if config.trainer.devices * config.trainer.num_nodes > 1:
        raise UserError("task=collect runs in one process: give trainer.devices=1 and trainer.num_nodes=1.")


def prepare_folder(config: ExperimentConfig) -> None:
    """Writes the configuration; an earlier run in the same folder is moved aside, not overwritten.

    Raises:
        UserError: the folder holds something that is no run.
    """
    run = config.output_dir
    refuse_foreign_folder(run)
    if not config.resume and _content(run):
        stamp = datetime.fromtimestamp(run.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
        aside = run.with_name(f"{run.name}-{stamp}")
        run.rename(aside)
        print(f"{run} held a run, now in {aside}; resume=true would have gone on with it.", file=sys.stderr)
    run.mkdir(parents=True, exist_ok=True)
    write_whole(run / "config.yaml", to_yaml(config))


def refuse_foreign_folder(folder: Path) -> None:
    """Only what a run has left is moved aside or gone on with.

    Raises:
        UserError: the folder has files, and no ``config.yaml`` of a run among them.
    """
    if not _content(folder):
        return
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    written = {line.partition(":")[0] for line in text.splitlines()}
    if not {"experiment", "output_dir"} <= written:
        raise UserError(
            f"output_dir={folder} holds files that are no run's (there is no config.yaml of one): give an empty "
            f"folder, or one inside it, such as {folder / 'run'}."
        )


def _content(folder: Path) -> list[Path]:
    """What is in a folder, beside the logs that whoever starts runs has opened there."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.suffix not in _LOGS and path.name not in _LOG_NAMES]
