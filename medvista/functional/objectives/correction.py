"""Weights for tokens that another distribution sampled than the one the trainer computes."""

from __future__ import annotations

import torch
from torch import Tensor

from medvista.rl_settings import CorrectionConfig


def importance_weights(
    trainer_log_probs_NT: Tensor, engine_log_probs_NT: Tensor, mask_NT: Tensor, config: CorrectionConfig
) -> Tensor:
    """Truncated importance weights ``[N, T]``, without a gradient (Ionides 2008, doi 10.1198/106186008X320456).

    An engine's kernels and precision differ from the trainer's, and its weights may be older: what it sampled is then
    weighed by ``p_trainer / p_engine``, of a token or multiplied over its sequence, at most `CorrectionConfig.highest`.

    Args:
        trainer_log_probs_NT: under the trainer's weights before the update.
        engine_log_probs_NT: under the distribution that was sampled from.
        mask_NT: bool, True on sampled tokens.
        config: level, largest weight, and what becomes of larger ones.

    >>> trainer, engine = torch.tensor([[1.0, 0.5]]).log(), torch.tensor([[0.25, 0.25]]).log()
    >>> mask = torch.ones(1, 2, dtype=torch.bool)
    >>> importance_weights(trainer, engine, mask, CorrectionConfig(level="token", highest=3.0))
    tensor([[3., 2.]])
    >>> importance_weights(trainer, engine, mask, CorrectionConfig(level="token", highest=3.0, beyond="mask"))
    tensor([[0., 2.]])
    """
    difference_NT = torch.where(mask_NT, trainer_log_probs_NT - engine_log_probs_NT, 0.0).detach()
    if config.level == "sequence":
        difference_NT = difference_NT.sum(dim=1, keepdim=True).expand_as(difference_NT)
    weights_NT = difference_NT.exp()
    if config.beyond == "mask":
        return weights_NT.masked_fill(weights_NT > config.highest, 0.0)
    return weights_NT.clamp_max(config.highest)
