"""InternVL 3 and 3.5 in their Hugging Face form: a picture is cut into square tiles, and shown whole beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medvista.policies.families.family import Family, Image


class InternVL(Family):
    """A picture is resized to the grid of tiles nearest to its shape, 12 at most; a thumbnail follows several tiles.

    The template writes one context token per picture, and the processor puts all its tiles between ``<img>`` and
    ``</img>``.
    """

    model_types = ("internvl",)
    tensors = frozenset({"pixel_values", "num_patches"})
    counts = frozenset({"num_patches"})
    visual_tokens = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>")

    @property
    def options(self) -> Mapping[str, Any]:
        """To cut tiles, as the family's processor tells it to."""
        return {"crop_to_patches": True}

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """The tiles ``[tiles, 3, H, W]`` of each picture, and their number ``[1]``."""
        tiles = torch.as_tensor(batch["num_patches"])
        pictures = torch.split(torch.as_tensor(batch["pixel_values"]), tiles.tolist())
        return [{"pixel_values": p, "num_patches": n[None]} for p, n in zip(pictures, tiles, strict=True)]

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """Of as many tiles as are at most twice the picture's area, 3 x 3 at most, and of the thumbnail."""
        height, width = config.vision_config.image_size
        columns = next(n for n in (3, 2, 1) if n == 1 or side**2 > 0.5 * n**2 * height * width)
        return _tokens_of_tile(config) * (columns**2 + (columns > 1))

    def placeholders(self, image: Image) -> str:
        """Those of all its tiles between two signs."""
        return f"<img>{self.image_token * (_tokens_of_tile(self.config) * int(image['num_patches']))}</img>"


def _tokens_of_tile(config: Any) -> int:
    """As many as patches are left when squares of them have been put together."""
    height, width = config.vision_config.image_size
    patch_height, patch_width = config.vision_config.patch_size
    return int((height // patch_height) * (width // patch_width) * config.downsample_ratio**2)
