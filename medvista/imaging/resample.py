"""Crop and resize, with provenance: the result knows where on its source it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from medvista.imaging.display import default_window, to_display
from medvista.imaging.geometry import clip_box, scaling, translation
from medvista.types import MedicalImage, Window

MAX_ASPECT = 200  # longer side by shorter that an image processor takes: Qwen-VL's, and so the endpoints that serve it


def crop(image: MedicalImage, box: Sequence[float]) -> MedicalImage:
    """The part of `image` inside `box`, at native resolution and bit depth.

    Args:
        image: the image to crop; the pixels are a view of its own.
        box: ``x1, y1, x2, y2`` in pixels of `image`; sides are rounded to whole pixels and clipped to the image, and at
            least one pixel is kept.
    """
    x1, y1, x2, y2 = clip_box(box, image.size)
    width, height = image.size
    left, top = min(_nearest(x1), width - 1), min(_nearest(y1), height - 1)
    right, bottom = max(_nearest(x2), left + 1), max(_nearest(y2), top + 1)
    return replace(
        image,
        pixels=image.pixels[top:bottom, left:right],
        # The default window depends on all grey values: fix it, or a crop would be shown with other contrast.
        window=image.window if image.window is not None else _fixed_window(image),
        to_source=image.to_source @ translation(left, top),
        volume=None,
    )


def fit(image: MedicalImage, size: int) -> MedicalImage:
    """The 8-bit display of `image` resized so that its longer side is `size` pixels, in its true proportions.

    An image of more than `MAX_ASPECT` times its shorter side is shown that much wider that it can be processed: no box
    moves for it, since a box counts from side to side. See `is_strip`.

    Pixels that are not square in millimetres, as those of a coronal slice through thick axial ones, become square.
    Bicubic both ways; when it shrinks, Pillow widens the kernel with the scale, so fine structure is averaged out. The
    plain area mean (BOX) lets some of it through as aliases (measured on phantoms, see ``docs/diary.md``).

    Args:
        image: the image at its native bit depth.
        size: longer side of the result in pixels.
    """
    width, height = image.size
    shown = _shown_size(image, size)
    display = to_display(image)
    if shown != (width, height):
        display = np.asarray(Image.fromarray(display).resize(shown, Image.Resampling.BICUBIC))
    step_x, step_y = width / shown[0], height / shown[1]
    spacing = image.spacing_mm
    return replace(
        image,
        pixels=display,
        window=None,
        curve=None,
        volume=None,
        spacing_mm=None if spacing is None else (spacing[0] * step_y, spacing[1] * step_x),
        to_source=image.to_source @ scaling(step_x, step_y),
    )


def is_strip(image: MedicalImage, size: int) -> bool:
    """Whether `fit` has to show the image wider, or higher, than it is."""
    return min(_true_size(image, size)) < _least_side(size)


def widen(pixels: np.ndarray) -> np.ndarray:
    """A view ``[H, W]`` or ``[H, W, 3]`` uint8, its shorter side drawn out where `MAX_ASPECT` asks for it."""
    height, width = pixels.shape[:2]
    least = _least_side(max(height, width))
    if min(height, width) >= least:
        return pixels
    shown = max(width, least), max(height, least)
    return np.asarray(Image.fromarray(pixels).resize(shown, Image.Resampling.BICUBIC))


def _least_side(longer: int) -> int:
    return math.ceil(longer / MAX_ASPECT)


def _shown_size(image: MedicalImage, size: int) -> tuple[int, int]:
    width, height = _true_size(image, size)
    return max(width, _least_side(size)), max(height, _least_side(size))


def _true_size(image: MedicalImage, size: int) -> tuple[int, int]:
    """Pixels of the view in true proportions; 0 where a side is less than half a pixel."""
    width, height = float(image.size[0]), float(image.size[1])
    if image.spacing_mm is not None and min(image.spacing_mm) > 0:
        height *= image.spacing_mm[0] / image.spacing_mm[1]
    scale = size / max(width, height)
    return round(width * scale), round(height * scale)


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)


def _fixed_window(image: MedicalImage) -> Window | None:
    grey = image.pixels.ndim == 2 and image.pixels.dtype != np.uint8 and image.curve is None
    return default_window(image.pixels) if grey else None
