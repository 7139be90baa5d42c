"""Reflection demonstrations: a look at a place that does not hold the finding, then the one that does.

As Ophiuchus trains (arXiv 2512.14157), so that a policy learns to notice a miss and to look again. The wrong look is
drawn, played in the environment like any other, and marked as one that is not to be learned (`Turn.learned`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medvista.functional.acceptance import judge_episode
from medvista.functional.episodes import region_hit
from medvista.imaging import open_image
from medvista.parsing import format_action
from medvista.policies import Engine, SamplingParams, ScriptedPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Box, ToolCall, Trajectory

MISSED = "It is not in this part. Look elsewhere."

_TRIES = 64
_Drawn = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The texts of an episode with a wrong look in it."""

    turn: int  # of the wrong look
    texts: tuple[str, ...]


def add_wrong_look(
    episode: Trajectory, make_collector: Callable[[Engine], RolloutCollector], *, max_turns: int, seed: int
) -> tuple[Trajectory | None, str]:
    """The episode played again with a wrong look before its first look, and what came of it in a few words.

    Args:
        episode: right, with a look at a box on one of the sample's images.
        make_collector: plays what an engine writes.
        max_turns: of the environment.
        seed: of the draw, together with the episode's.
    """
    if len(episode.turns) >= max_turns:
        return None, "reflection left out: no turn is left for it"
    plan = _plan(episode, np.random.default_rng((seed, episode.seed)))
    if plan is None:
        return None, "reflection left out: no annotated look at a box of a source image, or no place beside it"
    engine = ScriptedPolicy(lambda trajectory: plan.texts[len(trajectory.turns)])
    (played,) = make_collector(engine).collect([episode.sample], SamplingParams(), seeds=[episode.seed])
    wrong = played.turns[plan.turn]
    if judge_episode(played, "hit") != "kept" or wrong.result is None or _hits(wrong.result.regions, played):
        return None, "reflection left out: played again, it was not right"
    turns = (*played.turns[: plan.turn], replace(wrong, learned=False), *played.turns[plan.turn + 1 :])
    return replace(played, turns=turns), "reflection"


def _hits(regions: Sequence[Any], episode: Trajectory) -> bool:
    return not regions or region_hit(regions, episode.sample.regions)


def _plan(episode: Trajectory, rng: np.random.Generator) -> _Plan | None:
    sources = len(episode.sample.images)
    calls = [(index, turn.action) for index, turn in enumerate(episode.turns) if isinstance(turn.action, ToolCall)]
    if any(_last_image(call.arguments) >= sources for _, call in calls):
        return None  # images that tools returned have other numbers once there is one more
    for index, call in calls:
        box = _box(call.arguments)
        if box is None:
            continue
        wrong = _beside(box, _annotated(episode, int(call.arguments.get("image") or 0)), rng)
        if wrong is None:
            return None
        miss = replace(call, arguments={**call.arguments, "bbox_2d": wrong})
        again = replace(call, thought=f"{MISSED} {call.thought}".strip())
        texts = [turn.completion.text for turn in episode.turns]
        return _Plan(index, (*texts[:index], format_action(miss), format_action(again), *texts[index + 1 :]))
    return None


def _last_image(arguments: Mapping[str, Any]) -> int:
    image = arguments.get("image") or 0
    numbers = image if isinstance(image, list) else [image]
    return max((number for number in numbers if isinstance(number, int)), default=0)


def _box(arguments: Mapping[str, Any]) -> _Drawn | None:
    box = arguments.get("bbox_2d")
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(isinstance(edge, (int, float)) for edge in box):
        return None
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def _annotated(episode: Trajectory, image: int) -> list[Box]:
    """The annotated boxes of an image, on the scale of 0-1000; none where they are of a slice."""
    sample = episode.sample
    width, height = open_image(sample.images[image]).size
    return [
        (1000 * x1 / width, 1000 * y1 / height, 1000 * x2 / width, 1000 * y2 / height)
        for x1, y1, x2, y2 in (
            region.box for region in sample.regions if region.image == image and region.slice is None
        )
    ]


def _beside(box: _Drawn, annotated: Sequence[Box], rng: np.random.Generator) -> list[int] | None:
    """A box of the same size that touches none of the annotated ones."""
    if not annotated:
        return None
    width, height = round(box[2] - box[0]), round(box[3] - box[1])
    for _ in range(_TRIES):
        left, top = int(rng.integers(0, max(1, 1001 - width))), int(rng.integers(0, max(1, 1001 - height)))
        drawn = [left, top, left + width, top + height]
        if not any(_touch(drawn, region) for region in annotated):
            return drawn
    return None


def _touch(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
