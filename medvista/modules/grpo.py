"""Policy optimisation on the policy's own multi-turn rollouts, by any of the named objectives."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import torch
from torch import Tensor

from medvista.functional.log_probs import WithEntropy
from medvista.functional.objectives import LossCounts, Objective, make_objective
from medvista.modules.coefficients import Coefficients
from medvista.modules.experience_tensors import prepare, sampled_tokens
from medvista.modules.policy_module import PolicyModule, Stats, means
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import totals
from medvista.rl_settings import KLConfig
from medvista.rollout import ExperienceBatch, minibatches, rollout_statistics
from medvista.settings import GRPOConfig, OptimiserConfig


class GRPOModule(PolicyModule):
    """Learns from `ExperienceBatch`es that the datamodule played with its policy (GRPO, arXiv 2402.03300).

    Args:
        policy: the policy to train.
        config: see `GRPOConfig`.
        optimiser: see `OptimiserConfig`.
        total_steps: optimiser steps of the schedule.
        temperature: of the rollouts; training log-probabilities are of the same distribution.
        objective: what is optimised; by default GRPO as `config` sets it.
        kl: the KL's target, where its weight is adapted to one.
        micro_batch_tokens: see `PolicyModule`.
        gradient_checkpointing: see `PolicyModule`.
        share_prompts: see `PolicyModule`.
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
        objective: Objective | None = None,
        kl: KLConfig | None = None,
        micro_batch_tokens: int = 0,
        gradient_checkpointing: bool = False,
        share_prompts: bool = False,
    ) -> None:
        super().__init__(
            policy,
            optimiser,
            total_steps=total_steps,
            max_grad_norm=config.max_grad_norm,
            micro_batch_tokens=micro_batch_tokens,
            gradient_checkpointing=gradient_checkpointing,
            share_prompts=share_prompts,
        )
        self.config = config
        self.temperature = temperature
        self.objective = objective or make_objective("grpo", config)
        self.coefficients = Coefficients(self.objective, kl or KLConfig(), config)
        if self.objective.baseline == "values":
            policy.add_value_head()

    def training_step(self, batch: ExperienceBatch, batch_idx: int) -> None:
        """One update: every minibatch of every inner epoch takes one optimiser step."""
        start = time.perf_counter()
        # Before minibatches tear the groups apart.
        prepare(
            batch,
            self.policy,
            self.objective,
            self.coefficients.kl,
            temperature=self.temperature,
            share_prompts=self.share_prompts,
        )
        generator = torch.Generator().manual_seed(self.global_step)
        steps = [
            self.optimise(minibatch)
            for _ in range(self.config.inner_epochs)
            for minibatch in minibatches(batch, self.config.minibatches, generator)
        ]
        # Before the first optimiser step engine and trainer have the same weights, so this gap is numerical error only.
        logged = means(steps)
        logged |= self.coefficients.adapt(logged)
        del logged["train/engine_gap"]
        self.log("train/engine_gap", steps[0]["train/engine_gap"], sync_dist=True, reduce_fx="max", on_epoch=False)
        logged["train/seconds"] = torch.tensor(time.perf_counter() - start)
        self.log_dict(logged, batch_size=len(batch), sync_dist=True)
        self._log_rollouts(batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also keeps the coefficients that have been adapted."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["coefficients"] = self.coefficients.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with them."""
        super().on_load_checkpoint(checkpoint)
        self.coefficients.load_state_dict(checkpoint.get("coefficients", {}))

    def loss(self, part: ExperienceBatch, counts: LossCounts) -> tuple[Tensor, Stats]:
        """The objective's loss of some rows, and what to log of it.

        Args:
            part: rows with advantages, of whole groups or not; this process's part of the step, or a part of that.
            counts: see `PolicyModule.loss`.
        """
        wanted: WithEntropy = "gradient" if self.coefficients.entropy_matters else "value"
        tokens = sampled_tokens(
            part, self.policy, temperature=self.temperature, entropy=wanted, share_prompts=self.share_prompts
        )
        loss, stats = self.objective.loss(
            tokens,
            counts,
            kl_coefficient=self.coefficients.kl,
            entropy_coefficient=self.coefficients.entropy,
        )
        engine_NT = part.old_log_probs if part.engine_log_probs is None else part.engine_log_probs
        gap_NT = (tokens.log_probs.detach() - engine_NT).abs()
        stats["engine_gap"] = torch.where(part.loss_mask, gap_NT, 0.0).max()
        return loss, {f"{self.logged_as}/{name}": value for name, value in stats.items()}

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
