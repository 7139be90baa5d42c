"""What a tool may return, so that the rest of the episode can rely on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from medvista.types import Mask, MedicalImage, Region, ToolResult

MAX_IMAGES = 16  # of one result: each fills the policy's context


def fault_of(result: Any, n_sources: int, n_images: int | None = None) -> str | None:
    """What makes a tool's return value unusable, completing "<tool> returned ..."; None for a sound one.

    Args:
        result: whatever the tool returned; a type hint is no promise.
        n_sources: images the episode has, which the result may refer to.
        n_images: images of the episode before the call. An image of which no source is known, since it was made
            elsewhere, is its own: the k-th of a result is source ``n_images + k``.
    """
    if not isinstance(result, ToolResult):
        return f"{type(result).__name__}, not a ToolResult"
    try:
        return _first_fault(result, n_sources, n_sources if n_images is None else n_images)
    except Exception as error:  # the fields of nonsense may be nonsense, too
        return f"a malformed ToolResult ({type(error).__name__}: {error})"


def _first_fault(result: ToolResult, n_sources: int, n_images: int) -> str | None:
    text: Any = result.text  # a hint is no promise
    data: Any = result.data
    if not isinstance(text, str):
        return f"a text of type {type(text).__name__}"
    if not isinstance(data, Mapping):
        return f"data of type {type(data).__name__}, not a mapping"
    if len(result.images) > MAX_IMAGES:
        return f"{len(result.images)} images; at most {MAX_IMAGES} can be shown at once"
    faults = [
        *(_image_fault(image) for image in result.images),
        *(_region_fault(region) for region in result.regions),
        *(_mask_fault(mask) for mask in result.masks),
        *(
            _source_fault(part, n_sources)
            for part in (*_derived(result.images, n_images), *result.regions, *result.masks)
        ),
    ]
    return next((fault for fault in faults if fault is not None), None)


def _image_fault(image: Any) -> str | None:
    if not isinstance(image, MedicalImage):
        return f"{type(image).__name__} among its images"
    grey = image.pixels.ndim == 2 and image.pixels.dtype.kind in "biuf"
    colour = image.pixels.shape[2:] == (3,) and image.pixels.dtype == np.uint8
    if not (grey or colour) or 0 in image.size:
        return f"an image of shape {image.pixels.shape} and type {image.pixels.dtype}"
    if image.to_source.shape != (3, 3) or not abs(np.linalg.det(image.to_source)) > 0:
        return "an image whose to_source is no invertible 3 x 3 matrix"
    return None


def _region_fault(region: Any) -> str | None:
    if not isinstance(region, Region):
        return f"{type(region).__name__} among its regions"
    box: Any = region.box
    if len(box) != 4 or not all(math.isfinite(side) for side in box) or box[0] > box[2] or box[1] > box[3]:
        return f"the box {box}, which is not x1, y1, x2, y2"
    return None


def _mask_fault(mask: Any) -> str | None:
    if not isinstance(mask, Mask):
        return f"{type(mask).__name__} among its masks"
    if mask.pixels.ndim != 2 or mask.pixels.dtype != bool:
        return f"a mask of shape {mask.pixels.shape} and type {mask.pixels.dtype}"
    return None


def _derived(images: tuple[Any, ...], n_images: int) -> list[Any]:
    """The images that are not their own source."""
    return [image for index, image in enumerate(images, n_images) if not _is_own_source(image, index)]


def _is_own_source(image: Any, index: int) -> bool:
    return isinstance(image, MedicalImage) and image.source == index and np.array_equal(image.to_source, np.eye(3))


def _source_fault(part: Any, n_sources: int) -> str | None:
    index = part.source if isinstance(part, MedicalImage) else getattr(part, "image", 0)
    return None if 0 <= index < n_sources else f"something of image {index}, which does not exist"
