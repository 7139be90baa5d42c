"""LLaVA-1.5: one square picture of a fixed number of tokens."""

from __future__ import annotations

from typing import Any

from medvista.policies.families.family import Family, Image


class Llava(Family):
    """Every picture is resized to the square that the vision tower takes: see `PictureInput`."""

    model_types = ("llava",)

    @classmethod
    def takes(cls, config: Any) -> bool:
        """Those whose vision tower takes squares; Pixtral's has a family of its own."""
        return super().takes(config) and config.vision_config.model_type != "pixtral"

    @classmethod
    def tokens_of_square(cls, config: Any, side: int) -> int:
        """As many as the configuration says, whatever the size."""
        return int(config.image_seq_length)

    def placeholders(self, image: Image) -> str:
        """As many of any picture."""
        return self.image_token * self.tokens_of_square(self.config, 0)
