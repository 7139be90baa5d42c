"""How far a stage of training is, told to the run's progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning

from medvista.app.progress import Progress, StageProgress


@contextmanager
def shown_training(progress: Progress, stage: str, steps: int) -> Iterator[lightning.Callback]:
    """A callback that tells the progress of a stage while a trainer fits it."""
    with progress.stage(stage, steps, "step") as shown:
        yield _Teller(shown)


class _Teller(lightning.Callback):
    """Counts optimiser steps, and names the numbers that a module logs for the progress bar."""

    def __init__(self, shown: StageProgress) -> None:
        self._shown = shown

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A stage that goes on begins at its checkpoint's step."""
        self._shown.resumed_at(trainer.global_step)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Moves on to the trainer's step."""
        told = {name.split("/")[-1]: value for name, value in trainer.progress_bar_metrics.items()}
        self._shown.reach(trainer.global_step, ", ".join(f"{name} {value:.3g}" for name, value in told.items()))
