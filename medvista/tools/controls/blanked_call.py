"""What if one call had shown nothing? A toolbox that blanks a single result of an episode and leaves the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medvista.tools.controls.substituted_results import BlankResults
from medvista.tools.toolbox import Toolbox
from medvista.types import MedicalImage, ToolCall, ToolResult


class BlankedCall(BlankResults):
    """Shows nothing in one result of each episode, as `BlankResults` does in all.

    Args:
        toolbox: the toolbox to run calls with.
        which: by the episode's seed, how many successful results come before the one that is blanked.
        episode: the seed of the episode that is played.
    """

    def __init__(self, toolbox: Toolbox, which: Mapping[int, int], episode: int | None = None) -> None:
        super().__init__(toolbox)
        self._which = which
        self._left = None if episode is None else which.get(episode)  # true results before the blank one

    def for_episode(self, seed: int) -> BlankedCall:
        """A copy for the episode of this seed."""
        return BlankedCall(self._toolbox.for_episode(seed), self._which, seed)

    def substitute(self, call: ToolCall, result: ToolResult, images: Sequence[MedicalImage]) -> ToolResult:
        """The result itself, or the one that shows nothing."""
        if self._left is None:
            return result
        self._left -= 1
        return super().substitute(call, result, images) if self._left == -1 else result
