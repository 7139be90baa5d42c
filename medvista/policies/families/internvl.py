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

    def placeholders(self, image: Image) -> str:
        """As many per tile as patches are left when squares of them have been put together."""
        height, width = self.config.vision_config.image_size
        patch_height, patch_width = self.config.vision_config.patch_size
        patches = (height // patch_height) * (width // patch_width)
        tokens = int(patches * self.config.downsample_ratio**2) * int(image["num_patches"])
        return f"<img>{self.image_token * tokens}</img>"
