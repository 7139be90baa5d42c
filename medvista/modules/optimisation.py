"""The optimiser and schedule that supervised and reinforcement learning share."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from medvista.policies.vlm_policy import VLMPolicy
from medvista.settings import OptimiserConfig


def freeze(policy: VLMPolicy, config: OptimiserConfig) -> None:
    """Freezes what has no learning rate; before a strategy wraps the policy, which then waits for other gradients."""
    policy.vision_tower.requires_grad_(config.vision_learning_rate > 0)


def configure(policy: VLMPolicy, config: OptimiserConfig, total_steps: int) -> dict[str, Any]:
    """Optimiser and per-step scheduler in Lightning's form, of a policy that `freeze` has seen."""
    # A list, for its order: the optimiser's state is saved by position, and a set's order differs from run to run.
    vision = list(policy.vision_tower.parameters())
    in_vision = {id(parameter) for parameter in vision}
    groups = [
        {"params": [p for p in policy.parameters() if id(p) not in in_vision], "lr": config.learning_rate},
        {"params": [p for p in vision if p.requires_grad], "lr": config.vision_learning_rate},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], betas=config.betas, weight_decay=config.weight_decay
    )
    scheduler = LambdaLR(optimizer, lambda step: _factor(step, config, total_steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _factor(step: int, config: OptimiserConfig, total_steps: int) -> float:
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    progress = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * progress)).item())
    return config.decay_to + (1 - config.decay_to) * cosine
