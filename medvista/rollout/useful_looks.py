"""Whether what a call has shown mattered to the answer: the episode is forked there, and the result blanked.

The fork is that of `medvista.rollout.forks`; here it may be of an engine that gives text only.
"""

from __future__ import annotations

from collections.abc import Sequence

from medvista.functional.episodes import correct
from medvista.policies import SamplingParams
from medvista.rollout.forks import Fork, MakeForkCollector, forkable_calls
from medvista.types import Trajectory


def needs_a_look(
    episodes: Sequence[Trajectory], make_collector: MakeForkCollector, params: SamplingParams, *, forks: int = 1
) -> list[bool]:
    """Of each right episode, whether one of its calls mattered: with its result blanked, the answer is always wrong.

    Calls are tried in order, and an episode is done with at the first that mattered.

    Args:
        episodes: that ended with a right answer; their seeds differ.
        make_collector: plays forks.
        params: how the turns after the call are drawn.
        forks: per call.

    Raises:
        ValueError: two episodes have the same seed, by which forks are known.
    """
    if len({episode.seed for episode in episodes}) < len(episodes):
        raise ValueError("episodes that are forked together must have different seeds")
    calls = [forkable_calls(episode) for episode in episodes]
    mattered = [False] * len(episodes)
    for before in range(max(map(len, calls), default=0)):
        open_ones = [row for row, turns in enumerate(calls) if before < len(turns) and not mattered[row]]
        wrong = set(open_ones)
        for number in range(forks):
            tried = [
                Fork(episode=episodes[row], row=row, turn=calls[row][before], results_before=before)
                for row in sorted(wrong)
            ]
            wrong -= _right(tried, make_collector, params, number)
        for row in wrong:
            mattered[row] = True
    return mattered


def _right(forks: Sequence[Fork], make_collector: MakeForkCollector, params: SamplingParams, number: int) -> set[int]:
    """The rows whose fork was right all the same."""
    if not forks:
        return set()
    collector = make_collector(forks, number)
    seeds = [fork.episode.seed for fork in forks]
    played = collector.collect([fork.episode.sample for fork in forks], params, seeds=seeds)
    return {fork.row for fork, after in zip(forks, played, strict=True) if correct(after)}
