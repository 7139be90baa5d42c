"""Which episodes the report shows: few, to be read and not to be counted, the ones that explain most first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.arms_figure import main_arm
from medvista.functional.episodes import correct, looks
from medvista.types import Trajectory


def pick_episodes(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """A right and a wrong episode of each family, right ones first; preferred is one that looked."""
    found: dict[tuple[bool, str], Trajectory] = {}
    for trajectory in trajectories:
        key = not correct(trajectory), str(trajectory.sample.metadata.get("family", ""))
        if key not in found or (looks(trajectory) and not looks(found[key])):
            found[key] = trajectory
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def in_reading_order(results: Results, episodes: Mapping[str, Sequence[Trajectory]]) -> list[tuple[str, Trajectory]]:
    """Arm and episode: first the arm that the run is about, a right answer after a look, then a wrong one.

    The other arms follow in the order of the comparisons, where what sees no image comes last.
    """
    main = main_arm(results)
    named = [main, *(name for test in results.comparisons for name in (test.arm, test.baseline)), *episodes]
    arms = [arm for arm in dict.fromkeys(named) if arm in episodes]
    return [(arm, episode) for arm in arms for episode in _opened(episodes[arm], both=arm == main)]


def _opened(episodes: Sequence[Trajectory], *, both: bool) -> list[Trajectory]:
    """Those that looked first; with `both`, the first wrong one right behind the first right one."""
    ordered = sorted(episodes, key=lambda episode: (not correct(episode), not looks(episode)))
    wrong = next((episode for episode in ordered if not correct(episode)), None)
    if not both or wrong is None or wrong is ordered[0]:
        return ordered
    return [ordered[0], wrong, *(episode for episode in ordered[1:] if episode is not wrong)]
