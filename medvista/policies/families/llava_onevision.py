"""LLaVA-OneVision: every picture as one square, as the family shows several pictures in one conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medvista.policies.families.family import Family, Image
from medvista.policies.families.pictures import square


class LlavaOnevision(Family):
    """One square and one token that ends its last line.

    The family cuts the picture of a conversation that has a single one into tiles, and shows several whole. A first
    picture cannot know whether others follow, and tokens are never rewritten, so here all are shown whole. A picture
    that is not square would be padded, which moves every box: it is resized instead.
    """

    model_types = ("llava_onevision",)
    tensors = frozenset({"pixel_values", "image_sizes", "batch_num_images"})
    visual_tokens = ("<image>", "<video>")

    @property
    def options(self) -> Mapping[str, Any]:
        """Nothing: what it would pad is squared first."""
        return {}

    def see(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Tensor]]:
        """All pictures squared first."""
        side = int(self.config.vision_config.image_size)
        return super().see([square(picture, side, type(self.image_processor).__name__) for picture in pictures])

    def arrange(self, pictures: list[np.ndarray]) -> Any:
        """One more than there are: of a single one the processor would make tiles."""
        return [[*pictures, pictures[-1]]]

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """The square ``[1, 3, H, W]`` and the size ``[1, 2]`` of each picture."""
        pairs = list(zip(batch["pixel_values"], batch["image_sizes"], strict=True))[:-1]
        return [{"pixel_values": pixels[:1], "image_sizes": size[None]} for pixels, size in pairs]

    def collate(self, images: Sequence[Image], device: torch.device | None = None) -> dict[str, Tensor]:
        """Also how many pictures the conversation has; two where it is one, so that none is taken for tiles."""
        tensors = super().collate(images, device)
        if tensors:
            tensors["batch_num_images"] = torch.tensor([max(2, len(images))], device=device)
        return tensors

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """One per patch, and one for the end of the last line, whatever the size."""
        patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        return int(patches + 1 - (config.vision_feature_select_strategy == "default"))

    def placeholders(self, image: Image) -> str:
        """As many of any picture."""
        return self.image_token * self.tokens_of_square(self.config, 0)
