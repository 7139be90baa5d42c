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
        keep: checkpoints that stay when no benchmark decides, the newest: of two, one may turn out damaged.
    """

    def __init__(self, folder: Path, *, benchmark: str | None = None, every_n_steps: int = 20, keep: int = 1) -> None:
        self.keep = keep
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

    def save_now(self, trainer: Any) -> None:
        """Saves the step that was just finished, although no checkpoint is due."""
        if self._should_skip_saving_checkpoint(trainer):
            return
        candidates = self._monitor_candidates(trainer)
        if self.monitor is None:
            self._save_none_monitor_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

    def _remove_checkpoint(self, trainer: Any, filepath: str) -> None:
        """Lightning would leave one: here the newest `keep` stay."""
        if self.monitor is not None:
            super()._remove_checkpoint(trainer, filepath)
            return
        kept = sorted(Path(filepath).parent.glob("step=*.ckpt"), key=_step, reverse=True)
        for path in kept[self.keep :]:
            super()._remove_checkpoint(trainer, str(path))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Waits for the validation of this step, where there is one: a run that goes on would not make it again."""
        if self.monitor is None and validates_next(trainer):
            return
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Saves what waited for this, and renews ``last.ckpt`` after a validation that was not the best."""
        super().on_validation_end(trainer, pl_module)
        if self.monitor is None:
            if trainer.global_step and trainer.global_step % self._every_n_train_steps == 0:
                self.save_now(trainer)
        elif not self._should_skip_saving_checkpoint(trainer):  # skips what is saved already
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


def _step(path: Path) -> int:
    """Of a file that Lightning has named, ``step=20.ckpt``; one of another form is the oldest."""
    digits = path.stem.removeprefix("step=")
    return int(digits) if digits.isdecimal() else -1


def validates_next(trainer: Any) -> bool:
    """Whether the step that has just ended is followed by a validation."""
    every = trainer.val_check_batch
    if not trainer.enable_validation or trainer.check_val_every_n_epoch is not None:
        return False
    return bool((trainer.fit_loop.epoch_loop.total_batch_idx + 1) % every == 0)
