"""The tool that finds the outline of a structure, from a box, points or a phrase."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from medvista.imaging.display import to_display
from medvista.imaging.geometry import box_from_model, box_from_source, box_to_model
from medvista.imaging.mask_geometry import mask_to_source
from medvista.imaging.masks import mask_box
from medvista.imaging.outline import outlined
from medvista.imaging.volume import source_image
from medvista.settings import SegmentConfig
from medvista.tools.base import Tool, pick_image
from medvista.tools.capabilities import ToolRequest
from medvista.tools.model_arguments import ModelBox, ModelPoint, point_from_model, require_box
from medvista.tools.options import read_options
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import Mask, MedicalImage, Region, ToolResult

if TYPE_CHECKING:  # loads torch and transformers, which a registered tool that nobody calls does not need
    from medvista.tools.segmenters import Prompt, Segmentation, Segmenter

MAX_MASKS = 8  # shown of a phrase; the best ones
MAX_POINTS = 16


class Segment:
    """Outline a structure on an image, given a box around it or points on it, and measure its area.

    Args:
        bbox_2d: a box around the structure, x1 y1 x2 y2, each 0-1000 of the width or height of the image.
        points: points on the structure, each x y, 0-1000 of the width or height of the image.
        outside: points beside the structure, which must not be part of it.
        image: index of the image, 0 for the first.
    """

    def __init__(self, config: SegmentConfig | None = None) -> None:
        self.config = config or SegmentConfig()
        self.max_batch = self.config.max_batch
        self.max_wait_ms = self.config.max_wait_ms
        self._segmenter: Segmenter | None = None
        self._loading = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings travel to a worker; weights are read there."""
        return type(self), (self.config,)

    def load(self) -> None:
        """Read the weights, once."""
        from medvista.tools.segmenters import load_segmenter

        with self._loading:
            if self._segmenter is None:
                self._segmenter = load_segmenter(self.config)

    def __call__(
        self,
        images: Sequence[MedicalImage],
        bbox_2d: ModelBox | None = None,
        points: list[ModelPoint] | None = None,
        outside: list[ModelPoint] | None = None,
        image: Annotated[int, Bounds(0)] = 0,
    ) -> ToolResult:
        """Segment one structure."""
        return self._answer(images, bbox_2d=bbox_2d, points=points, outside=outside, image=image)

    def call_batch(self, requests: Sequence[ToolRequest]) -> list[ToolResult | Exception]:
        """Segment for several calls: their images are embedded and their prompts decoded together."""
        asked = [_attempt(request) for request in requests]
        views = [one for one in asked if isinstance(one, _Asked)]
        found = iter(self._segment(views))
        return [_result(one, next(found)) if isinstance(one, _Asked) else one for one in asked]

    def _answer(self, images: Sequence[MedicalImage], **arguments: Any) -> ToolResult:
        asked = _read(images, **arguments)
        (found,) = self._segment([asked])
        return _result(asked, found)

    def _segment(self, asked: Sequence[_Asked]) -> list[list[Segmentation]]:
        self.load()
        assert self._segmenter is not None
        return self._segmenter.segment([one.picture for one in asked], [one.prompt for one in asked])


class SegmentWithText(Segment):
    """Outline a structure on an image, given its name, a box around it or points on it, and measure its area.

    Args:
        text: name of the structure, such as "left lung"; every instance found is outlined.
        bbox_2d: a box around the structure, x1 y1 x2 y2, each 0-1000 of the width or height of the image.
        points: points on the structure, each x y, 0-1000 of the width or height of the image.
        outside: points beside the structure, which must not be part of it.
        image: index of the image, 0 for the first.
    """

    def __call__(  # type: ignore[override]  # what the model reads is a schema, not the base class
        self,
        images: Sequence[MedicalImage],
        text: str | None = None,
        bbox_2d: ModelBox | None = None,
        points: list[ModelPoint] | None = None,
        outside: list[ModelPoint] | None = None,
        image: Annotated[int, Bounds(0)] = 0,
    ) -> ToolResult:
        """Segment one structure, or every instance of what a phrase names."""
        return self._answer(images, text=text, bbox_2d=bbox_2d, points=points, outside=outside, image=image)


def build_segment(**options: Any) -> Tool:
    """The tool, with the fields of `SegmentConfig` as options.

    Raises:
        UserError: an option does not fit, or weights are missing; the message says what to install.
    """
    from medvista.tools.segmenters import reads_text, require_weights

    config = read_options(SegmentConfig, options)
    require_weights(config)
    return Tool(SegmentWithText(config) if reads_text(config) else Segment(config), name="segment")


