"""Supervised fine-tuning on demonstrations."""

from __future__ import annotations

from typing import Any

import lightning
from torch import Tensor

from medvista.functional.objectives import negative_log_likelihood
from medvista.modules.optimisation import configure, freeze
from medvista.modules.same_on_any_ranks import with_every_parameter, world_counts
from medvista.policies.sharding import shard
from medvista.policies.vlm_policy import VLMPolicy
from medvista.rollout.experience import TokenBatch
from medvista.settings import Aggregation, OptimiserConfig


class SFTModule(lightning.LightningModule):
    """Learns the tokens the demonstrator wrote; prompts and observations carry no loss.

    Args:
        policy: the policy to train.
        optimiser: see `OptimiserConfig`.
        total_steps: of the schedule.
        aggregation: ``"sequence"`` keeps short direct answers from outweighing long tool episodes.
    """

    def __init__(
        self, policy: VLMPolicy, optimiser: OptimiserConfig, *, total_steps: int, aggregation: Aggregation = "sequence"
    ) -> None:
        super().__init__()
        self.policy = policy
        self.optimiser = optimiser
        self.total_steps = total_steps
        self.aggregation: Aggregation = aggregation
        freeze(policy, optimiser)

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        """Negative log-likelihood of the demonstrated tokens."""
        log_probs, _ = batch.log_probs(self.policy)
        counts = world_counts(batch.loss_mask)
        loss = negative_log_likelihood(log_probs, batch.loss_mask, self.aggregation, counts)
        self.log("sft/loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=True)
        return with_every_parameter(loss, self.policy, batch)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Episodes are scored by `BenchmarkValidation`."""

    def configure_model(self) -> None:
        """Shards the policy where the strategy has said over which processes."""
        if self.device_mesh is not None:
            self.policy = shard(self.policy, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        """See `OptimiserConfig`."""
        return configure(self.policy, self.optimiser, self.total_steps)
