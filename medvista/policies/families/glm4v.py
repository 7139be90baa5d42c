"""GLM-4.1V, GLM-4.5V and GLM-4.6V: grids of patches as in Qwen-VL, and no token that closes a turn."""

from __future__ import annotations

from medvista.policies.families.family import Family
from medvista.policies.families.qwen_vl import QwenVL


class Glm4V(QwenVL):
    """As `QwenVL`, with placeholders of its own.

    A turn ends with the head of the next one (``<|user|>``, ``<|observation|>``), which the model samples: the
    generation config names them, and the renderer does not write a head twice.
    """

    model_types = ("glm4v", "glm4v_moe", "glm46v")
    visual_tokens = (
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
        "<|video|>",
    )

    def visual_ids(self) -> list[int]:
        """The configuration names other ids than `QwenVL`'s."""
        config = self.config
        starts = (config.image_start_token_id, config.video_start_token_id)
        ends = (config.image_end_token_id, config.video_end_token_id)
        return [*Family.visual_ids(self), *starts, *ends, config.video_token_id]
