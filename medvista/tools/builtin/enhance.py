"""The tool that brings out what a display hides: local contrast, dark parts, edges, or less noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from scipy import ndimage
from skimage import exposure, filters, restoration

from medvista.imaging.display import default_window, to_display
from medvista.tools.base import pick_image, tool
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, ToolResult, Window

Method = Literal["clahe", "gamma", "denoise", "sharpen"]

MAX_DENOISED_PIXELS = 1_000_000  # non-local means takes about a second of one core for as many
CLIP_LIMIT = 0.01  # scikit-image's default
SHARPEN_RADIUS = 2.0  # pixels

# The Laplacian difference of Immerkaer 1996 (Fast noise variance estimation), blind to flat and sloping parts.
_NOISE_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])


@tool
def enhance(
    images: Sequence[MedicalImage],
    method: Method = "clahe",
    strength: Annotated[float, Bounds(0.1, 5)] = 1.0,
    gamma: Annotated[float, Bounds(0.1, 5)] | None = None,
    image: Annotated[int, Bounds(0)] = 0,
) -> ToolResult:
    """Bring out what the display hides, as it is windowed now. Zoom first: a zoom shows original grey values again.

    Args:
        method: clahe raises local contrast, gamma brightens or darkens middle greys, denoise smooths but keeps edges,
            sharpen raises edges.
        strength: of clahe, denoise or sharpen; 1 is usual, 2 twice as strong.
        gamma: exponent of the method gamma; below 1 brightens, above 1 darkens.
        image: index of the image, 0 for the first.
    """
    looked_at = pick_image(images, image)
    if (method == "gamma") != (gamma is not None):
        raise ArgumentError("Give gamma with method gamma, and with no other method.")
    if method == "gamma" and strength != 1.0:
        raise ArgumentError("The method gamma takes gamma, not strength.")
    if method == "denoise" and math.prod(looked_at.size) > MAX_DENOISED_PIXELS:
        raise ArgumentError(
            f"Image {image} has {math.prod(looked_at.size):,} pixels; denoise takes at most {MAX_DENOISED_PIXELS:,}. "
            "Zoom to a part, then denoise that."
        )
    amount = strength if gamma is None else gamma
    missing = np.isnan(looked_at.pixels)
    enhanced = _METHODS[method](_continued(_displayed(looked_at), missing), amount)
    pixels, shown = _in_8_bits(enhanced, missing)
    setting = f"gamma {amount:g}" if method == "gamma" else f"{method}, strength {amount:g}"
    return ToolResult(
        text=f"Image {image} enhanced ({setting}). These are display greys, not the original values.",
        images=(replace(looked_at, pixels=pixels, window=shown, curve=None, volume=None),),
    )


def _displayed(image: MedicalImage) -> np.ndarray:
    """The display as ``[H, W]`` or ``[H, W, 3]`` float64 of 0-1, at the depth of the pixels and not in 8 bits."""
    pixels = image.pixels
    if pixels.ndim == 3 or (image.window is None and image.curve is not None):
        return to_display(image) / 255.0
    window = image.window or default_window(pixels)
    low = window.centre - window.width / 2
    grey = (pixels.astype(np.float64) - low) / max(window.width, 1e-6)
    return np.clip(np.nan_to_num(grey, nan=0.0), 0.0, 1.0)


def _continued(grey: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The display with the nearest known grey where values are missing, so that padding makes no edge in it."""
    if not missing.any() or missing.all():
        return grey
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(grey[tuple(nearest)])


def _in_8_bits(enhanced: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, Window | None]:
    """Greys of 0-255 with the window they need: missing values stay missing, and these no 8 bits can hold."""
    greys = (np.clip(enhanced, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    if not missing.any():
        return greys, None
    return np.where(missing, np.float16(np.nan), greys.astype(np.float16)), Window(centre=127.5, width=255.0)


def _clahe(grey: np.ndarray, strength: float) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994); of colours, their brightness."""
    return np.asarray(exposure.equalize_adapthist(grey, clip_limit=CLIP_LIMIT * strength))


def _gamma(grey: np.ndarray, gamma: float) -> np.ndarray:
    return np.asarray(grey**gamma)


def _denoise(grey: np.ndarray, strength: float) -> np.ndarray:
    """Non-local means (Buades et al. 2005) at the noise the image itself shows."""
    sigma = _noise(grey if grey.ndim == 2 else grey.mean(axis=2))
    if sigma == 0:
        return grey
    axis = None if grey.ndim == 2 else -1
    return np.asarray(
        restoration.denoise_nl_means(
            grey, patch_size=5, patch_distance=6, h=0.8 * sigma * strength, sigma=sigma, channel_axis=axis
        )
    )


def _noise(grey: np.ndarray) -> float:
    """Standard deviation of the noise in an image ``[H, W]``."""
    response = ndimage.convolve(grey, _NOISE_KERNEL)
    return float(math.sqrt(math.pi / 2) * np.abs(response).mean() / 6)


def _sharpen(grey: np.ndarray, strength: float) -> np.ndarray:
    """Unsharp masking."""
    axis = None if grey.ndim == 2 else -1
    return np.asarray(filters.unsharp_mask(grey, radius=SHARPEN_RADIUS, amount=strength, channel_axis=axis))


_METHODS: dict[Method, Callable[[np.ndarray, float], np.ndarray]] = {
    "clahe": _clahe,
    "gamma": _gamma,
    "denoise": _denoise,
    "sharpen": _sharpen,
}
