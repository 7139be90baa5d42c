"""Native grey values to what a screen, or a vision tower, is shown: 8 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medvista.notices import notice
from medvista.types import GreyCurve, MedicalImage, Window

CT_WINDOW = Window(centre=40, width=400)  # soft tissue, where a CT does not say: its extremes are air and metal
_PERCENTILES = (0.5, 99.5)  # of a volume's values: a few bright vessels do not darken the rest
_SAMPLES = 2_000_000
_LABELS = 64  # a picture of 8 bits that stays below counts labels: made for a screen, it would be all but black


def default_window(pixels: np.ndarray) -> Window:
    """The window of an image that has none: the full range of 8 bits, else the finite minimum to maximum."""
    if pixels.dtype == np.uint8:
        return Window(centre=127.5, width=255.0)
    return _full_range(pixels)


def _full_range(pixels: np.ndarray) -> Window:
    values = pixels
    if np.issubdtype(pixels.dtype, np.floating):
        values = pixels[np.isfinite(pixels)]
    if values.size == 0:
        return Window(centre=0.0, width=1.0)
    low, high = float(values.min()), float(values.max())
    return Window(centre=(low + high) / 2, width=max(high - low, 1e-6))


def label_window(pixels: np.ndarray) -> Window | None:
    """The window, minimum to maximum, of a picture of 8 bits with few, dark greys, as a map of labels is; else None.

    >>> label_window(np.array([[0, 1], [4, 2]], np.uint8))
    Window(centre=2.0, width=4.0)
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.size == 0:
        return None
    low, high = float(pixels.min()), float(pixels.max())
    return Window(centre=(low + high) / 2, width=high - low) if low < high < _LABELS else None


def with_label_window(image: MedicalImage, where: str) -> MedicalImage:
    """A picture as it was read; with its `label_window` where it has one and no display of its own, which is counted.

    Args:
        image: the whole picture, when its file is read: a dark part of a picture is no map of labels.
        where: its file.
    """
    window = label_window(image.pixels) if image.window is None and image.curve is None else None
    if window is None:
        return image
    notice("8-bit pictures of few, dark greys were shown from their darkest to their brightest", where)
    return replace(image, window=window)


def robust_window(voxels: np.ndarray) -> Window | None:
    """One window for all slices of a volume of any depth, from its percentiles; None for one grey in 8 bits."""
    if voxels.dtype == np.uint8 and voxels.min() == voxels.max():
        return None
    values = voxels.ravel()[:: max(voxels.size // _SAMPLES, 1)]
    values = values[np.isfinite(values)]
    if values.size == 0:
        return _full_range(voxels)
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    return Window(centre=(low + high) / 2, width=high - low) if high > low else _full_range(voxels)


def to_display(image: MedicalImage, window: Window | None = None) -> np.ndarray:
    """The image in 8 bits: ``[H, W]`` uint8 of grey values through the window, or ``[H, W, 3]`` RGB as it is.

    Args:
        image: the image; its own window is used unless one is given, and its curve where it has no window.
        window: display window in grey values of the image (HU for CT).
    """
    pixels = image.pixels
    if pixels.ndim == 3:
        return pixels
    window = window or image.window
    if window is None and image.curve is not None:
        return _apply_curve(pixels, image.curve)
    if pixels.dtype == np.uint8 and window is None:
        return pixels
    return _apply_window(pixels, window or default_window(pixels))


def _apply_window(pixels: np.ndarray, window: Window) -> np.ndarray:
    width = max(window.width, 1e-6)  # a width of 0, as some files have it, is a step
    low = window.centre - width / 2
    # float32 in place: a quarter of the time of the plain expression, and exact to 1/255 for 16-bit values.
    grey = pixels.astype(np.float32)
    grey -= low
    grey *= 255.0 / width
    grey += 0.5  # rounds instead of truncating
    np.clip(grey, 0.0, 255.0, out=grey)
    if np.issubdtype(pixels.dtype, np.floating):
        np.nan_to_num(grey, copy=False)
    return grey.astype(np.uint8)


def _apply_curve(pixels: np.ndarray, curve: GreyCurve) -> np.ndarray:
    entries = np.rint((pixels.astype(np.float32) - curve.first) / curve.step)
    entries = np.clip(np.nan_to_num(entries), 0, len(curve.values) - 1)
    shown = curve.values[entries.astype(np.intp)]
    shown[np.isnan(pixels)] = 0  # missing, which is black even where the curve begins with white
    return shown
