"""The tool that turns and mirrors an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from medvista.imaging.rotate import Flip, flip
from medvista.imaging.rotate import rotate as turn
from medvista.imaging.volume import source_image
from medvista.tools.base import pick_image, quick_tool
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, ToolResult


@quick_tool
def rotate(
    images: Sequence[MedicalImage],
    image: Annotated[int, Bounds(0)] = 0,
    degrees: Annotated[float, Bounds(-360, 360)] = 0.0,
    mirrored: Flip | None = None,
) -> ToolResult:
    """Turn an image clockwise, or mirror it, or both.

    Args:
        image: index of the image, 0 for the first.
        degrees: angle to turn it clockwise, in degrees; 90, 180 and 270 keep every pixel as it is.
        mirrored: swap left and right (horizontal) or top and bottom (vertical), before turning.
    """
    looked_at = pick_image(images, image)
    if degrees % 360 == 0 and mirrored is None:
        raise ArgumentError("Give degrees other than 0, or mirrored, or both.")
    turned = looked_at if mirrored is None else flip(looked_at, mirrored)
    turned = turn(turned, degrees, whole=source_image(images, looked_at))
    done = [f"mirrored {mirrored}ly"] if mirrored else []
    done += [f"turned {degrees:g} degrees clockwise"] if degrees % 360 else []
    return ToolResult(text=f"Image {image} {' and '.join(done)}.", images=(turned,))
