"""Turns and flips, with provenance: the result knows where on its source it lies."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from medvista.imaging.geometry import map_box, scaling, translation
from medvista.types import MedicalImage

_KNOWN = 1e-3  # share of a computed pixel that has to come from known ones

Flip: TypeAlias = Literal["horizontal", "vertical"]


def flip(image: MedicalImage, direction: Flip) -> MedicalImage:
    """The image mirrored left to right (horizontal) or upside down (vertical)."""
    width, height = image.size
    if direction == "horizontal":
        pixels, to_here = image.pixels[:, ::-1], translation(width, 0) @ scaling(-1, 1)
    else:
        pixels, to_here = image.pixels[::-1], translation(0, height) @ scaling(1, -1)
    return replace(image, pixels=pixels, to_source=image.to_source @ to_here, volume=None)


def quarter_turn(image: MedicalImage, turns: int) -> MedicalImage:
    """The image turned clockwise by so many quarters of a circle: its own pixels, none computed."""
    turns %= 4
    width, height = image.size
    # Where a point of the result lies on the image, per number of quarters.
    to_here = (
        np.eye(3),
        np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, height], [0.0, 0.0, 1.0]]),
        np.array([[-1.0, 0.0, width], [0.0, -1.0, height], [0.0, 0.0, 1.0]]),
        np.array([[0.0, -1.0, width], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    )[turns]
    spacing = image.spacing_mm
    if spacing is not None and turns % 2:
        spacing = spacing[1], spacing[0]
    return replace(
        image,
        pixels=np.rot90(image.pixels, -turns),
        spacing_mm=spacing,
        to_source=image.to_source @ to_here,
        volume=None,
    )


def rotate(image: MedicalImage, degrees: float, whole: MedicalImage | None = None) -> MedicalImage:
    """The image turned clockwise by any angle, bilinear, in true proportions, on a canvas that holds all of it.

    What the canvas shows beyond the image has its smallest grey value, or none, as the padding around it. A pixel has
    no value where all that it would be computed from have none. Where pixels are not square in millimetres, the result
    has square ones of the finer side.

    Args:
        image: the image at native resolution.
        degrees: clockwise as seen; multiples of 90 copy pixels instead of computing them.
        whole: the source image; the canvas ends where it ends, so that turning time and again does not add margins.
    """
    if degrees % 90 == 0:
        return quarter_turn(image, round(degrees / 90))
    down, across = _pixel_sides(image)
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    clockwise = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])  # y points down
    turned = clockwise @ scaling(across, down)  # image pixels -> turned frame, in units of the result's pixels
    corner, size = _canvas(image, turned, whole)
    to_here = np.linalg.inv(turned) @ translation(*corner)
    side = None if image.spacing_mm is None else min(image.spacing_mm)
    return replace(
        image,
        pixels=_resample(image.pixels, to_here, size),
        spacing_mm=None if side is None else (side, side),
        to_source=image.to_source @ to_here,
        volume=None,
    )


def _pixel_sides(image: MedicalImage) -> tuple[float, float]:
    """Height and width of a pixel in units of the shorter of both."""
    if image.spacing_mm is None or min(image.spacing_mm) <= 0:
        return 1.0, 1.0
    finest = min(image.spacing_mm)
    return image.spacing_mm[0] / finest, image.spacing_mm[1] / finest


def _canvas(
    image: MedicalImage, turned: np.ndarray, whole: MedicalImage | None
) -> tuple[tuple[float, float], tuple[int, int]]:
    """Where the canvas begins in the turned frame, and its width and height."""
    left, top, right, bottom = map_box(turned, (0, 0, *image.size))
    if whole is not None:
        limits = map_box(turned @ np.linalg.inv(image.to_source), (0, 0, *whole.size))
        left, top = max(left, limits[0]), max(top, limits[1])
        right, bottom = min(right, limits[2]), min(bottom, limits[3])
    return (left, top), (_whole_up(right - left), _whole_up(bottom - top))


def _whole_up(length: float) -> int:
    return max(math.ceil(length - 1e-6), 1)


def _resample(pixels: np.ndarray, to_here: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear samples of `pixels` at the pixels of a canvas of `size` (width, height)."""
    coefficients = tuple(to_here[:2].ravel())
    if pixels.ndim == 3 or pixels.dtype == np.uint8:
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        fill: int | tuple[int, ...] = 0 if pixels.ndim == 2 else (0, 0, 0)
        sampled = picture.transform(
            size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=fill
        )
        return np.asarray(sampled)
    return _resample_values(pixels, coefficients, size)


def _resample_values(pixels: np.ndarray, coefficients: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    """Grey values of more than 8 bits; those that are missing take no part."""
    # Pillow samples 16-bit pictures by their nearest neighbour only; float32 is exact for them.
    values = pixels.astype(np.float32)
    finite = values[np.isfinite(values)]
    lowest = float(finite.min()) if finite.size else 0.0
    missing = np.isnan(values)
    values = np.nan_to_num(values, nan=0.0, posinf=lowest, neginf=lowest)
    result = _bilinear(values, coefficients, size, lowest)
    if missing.any():
        known = _bilinear((~missing).astype(np.float32), coefficients, size, float(not _is_padded(missing)))
        result = np.where(known > _KNOWN, result / np.maximum(known, _KNOWN), np.float32(np.nan))
    return result.astype(pixels.dtype) if pixels.dtype.kind == "f" else np.rint(result).astype(pixels.dtype)


def _bilinear(values: np.ndarray, coefficients: tuple[float, ...], size: tuple[int, int], fill: float) -> np.ndarray:
    picture = Image.fromarray(values)
    return np.asarray(
        picture.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=fill)
    )


def _is_padded(missing: np.ndarray) -> bool:
    """Whether an image with missing values ``[H, W]`` goes on so beyond its edges: more than a hole in one corner."""
    return int(missing[:: len(missing) - 1 or 1, :: missing.shape[1] - 1 or 1].sum()) > 1
