"""Episodes on disk while training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from medvista.data.trajectories import write_trajectories
from medvista.rollout import ExperienceBatch, TrajectoryBatch


class TrajectoryLogger(lightning.Callback):
    """Appends some episodes of every n-th update, and of every validation, to JSONL files with their images.

    Args:
        folder: of the run; ``train.jsonl`` and ``validation.jsonl`` are written into it.
        every_n_updates: how often training episodes are kept.
        episodes: how many of a batch are kept.
    """

    def __init__(self, folder: Path, *, every_n_updates: int = 20, episodes: int = 8) -> None:
        self.folder = folder
        self.every_n_updates = every_n_updates
        self.episodes = episodes

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the first siblings of an update."""
        if isinstance(batch, ExperienceBatch) and trainer.is_global_zero and batch_idx % self.every_n_updates == 0:
            write_trajectories(self.folder / "train.jsonl", batch.trajectories[: self.episodes], append=True)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the first episodes of each benchmark."""
        if isinstance(batch, TrajectoryBatch) and trainer.is_global_zero and batch_idx == 0:
            write_trajectories(self.folder / "validation.jsonl", batch.trajectories[: self.episodes], append=True)
