"""Group relative policy optimisation on the policy's own multi-turn rollouts."""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch
from torch import Tensor

from medvista.functional.objectives import (
    Episodes,
    LossCounts,
    Objective,
    SampledTokens,
    adapted_entropy_coefficient,
    adapted_kl_coefficient,
    make_objective,
)
from medvista.modules.optimisation import configure, freeze
from medvista.modules.same_on_any_ranks import with_every_parameter, world_counts
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import totals
from medvista.rollout import ExperienceBatch, minibatches, rollout_statistics
from medvista.settings import AdvantageScale, GRPOConfig, OptimiserConfig


class GRPOModule(lightning.LightningModule):
    """Owns the policy and the loss; batches are `ExperienceBatch`es played by the datamodule (GRPO, arXiv 2402.03300).

    Optimisation is manual, since an update may take several optimiser steps; each counts in ``global_step``.

    Args:
        policy: the policy to train.
        config: see `GRPOConfig`.
        optimiser: see `OptimiserConfig`.
        total_steps: optimiser steps of the schedule.
        temperature: of the rollouts; training log-probabilities are of the same distribution.
        advantage_scale: see `group_advantages`.
    """

    def __init__(
        self,
        policy: VLMPolicy,
        config: GRPOConfig,
        optimiser: OptimiserConfig,
        *,
        total_steps: int,
        temperature: float = 1.0,
        advantage_scale: AdvantageScale = "std",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self.config = config
        self.optimiser = optimiser
        self.total_steps = total_steps
        self.temperature = temperature
        self.advantage_scale: AdvantageScale = advantage_scale
        freeze(policy, optimiser)

    def training_step(self, batch: ExperienceBatch, batch_idx: int) -> None:
        """One update: every minibatch of every inner epoch takes one optimiser step."""
        start = time.perf_counter()
        # Before minibatches tear the groups apart.
        batch.advantages = group_advantages(batch.rewards_PG, self.advantage_scale).flatten()
        generator = torch.Generator().manual_seed(self.global_step)
        steps = [
            self._optimise(minibatch)
            for _ in range(self.config.inner_epochs)
            for minibatch in minibatches(batch, self.config.minibatches, generator)
        ]
        # Before the first optimiser step engine and trainer have the same weights, so this gap is numerical error only.
        means = {name: torch.stack([step[name] for step in steps]).mean() for name in steps[0]}
        means["train/engine_gap"] = steps[0]["train/engine_gap"]
        means["train/seconds"] = torch.tensor(time.perf_counter() - start)
        self.log("train/engine_gap", means.pop("train/engine_gap"), sync_dist=True, reduce_fx="max", on_epoch=False)
        self.log_dict(means, batch_size=len(batch), sync_dist=True)
        self._log_rollouts(batch)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Episodes are scored by `BenchmarkValidation`."""

    def configure_optimizers(self) -> Any:
        """See `OptimiserConfig`."""
        return configure(self.policy, self.optimiser, self.total_steps)

    def loss(self, batch: ExperienceBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The surrogate, plus the KL to the reference where one was computed, and what to log of them.

        Args:
            batch: rows with advantages, of whole groups or not; this process's part of the step.
        """
        assert batch.advantages is not None, "advantages are of whole groups: compute them before the update begins"
        mask_NT, counts = batch.loss_mask, world_counts(batch.loss_mask)
        wanted = "gradient" if self.config.entropy_coefficient else "value"
        log_probs_NT, entropy_NT = batch.log_probs(self.policy, temperature=self.temperature, entropy=wanted)
        surrogate = SURROGATES[self.config.surrogate]
        loss_NT, clipped_NT = surrogate(
            log_probs_NT,
            batch.old_log_probs,
            broadcast_to_tokens(batch.advantages, mask_NT),
            clip_low=self.config.clip_low,
            clip_high=self.config.clip_high,
        )
        loss = aggregate(loss_NT, mask_NT, self.config.aggregation, counts)
        entropy = aggregate(entropy_NT, mask_NT, "token", counts)
        gap_NT = (log_probs_NT.detach() - batch.old_log_probs).abs()
        stats = {
            "train/surrogate": loss.detach(),
            "train/entropy": entropy.detach(),
            "train/clip_fraction": aggregate(clipped_NT.float(), mask_NT, "token", counts),
            "train/engine_gap": torch.where(mask_NT, gap_NT, 0.0).max(),
        }
        if batch.reference_log_probs is not None:
            kl_NT = kl_estimate(log_probs_NT, batch.reference_log_probs, self.config.kl_estimator)
            kl = aggregate(kl_NT, mask_NT, self.config.aggregation, counts)
            stats["train/kl"] = kl.detach()
            loss = loss + self.config.kl_coefficient * kl
        return loss - self.config.entropy_coefficient * entropy, stats

    def _optimise(self, minibatch: ExperienceBatch) -> dict[str, Tensor]:
        optimizer: Any = self.optimizers()
        scheduler: Any = self.lr_schedulers()
        loss, stats = self.loss(minibatch)
        optimizer.zero_grad()
        self.manual_backward(with_every_parameter(loss, self.policy, minibatch))
        self.clip_gradients(optimizer, gradient_clip_val=self.config.max_grad_norm, gradient_clip_algorithm="norm")
        optimizer.step()
        scheduler.step()
        return stats | {"train/loss": loss.detach()}

    def _log_rollouts(self, batch: ExperienceBatch) -> None:
        """What the episodes of this update showed."""
        # The batch's own statistics count all episodes played, also those of groups that were left out of it.
        shown = {**rollout_statistics(batch.trajectories), **(batch.stats or {})}
        sizes = totals({"rows": len(batch), "tokens": float(batch.attention_mask.sum())})
        shown["rollout/stream_tokens"] = sizes["tokens"] / sizes["rows"]
        self.log_dict(shown, batch_size=len(batch))
        self.log_dict(
            {name: shown[f"rollout/{name}"] for name in ("accuracy", "tool_rate")},
            prog_bar=True,
            logger=False,
            batch_size=len(batch),
        )
