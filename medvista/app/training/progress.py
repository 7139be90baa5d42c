"""What a person sees while a stage trains."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar


class StageProgressBar(TQDMProgressBar):
    """One bar a stage: its name, optimiser steps, and the numbers of `prog_bar`."""

    def __init__(self, stage: str, steps: int) -> None:
        super().__init__(leave=True)
        self._stage, self._steps = stage, steps

    def init_train_tqdm(self) -> Any:
        """The bar, labelled."""
        bar = super().init_train_tqdm()
        bar.set_description(self._stage)
        return bar

    def init_validation_tqdm(self) -> Any:
        """No second bar: validation takes a second or two."""
        bar = super().init_validation_tqdm()
        bar.disable = True
        return bar

    def on_train_epoch_start(self, *_: Any) -> None:
        """Leaves the bar alone: it counts the optimiser steps of the whole stage, whatever an epoch is."""
        self.train_progress_bar.total = self._steps

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Moves on to the trainer's step."""
        self.train_progress_bar.n = trainer.global_step
        self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_train_epoch_end(self, *_: Any) -> None:
        """Leaves the bar alone."""

    def get_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Without the version number."""
        items = super().get_metrics(*args, **kwargs)
        items.pop("v_num", None)
        return items
