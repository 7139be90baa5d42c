"""What lies beside a report: links that work from disk, to the files that are there."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FILES = {
    "results.json": "every number of this page",
    "config.yaml": "the configuration: give it as experiment= to run it again",
    "arms.svg": "the picture of the arms",
    "tables": "every table as CSV",
    "outcomes.json": "which questions each arm got right",
    "trajectories": "every episode, one per line, with the pictures beside it",
    "demonstrations": "what SFT learned from",
    "checkpoints": "the policies, and the metrics of their training",
}
_FOLDERS_WITH_COMMANDS = {"tensorboard": ("curves of training", "tensorboard --logdir")}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFile:
    """A file or folder of a run."""

    path: str  # relative to the report
    about: str
    command: str = ""  # that shows it, where a browser cannot


def run_files(run: Path) -> Iterator[RunFile]:
    """The files that a run has left so far, those that people ask for first."""
    for name, about in _FILES.items():
        if (run / name).exists():
            yield RunFile(path=name + "/" * (run / name).is_dir(), about=about)
    for name, (about, command) in _FOLDERS_WITH_COMMANDS.items():
        if (run / name).is_dir():
            yield RunFile(path=f"{name}/", about=about, command=f"{command} {shlex.quote(str(run / name))}")


def viewer_command(run: Path) -> str:
    """What writes the viewer of a run to ``viewer/`` beside its report."""
    return f"python -m experiments.view {shlex.quote(str(run))}"
