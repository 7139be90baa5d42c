"""An image with nothing in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medvista.imaging.display import default_window
from medvista.types import MedicalImage


def blank_image(image: MedicalImage) -> MedicalImage:
    """The image with one grey everywhere: what it was taken of and where stays, what it shows goes.

    Shape, kind of pixels and display window are kept, so that tools can run on it; shown, it is mid-grey.
    """
    if image.pixels.ndim == 3:
        return _filled(image, 128)
    window = image.window or default_window(image.pixels)
    centre = window.centre if image.pixels.dtype.kind == "f" else round(window.centre)
    # The window is fixed: that of a constant image would be a step.
    return replace(_filled(image, centre), window=window)


def _filled(image: MedicalImage, value: float) -> MedicalImage:
    """One value in every pixel, and in every voxel of its volume: a tool could show another slice of that."""
    volume = image.volume
    if volume is not None:
        volume = replace(volume, voxels=np.broadcast_to(volume.voxels.dtype.type(value), volume.voxels.shape))
    return replace(image, pixels=np.full_like(image.pixels, value), volume=volume)
