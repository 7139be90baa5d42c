"""Qwen2-VL, Qwen2.5-VL, Qwen3-VL and kin: a picture is a grid of patches, and positions have three dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medvista.policies.families.family import Family, Image


class QwenVL(Family):
    """Pictures of any size within a budget of pixels; squares of patches are merged into one visual token.

    Positions are those of M-RoPE (arXiv 2409.12191): time, height and width of each patch, and a picture takes as many
    as its longer side.
    """

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
    tensors = frozenset({"pixel_values", "image_grid_thw"})
    tower = "visual"
    visual_tokens: ClassVar[tuple[str, ...]] = (
        "<|vision_start|>",
        "<|vision_end|>",
        "<|vision_pad|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )

    @property
    def options(self) -> Mapping[str, Any]:
        """Nothing: it neither crops nor pads."""
        return {}

    def visual_ids(self) -> list[int]:
        """Also what the configuration names, where a vocabulary calls it otherwise."""
        named = (self.config.video_token_id, self.config.vision_start_token_id, self.config.vision_end_token_id)
        return [*super().visual_ids(), *named]

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Patches ``[patches, values]`` and grid ``[1, 3]`` (time, height, width) of each picture."""
        patches = batch["image_grid_thw"].prod(-1).tolist()
        return [
            {"pixel_values": pixels, "image_grid_thw": grid[None]}
            for pixels, grid in zip(torch.split(batch["pixel_values"], patches), batch["image_grid_thw"], strict=True)
        ]

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """As many as it has squares of merged patches, where it is within the budget of pixels."""
        merged = config.vision_config.patch_size * config.vision_config.spatial_merge_size
        return int(max(1, round(side / merged))) ** 2

    def placeholders(self, image: Image) -> str:
        """One per square of merged patches."""
        merge = self.config.vision_config.spatial_merge_size
        return self.image_token * (int(image["image_grid_thw"].prod()) // merge**2)

    def positions(self, body: nn.Module, ids: Tensor, mask: Tensor, images: Mapping[str, Tensor]) -> Tensor:
        """``[3, B, T]``, as the model counts them."""
        types = (ids == self.image_token_id).long()
        get_rope_index: Any = body.get_rope_index
        positions: Tensor = get_rope_index(
            ids, mm_token_type_ids=types, image_grid_thw=images.get("image_grid_thw"), attention_mask=mask
        )[0]
        return positions

    def text_positions(self, next_position: Tensor) -> Tensor:
        """``[3, B, 1]``: of text all three are the same."""
        return next_position[:, None].expand(3, -1, -1)
