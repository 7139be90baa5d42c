"""Asserts on every batch what training takes for granted, and stops with the episodes that break it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning
import torch

from medvista.data.trajectories import write_trajectories
from medvista.errors import UserError
from medvista.notices import notice
from medvista.ranks import gathered
from medvista.rollout import ExperienceBatch
from medvista.rollout.invariants import Placeholders, broken_invariant
from medvista.types import Trajectory


class BatchChecks(lightning.Callback):
    """Checks batches, the gap between engine and trainer, and gradients; it belongs behind `ReferenceKL`.

    A step whose gradient is not finite is skipped and its episodes are saved; several in a row end the stage.

    Args:
        folder: where episodes that break something are saved, ``broken.jsonl``, with their tokens.
        engine_tolerance: largest difference allowed between a log-probability of the engine and the trainer's with the
            same weights, in nats.
        patience: steps in a row that may be skipped.
    """

    def __init__(self, folder: Path, *, engine_tolerance: float = 2.0, patience: int = 3) -> None:
        self.folder = folder
        self.engine_tolerance = engine_tolerance
        self.patience = patience
        self.skipped = 0  # steps in a row
        self._batch: ExperienceBatch | None = None
        self._is_current = True  # whether the weights that are updated sampled it

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: ExperienceBatch, batch_idx: int) -> None:
        """Checks the invariants of the batch."""
        self._batch = batch
        self._is_current = all(episode.policy_version == trainer.global_step for episode in batch.trajectories)
        policy = pl_module.policy
        placeholders = Placeholders(token_id=policy.image_token_id, count=policy.count_visual_tokens)
        broken = broken_invariant(batch, placeholders)
        rows = broken.rows if broken else ()
        self._stop_if_any(broken.told(batch) if broken else "", [batch.trajectories[row] for row in rows])

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Drops a gradient that is not finite, in every process alike, so that the step moves nothing."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:  # which skips such steps by itself
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        finite = all(bool(torch.isfinite(_local(gradient)).all()) for gradient in gradients)
        if all(gathered(finite)):
            self.skipped = 0
            return
        self.skipped += 1
        optimizer.zero_grad(set_to_none=True)
        episodes = list(self._batch.trajectories) if self._batch is not None else []
        notice("optimiser steps were skipped, since their gradient was not finite", f"update {trainer.global_step}")
        if self.skipped >= self.patience:
            self._stop_if_any(f"{self.skipped} steps in a row had a gradient that is not finite", episodes)
        self._save(episodes)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Checks what the first step of the update measured."""
        gap = float(trainer.callback_metrics.get("train/engine_gap", 0.0))
        what = ""
        if self._is_current and not gap <= self.engine_tolerance:  # a gap that is no number is none, either
            what = (
                f"engine and trainer differ by {gap:.3g} nats about a sampled token with the same weights, more than "
                f"rl.engine_tolerance={self.engine_tolerance:g}: one of {len(batch)} episodes"
            )
        self._stop_if_any(what, list(batch.trajectories))

    def _stop_if_any(self, what: str, episodes: Sequence[Trajectory]) -> None:
        """Ends the stage in every process if something is wrong in one."""
        told = [sentence for sentence in gathered(what) if sentence]
        if what:
            self._save(episodes)
        if told:
            self._stop(told[0])

    def _stop(self, what: str) -> NoReturn:
        raise UserError(
            f"Training stopped because {what}. The episodes are in {self.folder / 'broken.jsonl'}; "
            "rl.check_batches=false trains on regardless."
        )

    def _save(self, episodes: Sequence[Trajectory]) -> None:
        if episodes:
            write_trajectories(self.folder / "broken.jsonl", episodes, append=True, tokens=True)


def _local(gradient: Any) -> torch.Tensor:
    """This process's part of a gradient that is sharded."""
    local: torch.Tensor = gradient.to_local() if hasattr(gradient, "to_local") else gradient
    return local
