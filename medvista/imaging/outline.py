"""Outlines of masks drawn on a display, for people and policies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import ImageColor
from scipy import ndimage

from medvista.imaging.draw import COLOURS


def outlined(display: np.ndarray, masks: Sequence[np.ndarray], colours: Sequence[str] = COLOURS) -> np.ndarray:
    """A display with the rim of each mask drawn just outside it, so that what it encloses stays visible.

    Args:
        display: ``[H, W]`` or ``[H, W, 3]`` uint8.
        masks: ``[H, W]`` bool each.
        colours: used in turn.

    Returns:
        ``[H, W, 3]`` uint8.
    """
    picture = np.stack([display] * 3, axis=-1) if display.ndim == 2 else display.copy()
    line = max(min(display.shape[:2]) // 256, 1)
    for index, mask in enumerate(masks):
        rim = ndimage.binary_dilation(mask, iterations=line) & ~mask
        picture[rim] = ImageColor.getrgb(colours[index % len(colours)])
    return picture
