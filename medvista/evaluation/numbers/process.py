"""How an arm came to its answers, where what it takes is known: on phantoms, which need one tool, or none.

What is asked is what MedCTA (arXiv 2606.11702) asks of tool agents: is the tool the right one, do its arguments fit, do
the calls come in the right order. How it is measured is ours, from the scene that was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from medvista.data.phantom_vqa import BENCHMARK, NEEDS
from medvista.data.phantoms import MATERIAL_HU
from medvista.evaluation.numbers.benchmark_measures import mean_measured
from medvista.evaluation.numbers.results import Measured
from medvista.functional.episodes import looks, region_hit
from medvista.tools.builtin.window import PRESETS
from medvista.types import Region, ToolCall, Trajectory, Turn, Window

PROCESS: Mapping[str, str] = {
    "tool_selection": "share of the questions on which the tool that they need was called, and no other; where they "
    "need none, none",
    "tool_arguments": "of those that called the tool they need, the share whose calls showed all that it takes",
    "tool_order": "of those, the share in which no call that showed nothing of it came before",
}
_APART = 0.05  # share of the grey scale by which two materials have to differ to be told apart


def process_measures(trajectories: Sequence[Trajectory], resamples: int = 2000) -> dict[str, Measured]:
    """The measures of `PROCESS` that apply, with clustered intervals; none to an arm that called no tool.

    Args:
        trajectories: an arm's episodes on a benchmark.
        resamples: of the intervals, which resample images.
    """
    known = [trajectory for trajectory in trajectories if trajectory.sample.benchmark == BENCHMARK]
    if not any(trajectory.tool_turns for trajectory in known):
        return {}
    with_tool = [t for t in known if needed_tool(t) is not None and needed_tool(t) in _called(t)]
    complete = [t for t in with_tool if has_right_arguments(t)]
    scored = {
        "tool_selection": [(t, has_right_tool(t)) for t in known],
        "tool_arguments": [(t, has_right_arguments(t)) for t in with_tool],
        "tool_order": [(t, has_right_order(t)) for t in complete],
    }
    return {
        name: mean_measured([float(right) for _, right in of], [t.sample.group_id for t, _ in of], resamples)
        for name, of in scored.items()
        if of
    }


def needed_tool(trajectory: Trajectory) -> str | None:
    """The tool without which the question cannot be answered; None where none is needed."""
    needed = NEEDS[str(trajectory.sample.metadata["family"])]
    return None if needed == "none" else needed


def has_right_tool(trajectory: Trajectory) -> bool:
    """Whether the needed tool was called, and no other."""
    needed = needed_tool(trajectory)
    return _called(trajectory) == ({needed} if needed else set())


def has_right_arguments(trajectory: Trajectory) -> bool:
    """Whether the calls showed all that is needed: every annotated region, or a window that parts the materials."""
    if needed_tool(trajectory) == "zoom":
        looked = looks(trajectory)
        return all(region_hit(looked, [region]) for region in trajectory.sample.regions)
    return any(_useful(turn, "window", ()) for turn in trajectory.tool_turns)


def has_right_order(trajectory: Trajectory) -> bool:
    """Whether each call showed something that is needed and had not been shown, until there was no more."""
    left, needed = list(trajectory.sample.regions), needed_tool(trajectory)
    for turn in trajectory.tool_turns:
        if not _useful(turn, needed, left):
            return False
        shown = turn.result.regions if turn.result is not None else ()
        left = [region for region in left if not region_hit(shown, [region])]
        if not left:
            return True
    return False


def _called(trajectory: Trajectory) -> set[str]:
    return {turn.action.name for turn in trajectory.tool_turns if isinstance(turn.action, ToolCall)}


def _useful(turn: Turn, needed: str | None, left: Sequence[Region]) -> bool:
    """Whether a call of the needed tool showed a region that is left, or a window that parts the materials."""
    if turn.result is None or not turn.result.ok or not isinstance(turn.action, ToolCall):
        return False
    if turn.action.name != needed:
        return False
    if needed == "zoom":
        return region_hit(turn.result.regions, left)
    window = _window_of(turn.action)
    return window is not None and parts_materials(window)


def parts_materials(window: Window) -> bool:
    """Whether a window shows the materials that a mass may be made of in greys that differ.

    >>> parts_materials(PRESETS["bone"]), parts_materials(PRESETS["soft_tissue"])
    (True, False)
    """
    low = window.centre - window.width / 2
    greys = [min(max((value - low) / window.width, 0.0), 1.0) for value in MATERIAL_HU.values()]
    return all(abs(a - b) >= _APART for a, b in combinations(greys, 2))


def _window_of(call: ToolCall) -> Window | None:
    """The window that a call asks for; None where it leaves that to the tool."""
    preset, centre, width = (call.arguments.get(name) for name in ("preset", "centre", "width"))
    if preset in PRESETS:
        return PRESETS[preset]
    if isinstance(centre, int | float) and isinstance(width, int | float) and width > 0:
        return Window(centre=centre, width=width)
    return None
