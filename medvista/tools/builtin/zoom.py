"""The tool that looks closer: a crop of the source image, at native resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np

from medvista.imaging.geometry import box_from_model, box_to_source, clip_box, map_box
from medvista.imaging.resample import crop
from medvista.imaging.volume import source_image
from medvista.tools.base import pick_image, quick_tool
from medvista.tools.model_arguments import ModelBox, require_box, written
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import Box, MedicalImage, Region, ToolResult

MIN_SIDE = 4  # source pixels; less shows nothing
MAX_ASPECT = 50  # vision processors refuse slivers (Qwen's at 200)


@quick_tool
def zoom(images: Sequence[MedicalImage], bbox_2d: ModelBox, image: Annotated[int, Bounds(0)] = 0) -> ToolResult:
    """Look closer at a part of an image: crops it from the source image at full resolution.

    Args:
        bbox_2d: the part to look at, x1 y1 x2 y2, each 0-1000 of the width or height of the image.
        image: index of the image the box is on, 0 for the first.
    """
    looked_at = pick_image(images, image)
    asked = box_from_model(require_box(bbox_2d), looked_at.size)
    source = _to_crop(images, looked_at)
    box = clip_box(map_box(_between(looked_at, source), asked), source.size)
    _refuse_sliver(box, bbox_2d)
    # The source's pixels, the window of the image the model looked at: zooming into a lung window stays in it.
    window = looked_at.window if looked_at.pixels.dtype == source.pixels.dtype else source.window
    part = crop(replace(source, window=window), box)
    seen = clip_box(box_to_source(part, (0, 0, *part.size)), source_image(images, looked_at).size)
    region = Region(box=seen, image=looked_at.source, label="zoom", slice=part.slice)
    return ToolResult(text=zoom_sentence(image, bbox_2d), images=(part,), regions=(region,))


def zoom_sentence(image: int, bbox_2d: Sequence[float]) -> str:
    """What the tool says of its crop.

    >>> zoom_sentence(0, (140, 350, 240, 450))
    'Zoom of image 0 at [140, 350, 240, 450].'
    """
    return f"Zoom of image {image} at [{written(bbox_2d)}]."


def _to_crop(images: Sequence[MedicalImage], looked_at: MedicalImage) -> MedicalImage:
    """The source at native resolution; of a turned or mirrored image, which is as fine, the image itself.

    So what was turned stays turned, and a box of the model is the box it meant.
    """
    (a, b), (c, d) = looked_at.to_source[:2, :2]
    upright = b == c == 0 and a > 0 and d > 0
    return source_image(images, looked_at) if upright else looked_at


def _between(image: MedicalImage, other: MedicalImage) -> np.ndarray:
    """Affine from pixels of an image to pixels of another one of the same source."""
    return np.eye(3) if image is other else np.linalg.inv(other.to_source) @ image.to_source


def _refuse_sliver(box: Box, asked: ModelBox) -> None:
    width, height = box[2] - box[0], box[3] - box[1]
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise ArgumentError(
            f"bbox_2d [{written(asked)}] is {width:.1f} x {height:.1f} pixels of the source image, too thin to show "
            f"anything; choose a larger box."
        )
