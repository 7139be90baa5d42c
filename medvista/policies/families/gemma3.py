"""Gemma 3 and MedGemma: the tokens of an image see each other both ways, and most layers look back a window only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medvista.policies.families.attention import same_image
from medvista.policies.families.family import Family, Image


class Gemma3(Family):
    """Every picture is resized to one square; with pan and scan, crops of a long one follow it.

    The chat template writes ``<start_of_image>``, behind which the processor puts the visual tokens. The model gets
    them marked in ``token_type_ids``: without these its mask would be causal inside an image, unlike in its training.
    """

    model_types = ("gemma3",)
    tensors = frozenset({"pixel_values", "num_crops"})
    counts = frozenset({"num_crops"})
    visual_tokens = ("<start_of_image>", "<end_of_image>", "<image_soft_token>")

    @property
    def options(self) -> Mapping[str, Any]:
        """Nothing: it neither crops nor pads."""
        return {}

    @property
    def mark(self) -> str:
        """The token that begins an image."""
        return str(self.tokenizer.convert_ids_to_tokens(self.config.boi_token_id))

    def split(self, batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
        """Each picture ``[1 + crops, 3, H, W]``, and the number of its crops ``[1]``."""
        crops = torch.as_tensor(batch["num_crops"])
        pictures = torch.split(torch.as_tensor(batch["pixel_values"]), (crops + 1).tolist())
        return [{"pixel_values": p, "num_crops": n[None]} for p, n in zip(pictures, crops, strict=True)]

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """As many as the configuration says, whatever the size; a square has no crops."""
        return int(config.mm_tokens_per_image)

    def placeholders(self, image: Image) -> str:
        """The picture between its two signs, and its crops behind a sentence, as the family's processor writes them."""
        end = self.tokenizer.convert_ids_to_tokens(self.config.eoi_token_id)
        one = f"\n\n{self.mark}{self.image_token * self.tokens_of_square(self.config, 0)}{end}\n\n"
        crops = int(image["num_crops"])
        if not crops:
            return one
        shown = " ".join([one] * crops)
        return f"Here is the original image {one} and here are some crops to help you see better {shown}"

    def beside(self, ids: Tensor) -> dict[str, Tensor]:
        """1 on the visual tokens."""
        return {"token_type_ids": (ids == self.image_token_id).long()}

    def pattern(self, causal: Tensor, columns: Tensor, ids: Tensor, real: Tensor) -> Tensor:
        """Also all of an image from within it; an image is always fed whole."""
        return causal | same_image(columns, ids == self.image_token_id, real)
