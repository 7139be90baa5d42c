"""One set of metrics per benchmark, over all ranks."""

from __future__ import annotations

from typing import Any

import lightning

from medvista.metrics import TrajectoryMetrics
from medvista.rollout import TrajectoryBatch


class BenchmarkValidation(lightning.Callback):
    """Scores the validation episodes that the datamodule played and logs ``val/<benchmark>/<metric>``."""

    def __init__(self) -> None:
        self.metrics: dict[str, TrajectoryMetrics] = {}

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts from nothing, so that an interrupted validation leaves no trace."""
        names = trainer.datamodule.validation  # type: ignore[attr-defined]
        self.metrics = {name: TrajectoryMetrics().to(pl_module.device) for name in names}

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: TrajectoryBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Adds the episodes of one batch."""
        list(self.metrics.values())[dataloader_idx].update(batch.trajectories)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Logs each benchmark's metrics, already summed over ranks."""
        for benchmark, metric in self.metrics.items():
            for name, value in metric.compute().items():
                pl_module.log(f"val/{benchmark}/{name}", value, prog_bar=name == "accuracy", rank_zero_only=False)
