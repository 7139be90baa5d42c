"""The tool that shows other grey values: a new display window over the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np

from medvista.tools.base import pick_image, quick_tool
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, ToolResult, Window

Preset = Literal["lung", "soft_tissue", "bone", "brain", "liver"]

# Customary CT display windows in HU (https://radiopaedia.org/articles/windowing-ct).
PRESETS: dict[Preset, Window] = {
    "lung": Window(centre=-600, width=1500),
    "soft_tissue": Window(centre=50, width=400),
    "bone": Window(centre=500, width=2000),
    "brain": Window(centre=40, width=80),
    "liver": Window(centre=60, width=150),
}
NARROWEST, LARGEST = 1e-3, 1e9  # keeps the arithmetic of the display finite in float32
PERCENTILES = (1.0, 99.0)  # of the grey values, for contrast without numbers

Percentile = Annotated[float, Bounds(0, 100)]


@quick_tool
def window(
    images: Sequence[MedicalImage],
    image: Annotated[int, Bounds(0)] = 0,
    preset: Preset | None = None,
    centre: Annotated[float, Bounds(-LARGEST, LARGEST)] | None = None,
    width: Annotated[float, Bounds(NARROWEST, LARGEST)] | None = None,
    percentiles: tuple[Percentile, Percentile] | None = None,
) -> ToolResult:
    """Show an image again with other brightness and contrast.

    For CT give a preset, or centre and width; for other images percentiles. With none of them, contrast is automatic.

    Args:
        image: index of the image, 0 for the first.
        preset: a CT window; only for CT images in Hounsfield units.
        centre: grey value shown as middle grey, in Hounsfield units for CT.
        width: range of grey values shown between black and white, in the same unit.
        percentiles: of the image's grey values, the one shown black and the one shown white, each 0-100.
    """
    looked_at = pick_image(images, image)
    if looked_at.pixels.ndim == 3:
        raise ArgumentError(f"Image {image} is in colour; only grey images have a window.")
    chosen = _choose(looked_at, image, preset, centre, width, percentiles)
    named = f"in the {preset} window" if preset else "in a window"
    unit = " HU" if in_hounsfield_units(looked_at) else ""
    return ToolResult(
        text=f"Image {image} {named} of centre {chosen.centre:g}, width {chosen.width:g}{unit}.",
        images=(replace(looked_at, window=chosen, volume=None),),
    )


def in_hounsfield_units(image: MedicalImage) -> bool:
    """True for CT grey values; an 8-bit CT picture has lost them (with padding it is in float16)."""
    return image.modality == "CT" and image.pixels.dtype not in (np.uint8, np.float16)


def _choose(
    looked_at: MedicalImage,
    image: int,
    preset: Preset | None,
    centre: float | None,
    width: float | None,
    percentiles: tuple[float, float] | None,
) -> Window:
    by_value = centre is not None or width is not None
    if (preset is not None) + by_value + (percentiles is not None) > 1:
        raise ArgumentError("Give either preset, or centre and width, or percentiles.")
    if preset is not None:
        if not in_hounsfield_units(looked_at):
            raise ArgumentError(f"Image {image} has no Hounsfield units for a preset; give percentiles.")
        return PRESETS[preset]
    if by_value:
        if centre is None or width is None:
            raise ArgumentError("Give centre and width together.")
        return Window(centre=centre, width=width)
    low, high = percentiles or PERCENTILES
    if low >= high:
        raise ArgumentError(f"percentiles are the one shown black, then a greater one, got [{low:g}, {high:g}].")
    return _between_percentiles(looked_at.pixels, low, high)


def _between_percentiles(pixels: np.ndarray, low: float, high: float) -> Window:
    finite = pixels[np.isfinite(pixels)]
    black, white = np.percentile(finite, (low, high)) if finite.size else (0.0, 1.0)
    return Window(centre=float(black + white) / 2, width=max(float(white - black), NARROWEST))
