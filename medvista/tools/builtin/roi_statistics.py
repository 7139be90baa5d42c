"""The tool that measures grey values and area within a region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from medvista.imaging.geometry import box_from_model, box_to_source, clip_box
from medvista.imaging.volume import source_image
from medvista.tools.base import pick_image, quick_tool
from medvista.tools.builtin.window import in_hounsfield_units
from medvista.tools.model_arguments import ModelBox, require_box
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import Box, MedicalImage, Region, ToolResult

Shape = Literal["box", "ellipse"]


@quick_tool
def roi_statistics(
    images: Sequence[MedicalImage],
    bbox_2d: ModelBox,
    shape: Shape = "box",
    image: Annotated[int, Bounds(0)] = 0,
) -> ToolResult:
    """Measure a region: mean, standard deviation (SD), minimum and maximum of its grey values, and its area.

    Values are the original ones, whatever window or enhancement is shown: Hounsfield units (HU) for CT where the file
    has them. The area is in mm² where the pixel spacing is known, else in pixels.

    Args:
        bbox_2d: the region, x1 y1 x2 y2, each 0-1000 of the width or height of the image.
        shape: the whole box, or the ellipse that fits into it.
        image: index of the image the region is on, 0 for the first.
    """
    looked_at = pick_image(images, image)
    source = source_image(images, looked_at)
    if source.pixels.ndim == 3:
        raise ArgumentError(f"Image {image} is in colour; statistics are of grey images only.")
    box = box_from_model(require_box(bbox_2d), looked_at.size)
    values = _values(looked_at, source, box, shape)
    unit = "hu" if in_hounsfield_units(source) else "grey"
    finite = values[np.isfinite(values)].astype(np.float64)  # padding shows nothing of the patient
    data = {
        f"mean_{unit}": float(finite.mean()),
        f"sd_{unit}": float(finite.std()),
        f"min_{unit}": float(finite.min()),
        f"max_{unit}": float(finite.max()),
        **_area(len(values), source.spacing_mm),
    }
    place = clip_box(box_to_source(looked_at, box), source.size)
    region = Region(box=place, image=looked_at.source, label="roi_statistics", slice=looked_at.slice)
    text = _sentence(image, bbox_2d, shape, data, unit)
    if finite.size < len(values):
        text += f" {len(values) - finite.size} of these pixels hold no value and count for the area only."
    return ToolResult(text=text, regions=(region,), data=data)


def _values(looked_at: MedicalImage, source: MedicalImage, box: Box, shape: Shape) -> np.ndarray:
    """The source's grey values ``[N]`` at the pixels whose centre lies in the region."""
    x1, y1, x2, y2 = clip_box(box_to_source(looked_at, box), source.size)
    left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    # Tested on the image the model looked at: there the region is upright, even where the image was turned.
    to_image = np.linalg.inv(looked_at.to_source)
    inside = _contains(box, shape, *(row[0] * x + row[1] * y + row[2] for row in to_image[:2]))
    values = source.pixels[top:bottom, left:right][inside]
    if not np.isfinite(values).any():
        raise ArgumentError("bbox_2d holds no grey value of the source image; choose a larger box.")
    return values


def _contains(box: Box, shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = box
    if shape == "box":
        return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
    return ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1


def _area(pixels: int, spacing: tuple[float, float] | None) -> dict[str, float]:
    if spacing is None or min(spacing) <= 0:
        return {"area_px": pixels}
    return {"area_px": pixels, "area_mm2": pixels * spacing[0] * spacing[1]}


def _sentence(image: int, bbox: ModelBox, shape: Shape, data: dict[str, float], unit: str) -> str:
    mean, sd, low, high = (data[f"{name}_{unit}"] for name in ("mean", "sd", "min", "max"))
    written = ", ".join(f"{value:g}" for value in bbox)
    named = " HU" if unit == "hu" else " (grey values, no HU)"
    area = f"{data['area_mm2']:.1f} mm²" if "area_mm2" in data else "in mm² unknown"
    return (
        f"Image {image}, {shape} [{written}]: mean {mean:.1f}{named}, SD {sd:.1f}, min {low:g}, max {high:g}; "
        f"area {area} ({data['area_px']} pixels)."
    )
