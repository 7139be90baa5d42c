"""One set of metrics per benchmark, and the accuracy on each family of its questions, over all ranks."""

from __future__ import annotations

from typing import Any

import lightning

from medvista.metrics import TrajectoryMetrics
from medvista.rollout import TrajectoryBatch
from medvista.types import VQASample


class BenchmarkValidation(lightning.Callback):
    """Scores the validation episodes that the datamodule played.

    Logs ``val/<benchmark>/<metric>``, and ``val/<benchmark>/<family>/accuracy`` where there are several families.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, TrajectoryMetrics] = {}
        self.families: dict[str, dict[str, TrajectoryMetrics]] = {}  # benchmark -> family -> its episodes

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts from nothing, so that an interrupted validation leaves no trace."""
        asked = trainer.datamodule.validation  # type: ignore[attr-defined]
        self.metrics = {name: TrajectoryMetrics().to(pl_module.device) for name in asked}
        # From the questions, not from the episodes: a rank whose share lacks a family must sum it up all the same.
        families = {name: dict.fromkeys(map(_family, samples)) for name, samples in asked.items()}
        self.families = {
            name: {family: TrajectoryMetrics().to(pl_module.device) for family in found} if len(found) > 1 else {}
            for name, found in families.items()
        }

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
        benchmark = list(self.metrics)[dataloader_idx]
        self.metrics[benchmark].update(batch.trajectories)
        for family, metric in self.families[benchmark].items():
            metric.update([episode for episode in batch.trajectories if _family(episode.sample) == family])

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Logs each benchmark's metrics, already summed over ranks."""
        for benchmark, metric in self.metrics.items():
            for name, value in metric.compute().items():
                pl_module.log(f"val/{benchmark}/{name}", value, prog_bar=name == "accuracy", rank_zero_only=False)
            for family, part in self.families[benchmark].items():
                accuracy = part.compute().get("accuracy")
                if accuracy is not None:  # nobody asked one of them: validation was cut short
                    pl_module.log(f"val/{benchmark}/{family}/accuracy", accuracy, rank_zero_only=False)


def _family(sample: VQASample) -> str:
    return str(sample.metadata.get("family", ""))
