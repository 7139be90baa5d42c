"""Spaces of text and of images of any size.

Gymnasium's `Text` refuses characters such as "<" unless each is listed, and `Sequence(Box)` refuses images of different
sizes, so both are too narrow here.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from medvista.types import MedicalImage, Observation

_SAMPLED_CHARACTERS = np.array(list('abcdefghijklmnopqrstuvwxyz 0123456789<>/{}[]":,.?µ°'))


class TextSpace(gymnasium.Space[str]):
    """Any text; samples are short and random."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: a text has no fixed length."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random text of 1 to 40 characters; masks have no meaning here."""
        length = self.np_random.integers(1, 41)
        return "".join(self.np_random.choice(_SAMPLED_CHARACTERS, length))

    def contains(self, x: Any) -> bool:
        """True for any text."""
        return isinstance(x, str)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, TextSpace)

    def __repr__(self) -> str:
        return "TextSpace()"


class ObservationSpace(gymnasium.Space[Observation]):
    """A text with any number of 8-bit images whose longer side is `view_size`.

    Args:
        view_size: longer side of every image in pixels.
        seed: for `sample`.
    """

    def __init__(self, view_size: int, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(shape=None, dtype=None, seed=seed)
        self.view_size = view_size

    @property
    def is_np_flattenable(self) -> bool:
        """False: texts and lists of images have no fixed length."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> Observation:
        """A random text with one square image of noise; masks have no meaning here."""
        pixels = self.np_random.integers(0, 256, (self.view_size, self.view_size), dtype=np.uint8)
        text = "".join(self.np_random.choice(_SAMPLED_CHARACTERS, 20))
        return Observation(text=text, images=(MedicalImage(pixels=pixels),))

    def contains(self, x: Any) -> bool:
        """True for an `Observation` whose images are all as a policy may be shown them."""
        return isinstance(x, Observation) and isinstance(x.text, str) and all(map(self._shows, x.images))

    def _shows(self, image: MedicalImage) -> bool:
        grey_or_rgb = image.pixels.ndim == 2 or image.pixels.shape[2:] == (3,)
        return image.pixels.dtype == np.uint8 and grey_or_rgb and max(image.size) == self.view_size

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, ObservationSpace) and other.view_size == self.view_size

    def __repr__(self) -> str:
        return f"ObservationSpace(view_size={self.view_size})"
