"""The typed schema of an experiment: every key a YAML file or the command line may set, with its type and default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from experiments.schema import setting


@dataclass(kw_only=True)
class DataConfig:
    """Where the questions come from."""

    root: Path | None = setting(None, help="folder of the official files (default: $MEDVISTA_DATA)")


@dataclass(kw_only=True)
class ExperimentConfig:
    """One run, from data to report."""

    experiment: str = setting("nano", help="name of a shipped experiment, or a path to your own .yaml")
    description: str = ""
    seed: int = setting(0, help="seed of everything random")
    output_dir: Path = setting("runs/${experiment}", help="folder the run writes")
    resume: bool = setting(False, help="go on from the last checkpoint in output_dir")
    data: DataConfig = field(default_factory=DataConfig)
