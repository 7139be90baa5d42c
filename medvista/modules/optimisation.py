"""What is trained at which learning rate, by which optimiser and schedule; supervised and RL share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from medvista.errors import UserError
from medvista.modules.optimisers import make_optimiser
from medvista.notices import notice
from medvista.policies.name_patterns import check_patterns, matches
from medvista.policies.precision import lost_share
from medvista.policies.sharding import own_part
from medvista.policies.vlm_policy import VLMPolicy
from medvista.settings import OptimiserConfig

_WORTH_SAYING = 0.01  # share of weights that an update leaves as they are
_LOST = (
    "weights kept in 16 bits lose updates as small as the learning rate: keep them in float32 (policy.dtype=float32 "
    "with trainer.precision=bf16-mixed or 32-true), or train adapters (policy.lora.rank=16)"
)


def freeze(policy: VLMPolicy, config: OptimiserConfig) -> None:
    """Freezes what has no learning rate; before a strategy wraps the policy, which then waits for other gradients.

    What was frozen when the policy was loaded stays so whatever its learning rate.

    Raises:
        UserError: a pattern of ``learning_rates`` names no weight.
    """
    for group in rate_groups(policy, config):
        if group["lr"] == 0:
            for parameter in group["params"]:
                parameter.requires_grad_(False)


def configure(policy: VLMPolicy, config: OptimiserConfig, total_steps: int) -> dict[str, Any]:
    """Optimiser and per-step scheduler in Lightning's form, of a policy that `freeze` has seen.

    Raises:
        UserError: nothing is left to train.
    """
    groups = rate_groups(policy, config)
    if not groups:
        raise UserError(
            "nothing is trained: every weight is frozen or has a learning rate of 0; give optimiser.learning_rate."
        )
    warn_of_lost_updates(groups)
    optimizer = make_optimiser(groups, config)
    scheduler = LambdaLR(optimizer, lambda step: _factor(step, config, total_steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def rate_groups(policy: VLMPolicy, config: OptimiserConfig) -> list[dict[str, Any]]:
    """What takes gradients, by learning rate: the language model, the vision tower, then a group per pattern.

    Raises:
        UserError: a pattern of ``learning_rates`` names no weight.
    """
    check_patterns(config.learning_rates, [name for name, _ in policy.named_parameters()], "optimiser.learning_rates")
    vision = {id(parameter) for parameter in policy.vision_tower.parameters()}
    rates = {"": config.learning_rate, " vision": config.vision_learning_rate, **config.learning_rates}
    # Lists, for their order: the optimiser's state is saved by position, and a set's order differs from run to run.
    groups: dict[str, list[nn.Parameter]] = {key: [] for key in rates}
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad:
            own = next((pattern for pattern in config.learning_rates if matches(name, pattern)), None)
            groups[own or (" vision" if id(parameter) in vision else "")].append(parameter)
    return [{"params": params, "lr": rates[key]} for key, params in groups.items() if params]


def warn_of_lost_updates(groups: Sequence[Mapping[str, Any]]) -> float:
    """Says, where it is more than a few, how many weights an update would leave as they are; returns the largest share.

    Args:
        groups: parameters and their learning rate, as `rate_groups` gives them.
    """
    largest = 0.0
    for group in groups:
        short = [own_part(weight) for weight in group["params"] if weight.dtype.itemsize < 4]
        share = lost_share(short, group["lr"]) if group["lr"] else 0.0
        largest = max(largest, share)
        if share > _WORTH_SAYING:
            notice(_LOST, f"an update of {group['lr']:g} leaves {share:.1%} of the weights as they are")
    return largest


def _factor(step: int, config: OptimiserConfig, total_steps: int) -> float:
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    progress = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
    # Under precision=bf16-true the default type is bfloat16, which would round the schedule to steps of 0.004.
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * progress, dtype=torch.float32)).item())
    return config.decay_to + (1 - config.decay_to) * cosine
