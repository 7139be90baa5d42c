"""What episodes show: how often they were right, how they used tools, and whether they looked at the evidence.

One function stands behind every number: `episode_counts` counts one episode, `rates` divides the sums. The metric that
training logs and the table that evaluation writes both use them, over any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from medvista.functional.text import exact_match
from medvista.types import ParseError, Region, Trajectory

COUNTS = (
    "episodes",
    "correct",
    "answered",
    "turns",
    "tokens",  # sampled by the policy
    "tool_calls",
    "tool_errors",
    "episodes_with_tool",
    "parse_errors",  # turns that were neither a call nor an answer
    "annotated_looks",  # episodes that looked somewhere and whose sample has annotated regions
    "hits",  # of these, the ones that looked at an annotated region
    "reward",  # the only count that is not an integer
)


def region_hit(looks: Sequence[Region], lesions: Sequence[Region]) -> bool:
    """Whether a region looked at contains the centre of an annotated one on the same image (the pointing criterion).

    >>> lesion = Region(box=(10, 10, 20, 20))
    >>> region_hit([Region(box=(0, 0, 15, 15))], [lesion]), region_hit([Region(box=(0, 0, 14, 14))], [lesion])
    (True, False)
    """
    return any(_contains_centre(look, lesion) for look in looks for lesion in lesions)


def looks(trajectory: Trajectory) -> tuple[Region, ...]:
    """The regions of the source images that successful tool calls looked at, in order."""
    results = (turn.result for turn in trajectory.turns)
    return tuple(region for result in results if result is not None and result.ok for region in result.regions)


def correct(trajectory: Trajectory) -> bool:
    """Whether the episode ended with an accepted answer."""
    return exact_match(trajectory.answer, trajectory.sample.answers, trajectory.sample.choices)


def episode_counts(trajectory: Trajectory) -> dict[str, float]:
    """The `COUNTS` of one episode; they add up over episodes."""
    tool_turns = trajectory.tool_turns
    looked, regions = looks(trajectory), trajectory.sample.regions
    annotated = bool(looked and regions)
    return {
        "episodes": 1,
        "correct": correct(trajectory),
        "answered": trajectory.answer is not None,
        "turns": len(trajectory.turns),
        "tokens": sum(len(turn.completion.token_ids) for turn in trajectory.turns),
        "tool_calls": len(tool_turns),
        "tool_errors": sum(turn.result is not None and not turn.result.ok for turn in tool_turns),
        "episodes_with_tool": bool(tool_turns),
        "parse_errors": sum(isinstance(turn.action, ParseError) for turn in trajectory.turns),
        "annotated_looks": annotated,
        "hits": annotated and region_hit(looked, regions),
        "reward": trajectory.reward.total if trajectory.reward else 0.0,
    }


def rates(counts: Mapping[str, float]) -> dict[str, float]:
    """The numbers that people read, from summed `COUNTS`. A rate of nothing is left out, not called 0.

    >>> rates(dict.fromkeys(COUNTS, 0) | {"episodes": 4, "correct": 3, "tool_calls": 2})["accuracy"]
    0.75
    """
    ratios = {
        "accuracy": ("correct", "episodes"),
        "reward": ("reward", "episodes"),
        "answered_rate": ("answered", "episodes"),
        "turns_mean": ("turns", "episodes"),
        "tokens_mean": ("tokens", "episodes"),
        "tool_rate": ("episodes_with_tool", "episodes"),
        "tool_calls_mean": ("tool_calls", "episodes"),
        "tool_error_rate": ("tool_errors", "tool_calls"),
        "parse_error_rate": ("parse_errors", "turns"),
        "hit_rate": ("hits", "annotated_looks"),
    }
    return {name: counts[part] / counts[whole] for name, (part, whole) in ratios.items() if counts[whole]}


def summarise(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """The `rates` of some episodes; empty without episodes."""
    return rates(episode_totals(trajectories))


def episode_totals(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """The `COUNTS` of some episodes, added up."""
    totals = dict.fromkeys(COUNTS, 0.0)
    for trajectory in trajectories:
        for name, count in episode_counts(trajectory).items():
            totals[name] += count
    return totals


def _contains_centre(look: Region, lesion: Region) -> bool:
    x = (lesion.box[0] + lesion.box[2]) / 2
    y = (lesion.box[1] + lesion.box[3]) / 2
    left, top, right, bottom = look.box
    same_image = (look.image, look.slice) == (lesion.image, lesion.slice)
    return same_image and left <= x <= right and top <= y <= bottom
