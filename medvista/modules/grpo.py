"""Group relative policy optimisation on the policy's own multi-turn rollouts."""

from __future__ import annotations

import time
from typing import ClassVar

import torch
from torch import Tensor

from medvista.functional.objectives import (
    SURROGATES,
    LossCounts,
    aggregate,
    broadcast_to_tokens,
    group_advantages,
    kl_estimate,
)
from medvista.modules.policy_module import PolicyModule, Stats, means
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import totals
from medvista.rollout import ExperienceBatch, minibatches, rollout_statistics
from medvista.settings import AdvantageScale, GRPOConfig, OptimiserConfig


class GRPOModule(PolicyModule):
    """Learns from `ExperienceBatch`es that the datamodule played with its policy (GRPO, arXiv 2402.03300).

    Args:
        policy: the policy to train.
        config: see `GRPOConfig`.
        optimiser: see `OptimiserConfig`.
        total_steps: optimiser steps of the schedule.
        temperature: of the rollouts; training log-probabilities are of the same distribution.
        advantage_scale: see `group_advantages`.
        micro_batch_tokens: see `PolicyModule`.
        gradient_checkpointing: see `PolicyModule`.
    """

    logged_as = "train"
    largest: ClassVar[frozenset[str]] = frozenset({"train/engine_gap"})

    def __init__(
        self,
        policy: VLMPolicy,
        config: GRPOConfig,
        optimiser: OptimiserConfig,
        *,
        total_steps: int,
        temperature: float = 1.0,
        advantage_scale: AdvantageScale = "std",
        micro_batch_tokens: int = 0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            policy,
            optimiser,
            total_steps=total_steps,
            max_grad_norm=config.max_grad_norm,
            micro_batch_tokens=micro_batch_tokens,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.config = config
        self.temperature = temperature
        self.advantage_scale: AdvantageScale = advantage_scale

    def training_step(self, batch: ExperienceBatch, batch_idx: int) -> None:
        """One update: every minibatch of every inner epoch takes one optimiser step."""
        start = time.perf_counter()
        # Before minibatches tear the groups apart.
        batch.advantages = group_advantages(batch.rewards_PG, self.advantage_scale).flatten()
        generator = torch.Generator().manual_seed(self.global_step)
        steps = [
            self.optimise(minibatch)
            for _ in range(self.config.inner_epochs)
            for minibatch in minibatches(batch, self.config.minibatches, generator)
        ]
        # Before the first optimiser step engine and trainer have the same weights, so this gap is numerical error only.
        logged = means(steps)
        del logged["train/engine_gap"]
        self.log("train/engine_gap", steps[0]["train/engine_gap"], sync_dist=True, reduce_fx="max", on_epoch=False)
        logged["train/seconds"] = torch.tensor(time.perf_counter() - start)
        self.log_dict(logged, batch_size=len(batch), sync_dist=True)
        self._log_rollouts(batch)

    def loss(self, part: ExperienceBatch, counts: LossCounts) -> tuple[Tensor, Stats]:
        """The surrogate, plus the KL to the reference where one was computed, and what to log of them.

        Args:
            part: rows with advantages, of whole groups or not; this process's part of the step, or a part of that.
            counts: see `PolicyModule.loss`.
        """
        assert part.advantages is not None, "advantages are of whole groups: compute them before the update begins"
        mask_NT = part.loss_mask
        wanted = "gradient" if self.config.entropy_coefficient else "value"
        log_probs_NT, entropy_NT = part.log_probs(self.policy, temperature=self.temperature, entropy=wanted)
        surrogate = SURROGATES[self.config.surrogate]
        loss_NT, clipped_NT = surrogate(
            log_probs_NT,
            part.old_log_probs,
            broadcast_to_tokens(part.advantages, mask_NT),
            clip_low=self.config.clip_low,
            clip_high=self.config.clip_high,
        )
        loss = aggregate(loss_NT, mask_NT, self.config.aggregation, counts)
        entropy = aggregate(entropy_NT, mask_NT, "token", counts)
        gap_NT = (log_probs_NT.detach() - part.old_log_probs).abs()
        stats = {
            "train/surrogate": loss.detach(),
            "train/entropy": entropy.detach(),
            "train/clip_fraction": aggregate(clipped_NT.float(), mask_NT, "token", counts),
            "train/engine_gap": torch.where(mask_NT, gap_NT, 0.0).max(),
        }
        if part.reference_log_probs is not None:
            kl_NT = kl_estimate(log_probs_NT, part.reference_log_probs, self.config.kl_estimator)
            kl = aggregate(kl_NT, mask_NT, self.config.aggregation, counts)
            stats["train/kl"] = kl.detach()
            loss = loss + self.config.kl_coefficient * kl
        return loss - self.config.entropy_coefficient * entropy, stats

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
