"""Learns from recorded batches, in one process or as one of several: ``replay.py FOLDER WORLD``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import VLMPolicy
from medvista.ranks import rank, world_size
from medvista.rollout import ExperienceBatch

LEARNING_RATE = 2e-3


class PlainDescent(GRPOModule):
    """GRPO with SGD, that remembers the norm of each gradient."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.norms: list[float] = []

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD([p for p in self.policy.parameters() if p.requires_grad], lr=LEARNING_RATE)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        super().on_before_optimizer_step(optimizer)
        self.norms.append(float(self.grad_norm))


class Shares(lightning.LightningDataModule):
    """Gives each process its groups of every recorded batch."""

    def __init__(self, batches: list[ExperienceBatch]) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> Any:
        return DataLoader([_share(batch) for batch in self.batches], batch_size=None)  # type: ignore[arg-type]


def _share(batch: ExperienceBatch) -> ExperienceBatch:
    rows = [row for row, group in enumerate(batch.groups.tolist()) if group % world_size() == rank()]
    return batch.select(rows) if rows else batch.select([0, 1]).without_loss()


def main(folder: Path, world: int) -> None:
    """Leaves the norms and the trained weights in ``<world>.pt``."""
    recorded = torch.load(folder / "recorded.pt", weights_only=False)
    config = replace(GRPOConfig(), max_grad_norm=1e9, entropy_coefficient=0.01, **recorded["grpo"])
    batches = recorded["batches"]
    steps = len(batches) * config.minibatches * config.inner_epochs
    optimiser = OptimiserConfig(vision_learning_rate=recorded["vision_learning_rate"])
    module = PlainDescent(VLMPolicy.from_pretrained(folder / "policy"), config, optimiser, total_steps=steps)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_steps=steps,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        default_root_dir=folder,
    )
    trainer.fit(module, datamodule=Shares(batches))
    assert trainer.global_step == steps
    if rank() == 0:
        torch.save({"norms": module.norms, "weights": module.policy.state_dict()}, folder / f"{world}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
