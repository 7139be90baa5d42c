"""Places as the model writes and reads them, for all tools: 0-1000 of the width or height of the image shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from medvista.imaging.geometry import MODEL_SCALE
from medvista.tools.schema import ArgumentError, Bounds

Coordinate: TypeAlias = Annotated[float, Bounds(0, MODEL_SCALE)]
ModelPoint: TypeAlias = tuple[Coordinate, Coordinate]  # x, y
ModelBox: TypeAlias = tuple[Coordinate, Coordinate, Coordinate, Coordinate]  # x1, y1, x2, y2


def has_area(box: Sequence[float]) -> bool:
    """Whether the corners of a box are in order and apart: top left, then bottom right."""
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2


def require_box(box: ModelBox) -> ModelBox:
    """The box, which has to have an area.

    Raises:
        ArgumentError: it has none.
    """
    if not has_area(box):
        raise ArgumentError(f"bbox_2d is x1 y1 x2 y2 with x1 < x2 and y1 < y2, got [{written(box)}].")
    return box


def written(place: Sequence[float]) -> str:
    """A box or a point as tools write it in what they say.

    >>> written((140, 350, 240.5, 450.0))
    '140, 350, 240.5, 450'
    """
    return ", ".join(f"{value:g}" for value in place)


def point_from_model(point: Sequence[float], size: tuple[int, int]) -> tuple[float, float]:
    """A point of 0-1000, in pixels of an image of `size` (width, height)."""
    x, y = point
    return x * size[0] / MODEL_SCALE, y * size[1] / MODEL_SCALE
