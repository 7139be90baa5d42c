"""A tool's call as one picture: the images it was given with what it found on them, then the images it returned."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medvista.imaging import box_from_model, box_from_source, box_to_source, draw_boxes, fit, lies_on, to_picture
from medvista.imaging.draw import COLOURS
from medvista.imaging.outline import outlined
from medvista.tools.model_arguments import point_from_model
from medvista.types import MedicalImage, Region, ToolResult

PANEL = 320  # longer side of each image in pixels
MARGIN = 12
TEXT_SIZE = 14
LINE = 19
MAX_LINES = 16
CHARACTER = 7.2  # width of the font's average character in pixels
_PAPER, _INK = "#14161a", "#e8e8e8"


def tool_picture(images: Sequence[MedicalImage], arguments: Mapping[str, Any], result: ToolResult) -> Image.Image:
    """Draw a call.

    Args:
        images: what the tool was given.
        arguments: of the call; points among them are marked.
        result: what came back; its text is the caption.

    Returns:
        An RGB picture: what was given on the left, what came back on the right of it.
    """
    given = [_given(image, index, arguments, result) for index, image in enumerate(images)]
    returned = [to_picture(fit(image, PANEL)) for image in result.images]
    panels = given + returned
    width = max(MARGIN + sum(panel.width + MARGIN for panel in panels), 2 * PANEL)
    text = result.text if result.error is None else f"Error: {result.error.message}"
    lines = _lines(text.replace("²", "2"), width - 2 * MARGIN)  # Pillow's font has no raised 2
    height = max((panel.height for panel in panels), default=0)
    page = Image.new("RGB", (width, height + 3 * MARGIN + LINE * len(lines)), _PAPER)
    left = MARGIN
    for panel in panels:
        page.paste(panel, (left, MARGIN))
        left += panel.width + MARGIN
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((MARGIN, height + 2 * MARGIN + number * LINE), line, fill=_INK, font=ImageFont.load_default(TEXT_SIZE))
    return page


def _given(image: MedicalImage, index: int, arguments: Mapping[str, Any], result: ToolResult) -> Image.Image:
    """An image that was given, with what the call said about it and, where no image came back, what was found on it."""
    view = fit(image, PANEL)
    asked_of = index == arguments.get("image", 0)
    masks = [mask for mask in result.masks if (mask.image, mask.slice) == (image.source, image.slice)]
    if masks and result.images:  # which show them: this one shows what was asked
        box = arguments.get("bbox_2d") if asked_of else None
        picture = draw_boxes(to_picture(view), [box_from_model(box, view.size)] if box else [])
    elif masks:
        found = [Image.fromarray(mask.pixels).resize(view.size, Image.Resampling.NEAREST) for mask in masks]
        picture = Image.fromarray(outlined(view.pixels, [np.asarray(mask) for mask in found]))
    else:
        regions = [region for region in result.regions if lies_on(region, image) and not _is_whole(region, image)]
        regions = [] if "start" in arguments else regions  # the line says more than the box around it
        picture = draw_boxes(to_picture(view), [box_from_source(view, r.box) for r in regions], _names(regions))
    if asked_of:
        _mark_points(picture, arguments)
    return picture


def _is_whole(region: Region, image: MedicalImage) -> bool:
    return bool(np.allclose(region.box, box_to_source(image, (0, 0, *image.size)), atol=1))


def _names(regions: Sequence[Region]) -> list[str]:
    """Labels where they tell regions apart, else numbers."""
    labels = [region.label for region in regions]
    if len(regions) < 2:
        return [""] * len(regions)
    return labels if len(set(labels)) > 1 else [str(number) for number in range(1, len(regions) + 1)]


def _mark_points(picture: Image.Image, arguments: Mapping[str, Any]) -> None:
    """A disc at each point of the call, and a line where it has a start and an end."""
    pen = ImageDraw.Draw(picture)
    if "start" in arguments and "end" in arguments:
        ends = [point_from_model(arguments[name], picture.size) for name in ("start", "end")]
        pen.line([*ends[0], *ends[1]], fill=COLOURS[1], width=2)
    for x, y in _points(arguments, picture.size):
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=COLOURS[1], outline="black")


def _points(arguments: Mapping[str, Any], size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    for name, value in arguments.items():
        found = value if name == "points" and isinstance(value, list | tuple) else [value]
        for point in found:
            if isinstance(point, list | tuple) and len(point) == 2 and name in ("points", "start", "end", "through"):
                yield point_from_model(point, size)


def _lines(text: str, width: int) -> list[str]:
    wrapped = (textwrap.wrap(line, max(int(width / CHARACTER), 20)) or [""] for line in text.splitlines())
    return [line for lines in wrapped for line in lines][:MAX_LINES]
