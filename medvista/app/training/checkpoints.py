"""Which checkpoint a stage goes on from: the newest that is whole."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path

from medvista.app.training.checkpoint_io import damage

log = logging.getLogger(__name__)

DAMAGED = ".damaged"  # behind the name of a checkpoint that was put out of the way


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from; None where a stage begins.

    Damaged ones are named and put out of the way, since an earlier one makes up for them. What a killed process was
    writing is removed. A checkpoint of several processes is a folder, which its own strategy judges.

    Args:
        folder: of the stage.
    """
    for left in folder.glob(".*.ckpt.*"):
        left.unlink(missing_ok=True)
    for path in sorted(_checkpoints(folder), key=_order, reverse=True):
        problem = "" if path.is_dir() else damage(path)
        if not problem:
            return path
        log.warning("the checkpoint %s %s; training goes on from an earlier one.", path, problem)
        path.rename(path.with_name(path.name + DAMAGED))
    return None


def has_checkpoint(folder: Path) -> bool:
    """Whether a stage was begun and kept something to go on from, be it whole or not."""
    return bool(_checkpoints(folder))


def _checkpoints(folder: Path) -> list[Path]:
    """Each file or folder once: ``last.ckpt`` may be a link to another, or to one that is gone."""
    paths = [path for path in folder.glob("*.ckpt") if not path.is_symlink()]
    linked = [path.resolve() for path in folder.glob("*.ckpt") if path.is_symlink()]
    return [*paths, *(path for path in linked if path.exists() and path not in {p.resolve() for p in paths})]


def _order(path: Path) -> tuple[float, int]:
    """By step, since clocks are set back; ``last.ckpt`` is rewritten whenever another checkpoint is."""
    step = re.search(r"step=(\d+)|best-(\d+)", path.name)
    return (math.inf if step is None else float(step[1] or step[2])), path.stat().st_mtime_ns
