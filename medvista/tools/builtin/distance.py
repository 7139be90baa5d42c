"""The tool that measures a distance, in millimetres where that is possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from medvista.imaging.volume import source_image
from medvista.tools.base import pick_image, quick_tool
from medvista.tools.model_arguments import ModelPoint, point_from_model
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, Region, ToolResult

# Projections: spacing holds in one plane, and what lies nearer to the tube is magnified.
PROJECTIONS = frozenset({"CR", "DX", "DR", "MG", "RF", "XA", "PX", "IO"})


@quick_tool
def distance(
    images: Sequence[MedicalImage], start: ModelPoint, end: ModelPoint, image: Annotated[int, Bounds(0)] = 0
) -> ToolResult:
    """Measure a straight line: in millimetres where the pixel spacing is known, else in pixels, and it says which.

    Args:
        start: where the line begins, x y, each 0-1000 of the width or height of the image.
        end: where it ends, x y in the same way.
        image: index of the image the line is on, 0 for the first.
    """
    looked_at = pick_image(images, image)
    source = source_image(images, looked_at)
    if tuple(start) == tuple(end):
        raise ArgumentError("start and end are the same point; give two different points.")
    # On the source, whose spacing is known: a turned or resized image has none of its own to rely on.
    ends = [looked_at.to_source @ (*point_from_model(point, looked_at.size), 1.0) for point in (start, end)]
    across, down = (float(step) for step in (ends[1] - ends[0])[:2])
    written = f"Image {image} from [{start[0]:g}, {start[1]:g}] to [{end[0]:g}, {end[1]:g}]"
    corners = np.array([point[:2] for point in ends])
    line = Region(
        box=(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()),
        image=looked_at.source,
        label="distance",
        slice=looked_at.slice,
    )
    spacing = source.spacing_mm
    if spacing is None or min(spacing) <= 0:
        pixels = math.hypot(across, down)
        text = f"{written}: {pixels:.1f} pixels of the source image. Its pixel spacing is unknown: this is not mm."
        return ToolResult(text=text, regions=(line,), data={"distance_px": pixels})
    millimetres = math.hypot(across * spacing[1], down * spacing[0])
    caution = " On a projection, not corrected for magnification." if source.modality in PROJECTIONS else ""
    text = f"{written}: {millimetres:.1f} mm.{caution}"
    return ToolResult(text=text, regions=(line,), data={"distance_mm": millimetres})
