"""An objective: what becomes of rewards and log-probabilities, from advantages to one loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from medvista.functional.objectives.advantages import (
    Totals,
    at_last_token,
    broadcast_to_tokens,
    generalised_advantages,
    group_advantages,
    leave_one_out_advantages,
    rewards_to_go,
    standard_scores,
)
from medvista.functional.objectives.correction import importance_weights
from medvista.functional.objectives.kl import kl_estimate
from medvista.functional.objectives.losses import LossCounts, aggregate
from medvista.functional.objectives.ratios import Ratio, likelihood_ratio
from medvista.functional.objectives.surrogates import SURROGATES, SurrogateName
from medvista.functional.objectives.values import value_loss
from medvista.rl_settings import CorrectionConfig, KLEstimator, KLPlacement, ValueConfig
from medvista.settings import AdvantageScale, Aggregation

Baseline = Literal["group", "leave_one_out", "none", "values"]  # what a reward is compared with
Stats = dict[str, Tensor]


@dataclass(slots=True, kw_only=True, eq=False)
class Episodes:
    """What advantages are computed from: whole groups, siblings side by side, so that ``N = P x G``."""

    rewards: Tensor  # [P, G]
    mask: Tensor  # [N, T] bool, True on sampled tokens
    old_log_probs: Tensor  # [N, T] under the weights that the update begins with
    reference_log_probs: Tensor | None = None  # [N, T]
    values: Tensor | None = None  # [N, T] before each sampled token, where there is a value head


@dataclass(slots=True, kw_only=True, eq=False)
class SampledTokens:
    """What the loss of some rows is computed from, each tensor ``[N, T]``; only sampled tokens count."""

    log_probs: Tensor  # under the policy being updated, with a gradient
    entropy: Tensor
    mask: Tensor  # bool, True on sampled tokens
    advantages: Tensor
    old_log_probs: Tensor  # under the weights that the update began with
    engine_log_probs: Tensor | None = None  # of the distribution sampled from, where these are others
    reference_log_probs: Tensor | None = None
    values: Tensor | None = None  # with a gradient
    old_values: Tensor | None = None
    returns: Tensor | None = None  # what the values should have been


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One way to learn from episodes; `make_objective` has those with a name."""

    baseline: Baseline
    scale: AdvantageScale  # by a group's standard deviation, without groups by that of the update's tokens
    ratio: Ratio
    surrogate: SurrogateName
    aggregation: Aggregation
    clip_low: float
    clip_high: float
    kl_coefficient: float
    kl_placement: KLPlacement
    kl_estimator: KLEstimator
    entropy_coefficient: float = 0.0
    longest: int = 1  # tokens that an episode may write; the constant of aggregation="constant"
    correction: CorrectionConfig = field(default_factory=lambda: CorrectionConfig().decided(same_numbers=True))
    value: ValueConfig = field(default_factory=ValueConfig)

    @property
    def compares_siblings(self) -> bool:
        """Whether an episode is judged against its siblings, so that a group that earned the same teaches nothing."""
        return self.baseline in ("group", "leave_one_out")

    def advantages(self, episodes: Episodes, kl_coefficient: float, totals: Totals = dict) -> Tensor:
        """How much better than expected each sampled token did, ``[N, T]``, 0 elsewhere.

        Args:
            episodes: of whole groups.
            kl_coefficient: weight of the KL in the reward, where it is placed there.
            totals: adds up over all processes what the rows of this one hold.
        """
        mask_NT, rewards_PG = episodes.mask, episodes.rewards
        penalty_NT = self._penalty(episodes, kl_coefficient)
        if self.compares_siblings:
            if penalty_NT is not None:
                rewards_PG = rewards_PG - rearrange(penalty_NT.sum(dim=1), "(p g) -> p g", p=len(rewards_PG))
            compare = group_advantages if self.baseline == "group" else leave_one_out_advantages
            return broadcast_to_tokens(rearrange(compare(rewards_PG, self.scale), "p g -> (p g)"), mask_NT)
        rewards_NT = at_last_token(rearrange(rewards_PG, "p g -> (p g)"), mask_NT)
        if penalty_NT is not None:
            rewards_NT = rewards_NT - penalty_NT
        if self.baseline == "values":
            assert episodes.values is not None, "PPO needs the values of its value head"
            steps = {"discount": self.value.discount, "trace": self.value.trace}
            return generalised_advantages(rewards_NT, episodes.values, mask_NT, **steps)
        return self.scaled(rewards_to_go(rewards_NT, mask_NT), mask_NT, totals)

    def scaled(self, advantages_NT: Tensor, mask_NT: Tensor, totals: Totals = dict) -> Tensor:
        """Advantages of tokens as the surrogate takes them; of values, once the returns were computed from them."""
        return standard_scores(advantages_NT, mask_NT, totals) if self.scale == "std" else advantages_NT

    def loss(
        self, tokens: SampledTokens, counts: LossCounts, *, kl_coefficient: float, entropy_coefficient: float
    ) -> tuple[Tensor, Stats]:
        """The loss of some rows of an optimiser step, and what to log of it; over all rows both add up to the step's.

        Args:
            tokens: of these rows.
            counts: of all rows of the step.
            kl_coefficient: weight of the KL to the reference, where it is placed in the loss.
            entropy_coefficient: weight of the entropy bonus.
        """
        mask_NT = tokens.mask
        ratio_NT = likelihood_ratio(tokens.log_probs, tokens.old_log_probs, mask_NT, self.ratio)
        loss_NT, clipped_NT = SURROGATES[self.surrogate](
            ratio_NT, tokens.log_probs, tokens.advantages, self.clip_low, self.clip_high
        )
        if self.correction.level != "none":
            assert tokens.engine_log_probs is not None, "the correction needs what the engine computed"
            loss_NT = loss_NT * importance_weights(
                tokens.old_log_probs, tokens.engine_log_probs, mask_NT, self.correction
            )
        loss = aggregate(loss_NT, mask_NT, self.aggregation, counts, self.longest)
        entropy = aggregate(tokens.entropy, mask_NT, "token", counts)
        stats = {
            "surrogate": loss.detach(),
            "entropy": entropy.detach(),
            "clip_fraction": aggregate(clipped_NT.float(), mask_NT, "token", counts),
        }
        if tokens.reference_log_probs is not None:
            kl_NT = kl_estimate(tokens.log_probs, tokens.reference_log_probs, self.kl_estimator)
            kl = aggregate(kl_NT, mask_NT, self.aggregation, counts, self.longest)
            stats["kl"] = kl.detach() if self.aggregation != "constant" else _per_token(kl_NT, mask_NT, counts)
            if self.kl_placement == "loss":
                loss = loss + kl_coefficient * kl
        if tokens.values is not None:
            misjudged = value_loss(tokens.values, tokens.old_values, tokens.returns, mask_NT, counts, self.value.clip)
            stats["value_loss"] = misjudged.detach()
            loss = loss + self.value.coefficient * misjudged
        return loss - entropy_coefficient * entropy, stats

    def _penalty(self, episodes: Episodes, kl_coefficient: float) -> Tensor | None:
        """``[N, T]`` what the KL takes off the reward of each sampled token; None where it takes nothing."""
        if self.kl_placement != "reward" or episodes.reference_log_probs is None:
            return None
        kl_NT = kl_estimate(episodes.old_log_probs, episodes.reference_log_probs, self.kl_estimator)
        return torch.where(episodes.mask, kl_coefficient * kl_NT, 0.0)


def _per_token(kl_NT: Tensor, mask_NT: Tensor, counts: LossCounts) -> Tensor:
    return aggregate(kl_NT, mask_NT, "token", counts).detach()
