"""The tool that shows several places side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from medvista.imaging.geometry import box_to_source
from medvista.tools.base import pick_image, quick_tool
from medvista.tools.builtin.zoom import zoom
from medvista.tools.model_arguments import ModelBox, written
from medvista.tools.schema import ArgumentError, Bounds, Items
from medvista.types import MedicalImage, Region, ToolResult

FEWEST, MOST = 2, 4

ImageIndex = Annotated[int, Bounds(0)]


@quick_tool
def compare(
    images: Sequence[MedicalImage],
    boxes: Annotated[list[ModelBox], Items(FEWEST, MOST)] | None = None,
    image: Annotated[list[ImageIndex], Items(1, MOST)] | None = None,
) -> ToolResult:
    """Show two to four regions, or whole images, side by side at full resolution.

    Args:
        boxes: the regions, each x1 y1 x2 y2, 0-1000 of the width or height of its image; without it, whole images.
        image: indices of the images: one per region, or a single one for all; the first image, 0, by default.
    """
    # One image per region, not one montage: each fills the policy's view and keeps its way back to its source.
    shown = [
        _view(images, index, box, number) for number, (index, box) in enumerate(_pairs(boxes, image or [0]), start=1)
    ]
    lines = [f"({number}) {_described(view, text)}" for number, (view, text, _) in enumerate(shown, start=1)]
    return ToolResult(
        text=f"Side by side: {'; '.join(lines)}.",
        images=tuple(view for view, _, _ in shown),
        regions=tuple(region for _, _, regions in shown for region in regions),
    )


def _pairs(boxes: Sequence[ModelBox] | None, image: Sequence[int]) -> list[tuple[int, ModelBox | None]]:
    """Which image and which box each view has."""
    if boxes is None:
        if len(image) < FEWEST:
            raise ArgumentError(f"Give {FEWEST} to {MOST} boxes, or {FEWEST} to {MOST} images to show whole.")
        return [(index, None) for index in image]
    if len(image) not in (1, len(boxes)):
        raise ArgumentError(
            f"There are {len(boxes)} boxes but {len(image)} images; give one image for all boxes, or one for each."
        )
    return list(zip(image if len(image) > 1 else [image[0]] * len(boxes), boxes, strict=True))


def _view(
    images: Sequence[MedicalImage], index: int, box: ModelBox | None, number: int
) -> tuple[MedicalImage, str, tuple[Region, ...]]:
    """One view, what to call it, and where on its source it lies."""
    looked_at = pick_image(images, index)
    if box is None:
        place = box_to_source(looked_at, (0, 0, *looked_at.size))
        region = Region(box=place, image=looked_at.source, label="compare", slice=looked_at.slice)
        return replace(looked_at, volume=None), f"image {index}", (region,)
    try:
        result = zoom(images, bbox_2d=box, image=index)
    except ArgumentError as error:
        raise ArgumentError(f"box {number}: {error}") from None
    regions = tuple(replace(region, label="compare") for region in result.regions)
    return result.images[0], f"image {index} at [{written(box)}]", regions


def _described(view: MedicalImage, text: str) -> str:
    """With its size, without which views that fill the screen alike cannot be compared."""
    width, height = view.size
    if view.spacing_mm is None or min(view.spacing_mm) <= 0:
        return f"{text}, {width} x {height} pixels"
    return f"{text}, {width * view.spacing_mm[1]:.1f} x {height * view.spacing_mm[0]:.1f} mm"
