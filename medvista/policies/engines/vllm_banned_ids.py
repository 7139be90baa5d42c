"""Ids that are never sampled, as vLLM's sampler is told of them; imported only where vLLM is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor

BANNED = "banned_ids"  # the key of vLLM's `additional_config` that names them


class BannedIds(LogitsProcessor):
    """Gives the banned ids no probability, in every request and before anything else is made of the logits."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._banned = torch.tensor(vllm_config.additional_config[BANNED], dtype=torch.long, device=device)

    def apply(self, logits: Tensor) -> Tensor:
        """Logits ``[B, V]`` without the banned ids."""
        return logits.index_fill_(-1, self._banned, -torch.inf)

    def is_argmax_invariant(self) -> bool:
        """No: the likeliest id may be banned."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Every request bans the same ids."""
