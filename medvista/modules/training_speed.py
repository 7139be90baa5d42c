"""What a step of training took, and how much of what passed through the model was padding."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from medvista.modules.peak_memory import peak_memory_mb
from medvista.policies.vlm_policy import VLMPolicy


class TrainingSpeed:
    """Watches a policy from here on.

    Args:
        policy: that is trained.
    """

    def __init__(self, policy: VLMPolicy) -> None:
        self.policy = policy
        self._begun = time.perf_counter()
        self._passed = replace(policy.passed)
        self._encoded, self._distinct = policy.features.encoded, policy.features.distinct

    def statistics(self) -> dict[str, Tensor]:
        """As training logs them: of this process, since others take another time."""
        seconds, features = time.perf_counter() - self._begun, self.policy.features
        positions = self.policy.passed.positions - self._passed.positions
        found = {
            "speed/train_seconds": seconds,
            "speed/trained_tokens_per_second": (self.policy.passed.tokens - self._passed.tokens) / seconds,
            "speed/padding_share": (self.policy.passed.padding - self._passed.padding) / max(positions, 1),
            "speed/peak_memory_mb": peak_memory_mb(self.policy.device),
        }
        if features.distinct > self._distinct:
            images = features.distinct - self._distinct
            found["speed/train_encodes_per_image"] = (features.encoded - self._encoded) / images
        return {name: torch.tensor(value) for name, value in found.items()}
