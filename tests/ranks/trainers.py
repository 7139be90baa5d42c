"""The trainer of the scripts here: it takes steps on the CPU under a strategy, and does nothing beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from medvista.app.config.schema import TrainerConfig
from medvista.app.training.strategies import make_strategy


def bare_trainer(strategy: str, world: int, folder: Path, steps: int, **options: Any) -> lightning.Trainer:
    """A trainer of so many optimiser steps in `world` processes; `options` are Lightning's."""
    return lightning.Trainer(
        accelerator="cpu",
        devices=world,
        strategy=make_strategy(TrainerConfig(strategy=strategy), world),  # type: ignore[arg-type]
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
        default_root_dir=folder,
        **options,
    )
