"""The control: calls are executed, but on a random box of the size the model asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medvista.imaging.geometry import MODEL_SCALE
from medvista.tools.controls.toolbox_wrapper import ToolboxWrapper
from medvista.tools.model_arguments import has_area, written
from medvista.tools.toolbox import Toolbox
from medvista.types import MedicalImage, ToolCall, ToolResult

SUBSTITUTED = "substituted"  # in `ToolResult.data`: that what was shown is not what the call asked for, and what it is


class RandomRegions(ToolboxWrapper):
    """A toolbox in which every box of a call's arguments is moved to a random place before the call runs.

    What a result shows and measures comes from the random box. Where its text repeats the box, it names the one asked
    for: a policy that reads of another box than its own is told that something is wrong, and what it then answers says
    nothing of what it was shown. So an evaluation asks whether the *content* of a crop matters, all else equal.

    Args:
        toolbox: the toolbox to run calls with.
        seed: of the random places; an environment gives each episode its own through `for_episode`.
    """

    def __init__(self, toolbox: Toolbox, seed: int = 0) -> None:
        super().__init__(toolbox)
        self._rng = np.random.default_rng(seed)

    def for_episode(self, seed: int) -> RandomRegions:
        """A copy whose places depend on `seed` and on the number of calls before, and on nothing else."""
        return RandomRegions(self._toolbox.for_episode(seed), seed)

    def run(self, call: ToolCall, images: Sequence[MedicalImage]) -> ToolResult:
        """Run the call on random boxes; a malformed box is left alone and earns its usual error."""
        place = self._rng.random(2)  # at every call, so that call k's place does not depend on what was called before
        moved = _moved(call.arguments, _places(place))
        if not moved:
            return self._toolbox.run(call, images)
        result = self._toolbox.run(replace(call, arguments={**call.arguments, **moved}), images)
        if not result.ok:
            return result
        text = result.text
        for asked, random in _pairs(call.arguments, moved):
            text = _pattern_of(random).sub(written(asked), text)
        return replace(result, text=text, data={**result.data, SUBSTITUTED: f"random region {moved}"})


def _places(first: np.ndarray) -> Iterator[np.ndarray]:
    """Places without end, all fixed by the first one."""
    yield first
    more = np.random.default_rng([int(number * 2**32) for number in first])
    while True:
        yield more.random(2)


def _moved(arguments: Mapping[str, Any], places: Iterator[np.ndarray]) -> dict[str, Any]:
    """The arguments that are boxes or lists of boxes, each box at a random place."""
    moved: dict[str, Any] = {}
    for name, value in arguments.items():
        if _is_box(value):
            moved[name] = _move(value, next(places))
        elif isinstance(value, list | tuple) and value and all(map(_is_box, value)):
            moved[name] = [_move(box, next(places)) for box in value]
    return moved


def _pairs(asked: Mapping[str, Any], moved: Mapping[str, Any]) -> Iterator[tuple[Sequence[float], Sequence[float]]]:
    """Each box of a call as it was asked for, and as it was moved."""
    for name, value in moved.items():
        if _is_box(asked[name]):
            yield asked[name], value
        else:
            yield from zip(asked[name], value, strict=True)


def _pattern_of(box: Sequence[float]) -> re.Pattern[str]:
    """The four numbers of a box one behind the other, as a text would repeat them."""
    numbers = r"[\s,]+".join(re.escape(f"{value:g}") for value in box)
    return re.compile(rf"(?<![\d.]){numbers}(?![\d.]*\d)")


def _is_box(box: Any) -> bool:
    if not isinstance(box, list | tuple) or len(box) != 4:
        return False
    if not all(type(value) in (int, float) and 0 <= value <= MODEL_SCALE for value in box):
        return False
    return has_area(box)


def _move(box: Sequence[float], place: np.ndarray) -> list[float]:
    """The box at a place given as two numbers of [0, 1); whole numbers stay whole."""
    width, height = box[2] - box[0], box[3] - box[1]
    x, y = float(place[0]) * (MODEL_SCALE - width), float(place[1]) * (MODEL_SCALE - height)
    if all(isinstance(value, int) for value in box):
        x, y = round(x), round(y)
    return [x, y, x + width, y + height]
