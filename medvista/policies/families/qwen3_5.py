"""Qwen3.5-VL: three of four layers are recurrent, so a token's state depends on all that was fed before it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from medvista.policies.families.qwen_vl import QwenVL


class Qwen35(QwenVL):
    """As `QwenVL`, but padding between a row's tokens would enter the state of its recurrent layers.

    No mask can take it out again, so in rollouts every episode has a cache of its own. In training rows are padded
    behind their last token, where a recurrent layer never looks.
    """

    model_types = ("qwen3_5", "qwen3_5_moe")
    one_row_per_cache = True

    def visible(
        self, causal: Tensor, columns: Tensor, ids: Tensor, real: Tensor
    ) -> Tensor | Mapping[str, Tensor | None]:
        """The pattern for layers with attention, and nothing to hide from the others."""
        return {"full_attention": causal, "linear_attention": None}
