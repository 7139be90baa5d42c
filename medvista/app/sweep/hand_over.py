"""A finished stage, handed from the run that trained it to one that goes on from it.

The copy holds the settings that shaped the stage. The run that goes on is started with ``resume=true``: it compares
them with its own, and refuses a stage that was made otherwise.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from medvista.app.config.composition import compose, to_yaml
from medvista.app.config.schema import ExperimentConfig
from medvista.app.sweep.parts import Part
from medvista.data.atomic import write_whole

_LEFT_OUT = shutil.ignore_patterns("*.ckpt", "*.damaged")  # to go on within the stage, which has ended


def hand_over(part: Part) -> None:
    """Copies into a run's folder the stages that others have trained for it, each in one move."""
    for stage, run in part.handed.items():
        target = part.folder / "checkpoints" / stage
        if (target / "done.json").exists():
            continue
        for path in (run / "demonstrations").glob(f"{stage}.jsonl*"):
            copied = part.folder / "demonstrations" / path.name
            copied.parent.mkdir(parents=True, exist_ok=True)
            _in_one_move(path, copied)
        target.parent.mkdir(parents=True, exist_ok=True)
        _in_one_move(run / "checkpoints" / stage, target)
    if part.handed and not (part.folder / "config.yaml").exists():  # a folder that holds a run's files is a run's
        write_whole(part.folder / "config.yaml", to_yaml(compose(ExperimentConfig, part.arguments)))


def _in_one_move(source: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}.copied")
    if source.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)  # begun by a run that was killed; nothing in it is done
        shutil.copytree(source, aside, ignore=_LEFT_OUT)
    else:
        shutil.copy2(source, aside)
    aside.replace(target)
