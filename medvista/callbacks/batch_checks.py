"""Asserts on every batch what training takes for granted, and stops with the episodes that break it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning

from medvista.data.trajectories import write_trajectories
from medvista.errors import UserError
from medvista.ranks import gathered
from medvista.rollout import ExperienceBatch
from medvista.rollout.invariants import Placeholders, broken_invariant
from medvista.types import Trajectory


class BatchChecks(lightning.Callback):
    """Checks batches, and the gap between engine and trainer; it belongs behind `ReferenceKL`.

    The episodes of a step that was left out, since its gradient was not finite, are saved, too.

    Args:
        folder: where episodes that break something are saved, ``broken.jsonl``, with their tokens.
        engine_tolerance: largest difference allowed between a log-probability of the engine and the trainer's with the
            same weights, in nats.
    """

    def __init__(self, folder: Path, *, engine_tolerance: float = 2.0) -> None:
        self.folder = folder
        self.engine_tolerance = engine_tolerance
        self._is_current = True  # whether the weights that are updated sampled it

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: ExperienceBatch, batch_idx: int) -> None:
        """Checks the invariants of the batch."""
        self._is_current = all(episode.policy_version == trainer.global_step for episode in batch.trajectories)
        policy = pl_module.policy
        placeholders = Placeholders(token_id=policy.image_token_id, count=policy.count_visual_tokens)
        broken = broken_invariant(batch, placeholders)
        rows = broken.rows if broken else ()
        self._stop_if_any(broken.told(batch) if broken else "", [batch.trajectories[row] for row in rows])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Checks what the first step of the update measured."""
        if pl_module.nonfinite.in_a_row:
            self._save(list(batch.trajectories))
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
