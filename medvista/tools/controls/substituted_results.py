"""What if the tool had shown something else? Toolboxes that run each call as asked and put another result in its place.

With `RandomRegions` they ask whether an answer rests on what a tool showed: the same policy and question, and an
observation without content (`BlankResults`), of another image (`ShuffledResults`), or of another place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medvista.imaging import blank_image
from medvista.tools.controls.random_regions import SUBSTITUTED
from medvista.tools.controls.toolbox_wrapper import ToolboxWrapper
from medvista.tools.toolbox import Toolbox
from medvista.types import MedicalImage, ToolCall, ToolResult


class SubstitutedResults(ToolboxWrapper):
    """Runs each call on the episode's true images and shows what `substitute` gives; failed calls stay as they are.

    Boxes of later calls on a substituted image are read as if the true one had been shown, so that what is recorded as
    looked at stays where the policy looked. A substitute has as many images as the true result.
    """

    def __init__(self, toolbox: Toolbox) -> None:
        super().__init__(toolbox)
        self._found: list[MedicalImage] = []  # what the tools of this episode truly returned

    def run(self, call: ToolCall, images: Sequence[MedicalImage]) -> ToolResult:
        """Run the call, and show something else in the place of what it found."""
        true_images = (*images[: len(images) - len(self._found)], *self._found)
        result = self._toolbox.run(call, true_images)
        if not result.ok:
            return result
        self._found.extend(result.images)
        return self.substitute(call, result, true_images)

    def substitute(self, call: ToolCall, result: ToolResult, images: Sequence[MedicalImage]) -> ToolResult:
        """What is shown in the place of a successful result."""
        raise NotImplementedError


class BlankResults(SubstitutedResults):
    """Shows results with nothing in them: grey images of the same shape, and what the tool says of a grey source.

    So a zoom keeps its text, which repeats the call, and a measurement becomes that of a blank image. Text that does
    not depend on the images at all and comes without one (what was retrieved) is left out.
    """

    def for_episode(self, seed: int) -> BlankResults:
        """A copy that has returned nothing yet."""
        return BlankResults(self._toolbox.for_episode(seed))

    def substitute(self, call: ToolCall, result: ToolResult, images: Sequence[MedicalImage]) -> ToolResult:
        """The result with its images blanked and its text taken from a run on blank images."""
        silent = self._toolbox.run(call, tuple(map(blank_image, images)))
        text = silent.text if silent.ok and (result.images or silent.text != result.text) else ""
        blank = tuple(map(blank_image, result.images))
        return replace(result, text=text, images=blank, masks=(), data={SUBSTITUTED: "blank"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Donor:
    """What a tool showed in some episode."""

    group_id: str  # of the episode's sample: an observation of the same image is no donor
    tool: str
    text: str
    images: tuple[MedicalImage, ...]  # as the policy saw them


class ShuffledResults(SubstitutedResults):
    """Shows what the same tool showed in another episode, about another image.

    Args:
        toolbox: the toolbox to run calls with.
        donors: observations to draw from.
        groups: ``group_id`` of each episode's sample, by the episode's seed.
        seed: of the draws, which depend on it, on the episode and on the number of calls before, and on nothing else.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        donors: Sequence[Donor],
        groups: Mapping[int, str],
        *,
        seed: int = 0,
        episode: int | None = None,
    ) -> None:
        super().__init__(toolbox)
        self._donors, self._groups, self._seed = donors, groups, seed
        self._group = None if episode is None else groups[episode]
        self._rng = np.random.default_rng((seed, episode or 0))

    def for_episode(self, seed: int) -> ShuffledResults:
        """A copy that draws for the episode of this seed."""
        toolbox = self._toolbox.for_episode(seed)
        return ShuffledResults(toolbox, self._donors, self._groups, seed=self._seed, episode=seed)

    def substitute(self, call: ToolCall, result: ToolResult, images: Sequence[MedicalImage]) -> ToolResult:
        """A donor's text and images; the true result where no other image's episode called this tool."""
        place = self._rng.random()  # at every call, so that call k's donor does not depend on what was called before
        fitting = [
            donor
            for donor in self._donors
            if donor.tool == call.name and len(donor.images) == len(result.images) and donor.group_id != self._group
        ]
        if not fitting:
            return result
        donor = fitting[int(place * len(fitting))]
        data = {SUBSTITUTED: f"shown about {donor.group_id}"}
        return replace(result, text=donor.text, images=donor.images, masks=(), data=data)
