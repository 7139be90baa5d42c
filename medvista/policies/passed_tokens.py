"""What went through a model to score rows: tokens, and the positions that they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from medvista.policies.shared_prompts import Prompt


@dataclass
class PassedTokens:
    """Sums over the passes of `VLMPolicy.forward` so far."""

    tokens: int = 0  # of all rows
    positions: int = 0  # in the model: a prompt that rows share once, and padding
    padding: int = 0  # of these

    def add(self, mask_NT: Tensor, prompts: Sequence[Prompt] | None, *, packed: bool) -> None:
        """Counts a pass.

        Args:
            mask_NT: 1 on real tokens.
            prompts: of the rows, where they are shared.
            packed: whether rows stood behind one another, without padding.
        """
        tokens = int(mask_NT.sum())
        positions = tokens if packed else mask_NT.numel()
        if prompts is not None:
            once = {prompt.number: prompt.tokens for prompt in prompts}
            positions = tokens - sum(prompt.tokens for prompt in prompts) + sum(once.values())
        self.tokens += tokens
        self.positions += positions
        self.padding += max(0, positions - tokens)
