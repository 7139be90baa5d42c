"""Checkpoints to resume from, and the best policy by validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class PolicyCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` for resuming and, with a benchmark, the checkpoint of the best validation accuracy.

    Args:
        folder: where checkpoints go.
        benchmark: whose ``val/<benchmark>/accuracy`` decides; None keeps the last one only.
        every_n_steps: optimiser steps between two checkpoints when no benchmark decides.
    """

    def __init__(self, folder: Path, *, benchmark: str | None = None, every_n_steps: int = 20) -> None:
        if benchmark is None:
            super().__init__(
                folder, filename="{step}", save_top_k=1, every_n_train_steps=every_n_steps, save_last="link"
            )
        else:
            super().__init__(
                folder,
                filename="best-{step}",
                monitor=f"val/{benchmark}/accuracy",
                mode="max",
                save_top_k=1,
                save_last=True,
                auto_insert_metric_name=False,
            )

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Renews ``last.ckpt`` where Lightning does not: after a validation that was not the best."""
        super().on_validation_end(trainer, pl_module)
        if self.monitor is not None and not self._should_skip_saving_checkpoint(trainer):  # skips what is saved already
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
