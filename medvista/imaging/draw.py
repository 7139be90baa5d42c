"""Boxes drawn on a display image, for people."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from medvista.imaging.display import to_display
from medvista.types import Box, MedicalImage

COLOURS = ("#ffb000", "#4cc9f0", "#f72585", "#80ed99", "#b388ff", "#ff6b35")  # told apart on grey


def to_picture(image: MedicalImage) -> Image.Image:
    """The display of an image as an RGB Pillow picture."""
    return Image.fromarray(to_display(image)).convert("RGB")


def draw_boxes(
    picture: Image.Image, boxes: Sequence[Box], labels: Sequence[str] = (), colours: Sequence[str] = COLOURS
) -> Image.Image:
    """A copy of `picture` with boxes outlined.

    Args:
        picture: RGB picture.
        boxes: ``x1, y1, x2, y2`` in pixels of the picture.
        labels: a short text for each box, or none.
        colours: used in turn.
    """
    picture = picture.copy()
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(min(picture.size) // 20, 10))
    line = max(min(picture.size) // 160, 1)
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        colour = colours[index % len(colours)]
        # The line runs outside the box: what the box encloses stays visible.
        outline = (x1 - line, y1 - line, max(x2, x1) + line - 1, max(y2, y1) + line - 1)
        pen.rectangle(outline, outline=colour, width=line)
        if index < len(labels) and labels[index]:
            _label(pen, labels[index], outline, colour, font)
    return picture


def _label(
    pen: ImageDraw.ImageDraw, text: str, outline: Box, colour: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    """Writes above a box, or below where there is no room above, with a dark rim that reads on any grey."""
    left, top, _, bottom = outline
    _, text_top, _, text_bottom = font.getbbox(text)
    room = top > text_bottom - text_top + 2
    at, anchor = ((max(left, 2), top - 2), "lb") if room else ((max(left, 2), bottom + 3), "lt")
    pen.text(at, text, fill=colour, font=font, anchor=anchor, stroke_width=2, stroke_fill="black")
