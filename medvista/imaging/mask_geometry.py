"""Masks between frames: from the image a model looked at to the source it was derived from."""

from __future__ import annotations

import math

import numpy as np

from medvista.imaging.geometry import box_to_source, clip_box
from medvista.imaging.masks import mask_box
from medvista.types import MedicalImage


def mask_to_source(image: MedicalImage, mask: np.ndarray, source_size: tuple[int, int]) -> np.ndarray:
    """A mask on `image` as one on its source: a source pixel is in it where its centre falls on a pixel that is.

    Args:
        image: the image the mask was found on.
        mask: ``[H, W]`` bool, of the size of `image`.
        source_size: width and height of the source in pixels.

    Raises:
        ValueError: the mask has another size than the image.
    """
    if mask.shape != image.pixels.shape[:2]:
        raise ValueError(f"a mask of shape {mask.shape} does not fit an image of {image.size[0]} x {image.size[1]}")
    width, height = source_size
    if image.size == source_size and np.array_equal(image.to_source, np.eye(3)):
        return mask.copy()
    on_source = np.zeros((height, width), dtype=bool)
    outline = mask_box(mask)
    if outline is None:
        return on_source
    # Only the pixels the mask can reach are looked up: sources may be large.
    x1, y1, x2, y2 = clip_box(box_to_source(image, outline), source_size)
    left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    columns, rows, _ = np.linalg.inv(image.to_source) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    # A hair's breadth inwards: rounding must not carry a centre that lies on an edge to the pixel before it.
    columns, rows = np.floor(columns + 1e-9).astype(int), np.floor(rows + 1e-9).astype(int)
    inside = (columns >= 0) & (columns < mask.shape[1]) & (rows >= 0) & (rows < mask.shape[0])
    found = np.zeros(x.size, dtype=bool)
    found[inside] = mask[rows[inside], columns[inside]]
    on_source[top:bottom, left:right] = found.reshape(x.shape)
    return on_source
