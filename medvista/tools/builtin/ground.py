"""The tool that finds where a phrase is on an image."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from medvista.imaging.display import to_display
from medvista.imaging.draw import draw_boxes, to_picture
from medvista.imaging.geometry import box_to_model, box_to_source
from medvista.settings import GroundConfig
from medvista.tools.base import Tool, pick_image
from medvista.tools.capabilities import ToolRequest
from medvista.tools.options import read_options
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, Region, ToolResult

if TYPE_CHECKING:  # loads torch and transformers, which a registered tool that nobody calls does not need
    from medvista.tools.detectors import Detection, Detector

MAX_WORDS = 20  # of a phrase; detectors read about two hundred tokens


class Ground:
    """Find where something is on an image, given its name or a short description, and mark it with boxes.

    Args:
        phrase: what to look for, such as "left lung" or "surgical clip".
        image: index of the image, 0 for the first.
    """

    def __init__(self, config: GroundConfig | None = None) -> None:
        self.config = config or GroundConfig()
        self.max_batch = self.config.max_batch
        self.max_wait_ms = self.config.max_wait_ms
        self._detector: Detector | None = None
        self._loading = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings travel to a worker; weights are read there."""
        return type(self), (self.config,)

    def load(self) -> None:
        """Read the weights, once."""
        from medvista.tools.detectors import load_detector

        with self._loading:
            if self._detector is None:
                self._detector = load_detector(self.config)

    def __call__(self, images: Sequence[MedicalImage], phrase: str, image: Annotated[int, Bounds(0)] = 0) -> ToolResult:
        """Look for one phrase."""
        asked = _read(images, phrase, image)
        (found,) = self._detect([asked])
        return self._result(asked, found)

    def call_batch(self, requests: Sequence[ToolRequest]) -> list[ToolResult | Exception]:
        """Look for several phrases, each on its image, in one forward pass."""
        asked = [_attempt(request) for request in requests]
        found = iter(self._detect([one for one in asked if isinstance(one, _Asked)]))
        return [self._result(one, next(found)) if isinstance(one, _Asked) else one for one in asked]

    def _detect(self, asked: Sequence[_Asked]) -> list[list[Detection]]:
        self.load()
        assert self._detector is not None
        return self._detector.detect([one.picture for one in asked], [one.phrase for one in asked]) if asked else []

    def _result(self, asked: _Asked, found: Sequence[Detection]) -> ToolResult:
        if not found:
            return ToolResult(text=f'"{asked.phrase}" was not found on image {asked.image}.', data={"boxes": 0})
        shown = found[: self.config.max_boxes]
        source, where = asked.looked_at.source, asked.looked_at.slice
        places = [list(box_to_model(one.box, asked.looked_at.size)) for one in shown]
        named = "; ".join(f"{place}, score {one.score:.2f}" for place, one in zip(places, shown, strict=True))
        left_out = f" The {len(found) - len(shown)} weaker ones are left out." if len(found) > len(shown) else ""
        boxes = [box_to_source(asked.looked_at, one.box) for one in shown]
        return ToolResult(
            text=f'"{asked.phrase}" on image {asked.image}: box {named}.{left_out}',
            images=(_picture(asked.looked_at, shown),),
            regions=tuple(Region(box=box, image=source, label=asked.phrase, slice=where) for box in boxes),
            data={"boxes": len(shown), "score": [round(one.score, 4) for one in shown]},
        )


def build_ground(**options: Any) -> Tool:
    """The tool, with the fields of `GroundConfig` as options.

    Raises:
        UserError: an option does not fit, or weights are missing; the message says what to install.
    """
    from medvista.tools.detectors import require_detector

    config = read_options(GroundConfig, options)
    require_detector(config)
    return Tool(Ground(config), name="ground")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """A call, read."""

    phrase: str
    image: int  # index of the image, as the model counts
    looked_at: MedicalImage
    picture: np.ndarray  # its display


def _attempt(request: ToolRequest) -> _Asked | Exception:
    try:
        return _read(request.images, **request.arguments)
    except ArgumentError as error:
        return error


def _read(images: Sequence[MedicalImage], phrase: str, image: int = 0) -> _Asked:
    looked_at = pick_image(images, image)
    words = phrase.split()
    if not words:
        raise ArgumentError("phrase is empty; name what to look for.")
    if len(words) > MAX_WORDS:
        raise ArgumentError(f"phrase has {len(words)} words; name one thing in at most {MAX_WORDS}.")
    return _Asked(phrase=" ".join(words), image=image, looked_at=looked_at, picture=to_display(looked_at))


def _picture(looked_at: MedicalImage, found: Sequence[Detection]) -> MedicalImage:
    """What was looked at, with the boxes drawn and numbered as in the text."""
    labels = [str(number) for number in range(1, len(found) + 1)] if len(found) > 1 else ()
    drawn = draw_boxes(to_picture(looked_at), [one.box for one in found], labels)
    return replace(looked_at, pixels=np.asarray(drawn), window=None)