# ---------------------------------------------------------------------------------------------- arguments to a prompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """A call, read: what to show the segmenter, and what its answer refers to."""

    image: int  # index of the image, as the model counts
    looked_at: MedicalImage
    source: MedicalImage
    picture: np.ndarray  # the display of `looked_at`
    prompt: Prompt


def _attempt(request: ToolRequest) -> _Asked | Exception:
    try:
        return _read(request.images, **request.arguments)
    except ArgumentError as error:
        return error


def _read(
    images: Sequence[MedicalImage],
    text: str | None = None,
    bbox_2d: ModelBox | None = None,
    points: Sequence[Sequence[float]] | None = None,
    outside: Sequence[Sequence[float]] | None = None,
    image: int = 0,
) -> _Asked:
    from medvista.tools.segmenters import Prompt

    looked_at = pick_image(images, image)
    phrase = " ".join((text or "").split())
    if phrase and (bbox_2d or points or outside):
        raise ArgumentError("Give either text, or a box or points, not both.")
    if not (phrase or bbox_2d or points):
        raise ArgumentError("Say what to segment: give bbox_2d, a box around it, or points on it.")
    if len(points or ()) + len(outside or ()) > MAX_POINTS:
        raise ArgumentError(f"Give at most {MAX_POINTS} points.")
    prompt = Prompt(
        box=box_from_model(require_box(bbox_2d), looked_at.size) if bbox_2d else None,
        inside=tuple(point_from_model(point, looked_at.size) for point in points or ()),
        outside=tuple(point_from_model(point, looked_at.size) for point in outside or ()),
        text=phrase,
    )
    source = source_image(images, looked_at)
    return _Asked(image=image, looked_at=looked_at, source=source, picture=to_display(looked_at), prompt=prompt)


# ------------------------------------------------------------------------------------------------- masks to a result


def _result(asked: _Asked, found: Sequence[Segmentation]) -> ToolResult:
    label = asked.prompt.text or "segment"
    shown = [one for one in found if one.mask.any()][:MAX_MASKS]
    on_source = [mask_to_source(asked.looked_at, one.mask, asked.source.size) for one in shown]
    # A structure smaller than a source pixel on a magnified view may vanish there; then it has no place to report.
    pairs = [(one, mask) for one, mask in zip(shown, on_source, strict=True) if mask.any()]
    if not pairs:
        what = f'"{asked.prompt.text}"' if asked.prompt.text else "a structure there"
        return ToolResult(text=f"No outline of {what} was found on image {asked.image}.", data={"masks": 0})
    source, where = asked.looked_at.source, asked.looked_at.slice
    masks = tuple(Mask(pixels=mask, image=source, label=label, slice=where) for _, mask in pairs)
    boxes = [box for mask in masks if (box := mask_box(mask.pixels)) is not None]
    measures = [_measure(one, mask, asked.source) for one, mask in pairs]
    return ToolResult(
        text=_describe(asked, boxes, measures),
        images=(_picture(asked, [one.mask for one, _ in pairs]),),
        regions=tuple(Region(box=box, image=source, label=label, slice=where) for box in boxes),
        masks=masks,
        data={"masks": len(masks), **{name: [measure[name] for measure in measures] for name in measures[0]}},
    )


def _measure(found: Segmentation, mask: np.ndarray, source: MedicalImage) -> dict[str, float]:
    pixels = int(mask.sum())
    numbers: dict[str, float] = {"area_px": pixels, "score": round(found.score, 4)}
    if source.spacing_mm is not None:
        numbers["area_mm2"] = pixels * source.spacing_mm[0] * source.spacing_mm[1]
    return numbers


def _describe(asked: _Asked, boxes: Sequence[Sequence[float]], measures: Sequence[dict[str, float]]) -> str:
    lines = []
    total = asked.source.size[0] * asked.source.size[1]
    for box, numbers in zip(boxes, measures, strict=True):
        place = box_to_model(box_from_source(asked.looked_at, box), asked.looked_at.size)
        area = f"{numbers['area_mm2']:.4g} mm²" if "area_mm2" in numbers else f"{numbers['area_px']:.0f} pixels"
        share = 100 * numbers["area_px"] / total
        lines.append(f"box {list(place)}, area {area} ({share:.3g} % of its source), score {numbers['score']:.2f}")
    what = f'"{asked.prompt.text}"' if asked.prompt.text else "the structure"
    count = "" if len(lines) == 1 else f" in {len(lines)} places"
    return f"Outline of {what} on image {asked.image}{count}: {'; '.join(lines)}."


def _picture(asked: _Asked, masks: Sequence[np.ndarray]) -> MedicalImage:
    """What was looked at, with the outlines drawn."""
    return replace(asked.looked_at, pixels=outlined(asked.picture, masks), window=None)
