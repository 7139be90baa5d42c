"""The tool that reads text printed on an image: scales, laterality markers, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from medvista.imaging.display import to_display
from medvista.imaging.geometry import box_to_model, box_to_source
from medvista.settings import ReadTextConfig
from medvista.tools.base import Tool, pick_image
from medvista.tools.options import read_options
from medvista.tools.schema import Bounds
from medvista.types import MedicalImage, Region, ToolResult

if TYPE_CHECKING:  # rapidocr is an extra
    from medvista.tools.ocr import TextLine, TextReader


class ReadText:
    """Read the text printed on an image, such as laterality markers, scales and annotations, line by line.

    Args:
        image: index of the image, 0 for the first.
    """

    def __init__(self, config: ReadTextConfig | None = None) -> None:
        self.config = config or ReadTextConfig()

    def load(self) -> None:
        """Read the weights, once per process."""
        self._reader()

    def __call__(self, images: Sequence[MedicalImage], image: Annotated[int, Bounds(0)] = 0) -> ToolResult:
        """Read one image."""
        looked_at = pick_image(images, image)
        lines = self._reader().read(to_display(looked_at))
        legible = [line for line in lines if line.confidence >= self.config.min_confidence]
        if not legible:
            return ToolResult(text=f"No legible text on image {image}.", data={"lines": 0})
        shown = legible[: self.config.max_lines]
        return ToolResult(
            text=_describe(shown, looked_at, image, left_out=len(legible) - len(shown)),
            regions=tuple(
                Region(
                    box=box_to_source(looked_at, line.box), image=looked_at.source, label="text", slice=looked_at.slice
                )
                for line in shown
            ),
            data={"lines": len(shown), "confidence": [round(line.confidence, 4) for line in shown]},
        )

    def _reader(self) -> TextReader:
        from medvista.tools.ocr import shared_reader

        return shared_reader()


def build_read_text(**options: Any) -> Tool:
    """The tool, with the fields of `ReadTextConfig` as options.

    Raises:
        UserError: an option does not fit.
    """
    return Tool(ReadText(read_options(ReadTextConfig, options)), name="read_text")


def _describe(lines: Sequence[TextLine], looked_at: MedicalImage, image: int, left_out: int) -> str:
    places = [list(box_to_model(line.box, looked_at.size)) for line in lines]
    written = [f'"{line.text}" at {place}' for line, place in zip(lines, places, strict=True)]
    more = f"; {left_out} lines more are left out" if left_out else ""
    return f"Text on image {image}: {'; '.join(written)}{more}."
