"""A scripted expert whose faults can be set, so that a run can learn from an imperfect teacher.

It reads the annotated regions of a sample (which no policy sees), zooms onto each or opens the window, and answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from medvista.imaging import open_image
from medvista.parsing import format_action
from medvista.settings import ExpertConfig
from medvista.types import Box, FinalAnswer, Region, ToolCall, VQASample

LOOK_THOUGHT = "Look closer."
NEXT_LOOK_THOUGHT = "Look at the other one, too."
WINDOW_THOUGHT = "Change the window."


class ScriptedExpert:
    """Plans the turns of a demonstration.

    Args:
        config: its faults.
        tools: False answers everything directly.
    """

    def __init__(self, config: ExpertConfig | None = None, *, tools: bool = True) -> None:
        self.config = config or ExpertConfig()
        self.tools = tools

    def plan(self, sample: VQASample, seed: int) -> list[str]:
        """The texts of its turns, the answer last; the same seed gives the same plan."""
        rng = np.random.default_rng(seed)
        direct = rng.uniform() < self.config.direct_share or not self.tools
        calls = [] if direct else self._calls(sample, rng)
        answer = FinalAnswer(text=sample.answers[0], thought=str(sample.metadata.get("thought", "")))
        return [*map(format_action, calls), format_action(answer)]

    def _calls(self, sample: VQASample, rng: np.random.Generator) -> list[ToolCall]:
        needs = sample.metadata.get("needs", "none")
        if needs == "window":
            return [ToolCall(name="window", arguments={"preset": "bone"}, thought=WINDOW_THOUGHT)]
        if needs != "zoom":
            return []
        looks = sample.regions[: self.config.max_zooms]
        thoughts = [LOOK_THOUGHT, *[NEXT_LOOK_THOUGHT] * (len(looks) - 1)]
        return [self._zoom(sample, look, thought, rng) for look, thought in zip(looks, thoughts, strict=False)]

    def _zoom(self, sample: VQASample, region: Region, thought: str, rng: np.random.Generator) -> ToolCall:
        box: dict[str, Any] = {"bbox_2d": self._box(sample, region.image, region.box, rng)}
        other_image = {"image": region.image} if region.image else {}  # the first is the tool's default
        return ToolCall(name="zoom", arguments=box | other_image, thought=thought)

    def box_around(self, target: Box, size: tuple[int, int]) -> list[int]:
        """The box of the grid, 0-1000, that is best centred on a target in pixels of an image of that size."""
        return self._to_model(*self._spans(target, size))

    def _spans(self, target: Box, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        width, height = size
        return self._span(target[0] / width, target[2] / width), self._span(target[1] / height, target[3] / height)

    def _box(self, sample: VQASample, image: int, target: Box, rng: np.random.Generator) -> list[int]:
        """The target on the grid, 0-1000, perhaps moved off it."""
        columns, rows = self._spans(target, open_image(sample.images[image]).size)
        if rng.uniform() < self.config.jitter_share:
            columns, rows = self._shift(columns, rng), self._shift(rows, rng)
        return self._to_model(columns, rows)

    def _to_model(self, columns: tuple[int, int], rows: tuple[int, int]) -> list[int]:
        return [round(1000 * cell / self.config.grid) for cell in (columns[0], rows[0], columns[1], rows[1])]

    def _span(self, low: float, high: float) -> tuple[int, int]:
        """The run of cells, of at least the configured number, that is best centred on ``low .. high`` (0-1)."""
        grid = self.config.grid
        cells = min(grid, max(self.config.cells, int(np.ceil((high - low) * grid))))
        start = round((low + high) / 2 * grid - cells / 2)
        start = min(max(start, 0), grid - cells)
        return start, start + cells

    def _shift(self, span: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        most = self.config.grid - span[1]  # to the right or below
        if self.config.jitter_cells is None:
            shift = int(rng.integers(-span[0], most + 1))
        else:
            far = self.config.jitter_cells
            shift = min(max(int(rng.integers(-far, far + 1)), -span[0]), most)
        return span[0] + shift, span[1] + shift
