"""Pixtral's vision tower, in Mistral 3 and in LLaVA's class: pictures keep their shape, line after line of patches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from medvista.policies.families.family import Family, Image
from medvista.policies.families.pictures import enlarged


class Pixtral(Family):
    """A line of patches ends with ``[IMG_BREAK]``, the last with ``[IMG_END]``; Mistral 3 merges squares of patches."""

    model_types = ("mistral3", "llava")  # of LLaVA's class those with Pixtral's vision tower
    tensors = frozenset({"pixel_values", "image_sizes"})
    visual_tokens = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")

    @classmethod
    def takes(cls, config: Any) -> bool:
        """Mistral 3, and LLaVA where the vision tower is Pixtral's."""
        return bool(config.model_type == "mistral3" or _is_pixtral(config))

    @property
    def merged(self) -> int:
        """Pixels of a side of one visual token."""
        return _merged(self.config)

    @property
    def options(self) -> Mapping[str, Any]:
        """Sides of pictures are multiples of a visual token's, as the family's processor has it."""
        return {"patch_size": self.merged}

    def first_messages(self, content: list[dict[str, Any]], tools: str) -> list[dict[str, Any]]:
        """Tools as the system message where the template would otherwise write one with the date of the day.

        A prompt that changes from day to day would not be the one that was trained on.
        """
        if "strftime_now" not in (self.tokenizer.chat_template or ""):
            return super().first_messages(content, tools)
        system = {"role": "system", "content": [{"type": "text", "text": tools}]}
        return [system, {"role": "user", "content": content}]

    def see(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Tensor]]:
        """Pictures that would be one visual token made twice as large, since the model cannot read a single one."""
        side = 2 * self.merged
        return super().see(
            [enlarged(p, side, type(self.image_processor).__name__) if max(p.shape[:2]) < side else p for p in pictures]
        )

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Each picture ``[1, 3, H, W]`` without the padding to the largest, and its size ``[1, 2]``."""
        sizes = torch.as_tensor(batch["image_sizes"])
        return [
            {"pixel_values": pixels[None, :, :height, :width], "image_sizes": torch.tensor([[height, width]])}
            for pixels, (height, width) in zip(batch["pixel_values"], sizes.tolist(), strict=True)
        ]

    def collate(self, images: Sequence[Image], device: torch.device | None = None) -> dict[str, Tensor]:
        """Padded to the largest picture, on the right and below."""
        if not images:
            return {}
        sizes = torch.cat([image["image_sizes"] for image in images])
        height, width = sizes.amax(dim=0).tolist()
        pixels = [
            pad(image["pixel_values"], (0, width - image["pixel_values"].shape[3], 0, height - size))
            for image in images
            for size in [image["pixel_values"].shape[2]]
        ]
        return {"pixel_values": torch.cat(pixels).to(device), "image_sizes": sizes.to(device)}

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """Rows by columns, without the signs at the ends of rows; sides are rounded up."""
        return max(2, math.ceil(side / _merged(config))) ** 2

    def placeholders(self, image: Image) -> str:
        """Line by line."""
        rows, columns = (image["image_sizes"][0] // self.merged).tolist()
        lines = [self.image_token * columns] * rows
        return "[IMG_BREAK]".join(lines) + "[IMG_END]"


def _merged(config: Any) -> int:
    merge = config.spatial_merge_size if config.model_type == "mistral3" else 1
    return int(config.vision_config.patch_size * merge)


def _is_pixtral(config: Any) -> bool:
    return bool(config.model_type == "llava" and config.vision_config.model_type == "pixtral")
