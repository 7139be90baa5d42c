"""Goes on with SFT from ``last.ckpt``, if there is one: ``resume.py FOLDER WORLD STRATEGY STEPS``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from medvista.app.training.checkpoint_io import CheckedCheckpointIO
from medvista.datamodules import SFTDataModule
from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import VLMPolicy
from medvista.policies.sharding import whole
from medvista.ranks import rank
from tests.ranks.trainers import bare_trainer


def main(folder: Path, world: int, strategy: str, steps: int) -> None:
    """Trains until so many steps are taken, and leaves ``last.ckpt`` and the weights in ``<steps>.pt``."""
    policy = VLMPolicy.from_pretrained(folder / "policy")
    # The vision tower comes first in the model; frozen, it shifts what numbers the optimiser gives the others.
    module = SFTModule(policy, OptimiserConfig(learning_rate=1e-3, vision_learning_rate=0.0), total_steps=8)
    streams = torch.load(folder / "streams.pt", weights_only=False)
    data = SFTDataModule(streams, _no_collector, {}, batch_size=3, seed=0, max_new_tokens=1)
    last = folder / "last.ckpt"
    trainer = bare_trainer(strategy, world, folder, steps, plugins=[CheckedCheckpointIO()], max_epochs=-1)
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    assert trainer.global_step == steps
    trainer.save_checkpoint(last)
    weights = whole(module.policy).state_dict()
    if rank() == 0:
        torch.save(weights, folder / f"{steps}.pt")


def _no_collector(policy: VLMPolicy) -> Any:
    raise AssertionError("nothing is validated here")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
