"""The tool that shows a place and its counterpart on the other side of the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from medvista.imaging.geometry import box_from_model, box_from_source, box_to_model, box_to_source, clip_box
from medvista.imaging.resample import crop
from medvista.imaging.rotate import flip
from medvista.imaging.symmetry import find_midline
from medvista.imaging.volume import source_image
from medvista.tools.base import pick_image, quick_tool
from medvista.tools.model_arguments import ModelBox, require_box
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import Box, MedicalImage, Region, ToolResult

MIN_SIDE = 4  # source pixels; less shows nothing
SYMMETRIC = 0.6  # correlation with its own mirror image from which an image counts as showing both halves of a body

MidlineOf = Literal["body", "image"]


@quick_tool
def mirror(
    images: Sequence[MedicalImage],
    bbox_2d: ModelBox,
    midline: MidlineOf = "body",
    image: Annotated[int, Bounds(0)] = 0,
) -> ToolResult:
    """Compare a region with the other side of the body: shows the region, then the same place across the midline.

    The second image is turned left to right, so that both sides lie alike.

    Args:
        bbox_2d: the region, x1 y1 x2 y2, each 0-1000 of the width or height of the image.
        midline: of the body, found by symmetry, or the middle of the image.
        image: index of the image the region is on, 0 for the first; a frontal or axial view.
    """
    looked_at = pick_image(images, image)
    if looked_at.slice is not None and looked_at.slice.plane == "sagittal":
        raise ArgumentError(f"Image {image} is a sagittal slice, which shows one side; give an axial or coronal one.")
    source = source_image(images, looked_at)
    here = clip_box(box_to_source(looked_at, box_from_model(require_box(bbox_2d), looked_at.size)), source.size)
    axis, said = _axis(source, midline)
    there = clip_box((2 * axis - here[2], here[1], 2 * axis - here[0], here[3]), source.size)
    if min(there[2] - there[0], here[2] - here[0], here[3] - here[1]) < MIN_SIDE:
        raise ArgumentError("bbox_2d is too thin, or its other side lies beyond the image; choose another box.")
    # Both as the model sees the image it looked at, in grey values where those are the source's.
    window = looked_at.window if looked_at.pixels.dtype == source.pixels.dtype else source.window
    first, second = (crop(replace(source, window=window), box) for box in (here, there))
    text = (
        f"The region of image {image}, then the other side{_written(looked_at, there)}, turned left to right; {said}."
    )
    regions = tuple(
        Region(box=box_to_source(part, (0, 0, *part.size)), image=part.source, label="mirror", slice=part.slice)
        for part in (first, second)
    )
    return ToolResult(text=text, images=(first, flip(second, "horizontal")), regions=regions)


def _axis(source: MedicalImage, midline: MidlineOf) -> tuple[float, str]:
    """Where the midline runs in pixels of the source, and how that was found."""
    middle = source.size[0] / 2
    if midline == "image":
        return middle, "mirrored about the middle of the image"
    found = find_midline(source)
    if found.correlation < SYMMETRIC:
        return middle, "no midline of a body was found, so mirrored about the middle of the image"
    return found.x, f"mirrored about the body's midline, at {1000 * found.x / source.size[0]:.0f} of 1000 of the width"


def _written(looked_at: MedicalImage, there: Box) -> str:
    """The place of the other side in the model's coordinates, where the image shows all of it."""
    left, top, right, bottom = box_from_source(looked_at, there)
    width, height = looked_at.size
    if min(left, top) < -0.5 or right > width + 0.5 or bottom > height + 0.5:
        return ""
    return f" at {list(box_to_model((left, top, right, bottom), looked_at.size))}"
