"""The tool that shows another slice of a volume, in any of its planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from medvista.imaging.geometry import box_from_model
from medvista.imaging.volume import describe_slice, points_to_voxels, position, slice_count, take_slice
from medvista.tools.base import Tool, pick_image
from medvista.tools.model_arguments import ModelPoint
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, Plane, Region, Slice, ToolResult, Volume


def _slice(
    images: Sequence[MedicalImage],
    image: Annotated[int, Bounds(0)] = 0,
    plane: Plane | None = None,
    index: Annotated[int, Bounds(0)] | None = None,
    through: ModelPoint | None = None,
) -> ToolResult:
    """Show another slice of a volume, by its number or through a point of an image you have seen.

    Args:
        image: index of an image of the volume, 0 for the first.
        plane: axial counts from the head to the feet, coronal from the front to the back, sagittal from the patient's
            right to the left; frame is for films. The plane of the image by default.
        index: number of the slice, from 0; the middle one by default.
        through: a point x y on the image, each 0-1000 of its width or height, that the slice is to run through.
    """
    looked_at = pick_image(images, image)
    volume = images[looked_at.source].volume
    if volume is None or looked_at.slice is None:
        raise ArgumentError(f"Image {image} is not of a volume: there are no other slices.")
    plane = plane or looked_at.slice.plane
    if plane not in volume.planes:
        raise ArgumentError(f"Image {image} has no {plane} plane; it has: {', '.join(volume.planes)}.")
    where = Slice(plane=plane, index=_index(volume, looked_at, plane, index, through))
    shown = _shown(images, looked_at, where)
    region = Region(box=(0, 0, *shown.size), image=looked_at.source, label="slice", slice=where)
    return ToolResult(text=f"{describe_slice(volume, where).capitalize()}.", images=(shown,), regions=(region,))


slice_volume = Tool(_slice, name="slice")


def _shown(images: Sequence[MedicalImage], looked_at: MedicalImage, where: Slice) -> MedicalImage:
    """The slice, with the grey values displayed as they are on the image the model looked at."""
    source = images[looked_at.source]
    assert source.volume is not None
    shown = replace(take_slice(source.volume, where), source=looked_at.source)
    same_greys = looked_at.pixels.dtype == shown.pixels.dtype
    return replace(shown, window=looked_at.window) if same_greys and looked_at.window is not None else shown


def _index(
    volume: Volume,
    looked_at: MedicalImage,
    plane: Plane,
    index: int | None,
    through: tuple[float, float] | None,
) -> int:
    count = slice_count(volume, plane)
    if through is not None:
        if index is not None:
            raise ArgumentError("Give either index or through, not both.")
        x, y, _, _ = box_from_model((*through, *through), looked_at.size)
        return min(max(position(points_to_voxels(looked_at, [(x, y)])[0], plane), 0), count - 1)
    if index is None:
        return count // 2
    if index >= count:
        raise ArgumentError(f"There is no {plane} slice {index}; they are 0 to {count - 1}.")
    return index
