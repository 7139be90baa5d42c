"""Affines and boxes: the one place where coordinates change their frame.

Coordinates follow `medvista.types`: ``(x, y)``, origin at the corner of the top-left pixel, so that resizing is a pure
scaling and a box covers whole pixels when its sides are integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medvista.types import Box, MedicalImage, Region

MODEL_SCALE = 1000  # boxes towards the model are 0-1000 of the image shown


def translation(dx: float, dy: float) -> np.ndarray:
    """Affine ``[3, 3]`` that adds ``(dx, dy)``."""
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])


def scaling(sx: float, sy: float) -> np.ndarray:
    """Affine ``[3, 3]`` that multiplies x by `sx` and y by `sy`."""
    return np.array([[sx, 0.0, 0.0], [0.0, sy, 0.0], [0.0, 0.0, 1.0]])


def map_box(affine: np.ndarray, box: Sequence[float]) -> Box:
    """The axis-aligned box around `box` after `affine` (exact where the affine does not rotate).

    >>> map_box(translation(5, 0) @ scaling(2, 2), (0, 0, 10, 20))
    (5.0, 0.0, 25.0, 40.0)
    """
    x1, y1, x2, y2 = box
    corners = affine @ np.array([[x1, x2, x1, x2], [y1, y1, y2, y2], [1.0, 1.0, 1.0, 1.0]])
    (left, top), (right, bottom) = corners[:2].min(axis=1), corners[:2].max(axis=1)
    return float(left), float(top), float(right), float(bottom)


def box_to_source(image: MedicalImage, box: Sequence[float]) -> Box:
    """A box in pixels of `image`, in pixels of the source it was derived from."""
    return map_box(image.to_source, box)


def box_from_source(image: MedicalImage, box: Sequence[float]) -> Box:
    """A box in source pixels, in pixels of `image`; it may reach beyond the image."""
    return map_box(np.linalg.inv(image.to_source), box)


def lies_on(region: Region, image: MedicalImage) -> bool:
    """Whether a region's pixels are those of the image's source: the same picture, or the same slice of a volume."""
    return (region.image, region.slice) == (image.source, image.slice)


def box_to_model(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in pixels as the model writes it: integers 0-1000 of the image.

    Args:
        box: ``x1, y1, x2, y2`` in pixels.
        size: width and height of the image in pixels.

    >>> box_to_model((64, 96, 128, 160), (448, 448))
    (143, 214, 286, 357)
    """
    scaled = (_scale(value, MODEL_SCALE / side) for value, side in zip(box, (*size, *size), strict=True))
    x1, y1, x2, y2 = (min(max(int(value + 0.5), 0), MODEL_SCALE) for value in scaled)
    return x1, y1, x2, y2


def box_from_model(box: Sequence[float], size: tuple[int, int]) -> Box:
    """The inverse of `box_to_model`: a box of 0-1000, in pixels of an image of `size` (width, height).

    >>> box_from_model((0, 0, 500, 1000), (448, 224))
    (0.0, 0.0, 224.0, 224.0)
    """
    x1, y1, x2, y2 = (_scale(value, side / MODEL_SCALE) for value, side in zip(box, (*size, *size), strict=True))
    return x1, y1, x2, y2


def _scale(value: float, factor: float) -> float:
    return float(value) * factor


def clip_box(box: Sequence[float], size: tuple[int, int]) -> Box:
    """The part of `box` inside an image of `size` (width, height)."""
    width, height = size
    x1, y1, x2, y2 = box
    return (
        float(min(max(x1, 0), width)),
        float(min(max(y1, 0), height)),
        float(min(max(x2, 0), width)),
        float(min(max(y2, 0), height)),
    )
