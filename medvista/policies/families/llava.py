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

    def placeholders(self, image: Image) -> str:
        """As many as the configuration says."""
        return self.image_token * int(self.config.image_seq_length)
