"""The runs in a folder: itself, the runs of a sweep below it, or any folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from medvista.errors import UserError

COLUMNS = ("run", "variant", "seed")  # with which every frame begins
_LEFT = ("trajectories", "checkpoints")  # what a run has and a sweep has not


class Run(NamedTuple):
    """One run on disk."""

    name: str  # its folder below the one asked about, "." for that itself
    variant: str  # of a sweep, "" elsewhere
    seed: int
    folder: Path

    @property
    def row(self) -> dict[str, Any]:
        """The columns that name it."""
        return {"run": self.name, "variant": self.variant, "seed": self.seed}


def find_runs(folder: Path | str) -> list[Run]:
    """The runs in a folder, in the order of their names.

    Raises:
        UserError: there is none.
    """
    folder = Path(folder)
    candidates = [folder, *sorted(folder.glob("*")), *sorted(folder.glob("*/*"))]
    found = [_run(path, folder) for path in candidates if _is_run(path)]
    if not found:
        raise UserError(
            f"{folder} holds no run: give a run's folder, such as runs/nano, that of a sweep, or their parent."
        )
    return found


def _is_run(path: Path) -> bool:
    return (path / "config.yaml").is_file() and any((path / name).is_dir() for name in _LEFT)


def _run(path: Path, folder: Path) -> Run:
    config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    inside = path.relative_to(folder)
    # Of a sweep a run lies in <variant>/seed-<n>.
    variant = path.parent.name if path.name.startswith("seed-") else ""
    return Run(name=inside.as_posix(), variant=variant, seed=int(config["seed"]), folder=path)
