"""What a segmenter is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from medvista.types import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What to segment on a picture: a box, points, or both; or a phrase, for segmenters that read."""

    box: Box | None = None  # x1, y1, x2, y2, pixels of the picture
    inside: tuple[tuple[float, float], ...] = ()  # points (x, y) on the structure, pixels of the picture
    outside: tuple[tuple[float, float], ...] = ()  # points beside it
    text: str = ""

    @property
    def layout(self) -> tuple[bool, int]:
        """What has to be equal for two prompts to share a batch: whether there is a box, and the number of points."""
        return self.box is not None, len(self.inside) + len(self.outside)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """A mask a segmenter found."""

    mask: np.ndarray  # [H, W] bool, pixels of the picture
    score: float  # the model's own estimate of its quality (SAM: intersection over union), or of being what was asked


class Segmenter(Protocol):
    """Masks of prompted structures; several pictures at once where that saves time."""

    def segment(self, pictures: Sequence[np.ndarray], prompts: Sequence[Prompt]) -> list[list[Segmentation]]:
        """The masks of each prompt, best first; none where nothing was found.

        Args:
            pictures: displays ``[H, W]`` or ``[H, W, 3]`` uint8, one per prompt; equal ones are read once.
            prompts: one per picture.
        """
