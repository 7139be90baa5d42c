"""What an objective is handed of a batch of experience: advantages before an update, tokens of each part of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from medvista.functional.log_probs import WithEntropy
from medvista.functional.objectives import Episodes, Objective, SampledTokens
from medvista.policies.sharding import gathered
from medvista.policies.vlm_policy import VLMPolicy
from medvista.ranks import totals
from medvista.rollout import ExperienceBatch


def prepare(
    batch: ExperienceBatch,
    policy: VLMPolicy,
    objective: Objective,
    kl_coefficient: float,
    *,
    temperature: float,
    share_prompts: bool = False,
) -> None:
    """Fills in what an update needs of whole groups and of the weights that it begins with; a collective step.

    Args:
        batch: this process's groups.
        policy: before the first optimiser step.
        objective: says what is needed.
        kl_coefficient: see `Objective.advantages`.
        temperature: of the rollouts.
        share_prompts: see `VLMPolicy.forward`.
    """
    if objective.correction.old_log_probs == "recomputed" or objective.baseline == "values":
        # Processes hold unequally many rows, so none may need the others for a forward pass.
        with torch.no_grad(), gathered(policy) as whole:
            options = {"temperature": temperature, "share_prompts": share_prompts}
            found = batch.log_probs(whole, values=objective.baseline == "values", **options)
        batch.values = found[2] if objective.baseline == "values" else None
        if objective.correction.old_log_probs == "recomputed":
            batch.engine_log_probs, batch.old_log_probs = batch.old_log_probs, found[0]
    episodes = Episodes(
        rewards=batch.rewards_PG,
        mask=batch.loss_mask,
        old_log_probs=batch.old_log_probs,
        reference_log_probs=batch.reference_log_probs,
        values=batch.values,
    )
    batch.advantages = objective.advantages(episodes, kl_coefficient, totals)
    if batch.values is not None:
        batch.returns = batch.advantages + batch.values
        batch.advantages = objective.scaled(batch.advantages, batch.loss_mask, totals)
    if batch.credits is not None:
        batch.advantages = batch.advantages + torch.where(batch.loss_mask, batch.credits, 0.0)


def sampled_tokens(
    part: ExperienceBatch,
    policy: VLMPolicy,
    *,
    temperature: float,
    entropy: WithEntropy,
    share_prompts: bool = False,
) -> SampledTokens:
    """The tensors of some rows, scored by the policy as it is now, with a gradient.

    Args:
        part: rows that `prepare` has seen.
        policy: being updated.
        temperature: of the rollouts.
        entropy: see `VLMPolicy.forward`.
        share_prompts: see `VLMPolicy.forward`.
    """
    assert part.advantages is not None, "advantages are of whole groups: compute them before the update begins"
    options: dict[str, Any] = {"temperature": temperature, "entropy": entropy, "share_prompts": share_prompts}
    found = part.log_probs(policy, values=part.values is not None, **options)
    values: Tensor | None = found[2] if part.values is not None else None
    return SampledTokens(
        log_probs=found[0],
        entropy=found[1],
        mask=part.loss_mask,
        advantages=part.advantages,
        old_log_probs=part.old_log_probs,
        engine_log_probs=part.engine_log_probs,
        reference_log_probs=part.reference_log_probs,
        values=values,
        old_values=part.values,
        returns=part.returns,
    )
