"""Learns from recorded batches, in one process or as one of several: ``replay.py FOLDER WORLD STRATEGY``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from medvista.functional.objectives import LossCounts, make_objective
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import VLMPolicy
from medvista.policies.sharding import whole
from medvista.ranks import rank, world_size
from medvista.rl_settings import KLConfig
from medvista.rollout import ExperienceBatch
from tests.ranks.recorded import BUDGETS, Case, Outcome, shown
from tests.ranks.trainers import bare_trainer

LEARNING_RATE = 5e-4
LONGEST = 24  # tokens of a turn


class PlainDescent(GRPOModule):
    """GRPO with SGD and momentum, that remembers the norm of each gradient and from how many parts it came."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.norms: list[float] = []
        self.parts: list[int] = []
        self._parts = 0

    def loss(self, part: ExperienceBatch, counts: LossCounts) -> Any:
        self._parts += 1
        return super().loss(part, counts)

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.policy.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        super().on_before_optimizer_step(optimizer)
        self.norms.append(float(self.grad_norm))
        self.parts.append(self._parts)
        self._parts = 0


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


def replay(folder: Path, world: int, strategy: str, batches: list[ExperienceBatch], case: Case, tokens: int) -> Outcome:
    """Learns from the batches, in parts of at most so many tokens; with all rows at once, prompts are not shared."""
    config = replace(
        GRPOConfig(),
        max_grad_norm=1e9,
        entropy_coefficient=0.01,
        aggregation=case.aggregation,
        minibatches=case.minibatches,
    )
    steps = len(batches) * case.minibatches
    module = PlainDescent(
        policy := VLMPolicy.from_pretrained(folder / ("adapters" if case.adapters else "policy"), case.loading),
        config,
        OptimiserConfig(vision_learning_rate=case.vision_learning_rate),
        total_steps=steps,
        objective=make_objective(case.objective, config, kl=KLConfig(placement=case.kl_placement), longest=LONGEST),
        micro_batch_tokens=tokens,
        gradient_checkpointing=case.gradient_checkpointing,
        share_prompts=tokens > 0,
    )
    trainer = bare_trainer(strategy, world, folder, steps, max_epochs=1, precision=case.precision)
    trainer.fit(module, datamodule=Shares(shown(batches, case, policy.image_token_id)))
    assert trainer.global_step == steps
    checkpoints = [part.gradient_checkpointing and part.training for part in _layers(module.policy)]
    assert any(checkpoints) == case.gradient_checkpointing
    return Outcome(norms=module.norms, parts=module.parts, weights=whole(module.policy).state_dict())


def _layers(policy: VLMPolicy) -> list[Any]:
    return [part for part in policy.modules() if hasattr(part, "gradient_checkpointing")]


def main(folder: Path, world: int, strategy: str) -> None:
    """Leaves the outcome of every case and budget in ``<strategy>.pt``."""
    recorded = torch.load(folder / "recorded.pt", weights_only=False)
    outcomes = {
        (case, tokens): replay(folder, world, strategy, recorded["batches"], case, tokens)
        for case in recorded["cases"]
        for tokens in recorded.get("budgets", BUDGETS)
    }
    if rank() == 0:
        torch.save(outcomes, folder / f"{strategy}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
