"""Supervised fine-tuning on demonstrations."""

from __future__ import annotations

from torch import Tensor

from medvista.functional.objectives import LossCounts, negative_log_likelihood
from medvista.modules.micro_batches import micro_batches
from medvista.modules.policy_module import PolicyModule, Stats
from medvista.modules.training_speed import TrainingSpeed
from medvista.policies.vlm_policy import VLMPolicy
from medvista.rollout.experience import TokenBatch
from medvista.settings import Aggregation, OptimiserConfig


class SFTModule(PolicyModule):
    """Learns the tokens the demonstrator wrote; prompts and observations carry no loss.

    Args:
        policy: the policy to train.
        optimiser: see `OptimiserConfig`.
        total_steps: of the schedule.
        aggregation: ``"sequence"`` keeps short direct answers from outweighing long tool episodes.
        micro_batch_tokens: see `PolicyModule`.
        pack_tokens: of a row in which several demonstrations stand, see `medvista.policies.packing`; 0: each has its
            own. It takes the place of `micro_batch_tokens`.
        gradient_checkpointing: see `PolicyModule`.
    """

    adapter_dropout = True
    logged_as = "sft"

    def __init__(
        self,
        policy: VLMPolicy,
        optimiser: OptimiserConfig,
        *,
        total_steps: int,
        aggregation: Aggregation = "sequence",
        micro_batch_tokens: int = 0,
        pack_tokens: int = 0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            policy,
            optimiser,
            total_steps=total_steps,
            micro_batch_tokens=micro_batch_tokens,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.aggregation: Aggregation = aggregation
        self.pack_tokens = pack_tokens

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        """One optimiser step; the loss of it."""
        speed = TrainingSpeed(self.policy)
        found = self.optimise(batch)
        self.log_dict(speed.statistics(), batch_size=len(batch))
        self.log("sft/loss", found["sft/loss"], prog_bar=True, batch_size=len(batch), sync_dist=True)
        self.log("sft/grad_norm", found["sft/grad_norm"], batch_size=len(batch), sync_dist=True)
        return found["sft/loss"]

    def split(self, rows: TokenBatch, *, sharded: bool) -> list[TokenBatch]:
        """See `PolicyModule`; packed, a part is a row."""
        if self.pack_tokens:
            return micro_batches(rows, self.pack_tokens, packed=True)
        return super().split(rows, sharded=sharded)

    def loss(self, part: TokenBatch, counts: LossCounts) -> tuple[Tensor, Stats]:
        """Negative log-likelihood of the demonstrated tokens."""
        log_probs_NT, _ = part.log_probs(self.policy, packed=bool(self.pack_tokens))
        return negative_log_likelihood(log_probs_NT, part.loss_mask, self.aggregation, counts), {}
