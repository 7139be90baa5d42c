"""A soak test: hours of rollouts whose tools fail one call in five, in every way that they can.

    python -m benchmarks.soak --minutes 60

A nano policy with random weights plays groups of siblings and each group becomes a training batch; tool calls are
forced, and what each of them does is drawn from its episode's seed (`benchmarks.unsteady_tool`). The last line is JSON:

* ``rss_mib_per_hour``: slope of the memory of this process over the rounds after the first tenth, with its standard
  error: within two of them it is noise;
* ``throughput_percent_per_hour``: slope of the episodes per second, likewise;
* ``failures``: calls that were told to fail and failed so, by mood; ``unaccounted``: calls that came to something else;
* ``processes_left``: of those that tools have started, how many outlived the end.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from benchmarks.forced_episodes import ANSWER, VIEW_SIZE, questions, random_nano
from benchmarks.unsteady_tool import MOODS, UNSTEADY
from medvista.circuit_breaker import CircuitBreaker
from medvista.envs import MedicalVQAEnv
from medvista.parsing import format_action
from medvista.policies import ChatRenderer, SamplingParams, TransformersEngine
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.settings import ToolLimits
from medvista.tools import Toolbox
from medvista.tools.executors import make_executor
from medvista.types import Observation, ToolCall, Trajectory, TrajectoryGroup

SHARE = 0.2  # of the calls that fail
LOOKS = 2  # calls of an episode
TIMEOUT_S, MEMORY_MB = 2.0, 1500
PROMPTS, SIBLINGS = 4, 4


class Round(NamedTuple):
    """What is measured after each rollout."""

    hours: float  # since the start
    rss_mib: float
    episodes_per_s: float


class Moody(gymnasium.Wrapper[Observation, str, Observation, str]):
    """Calls the tool in a mood drawn from the episode's seed, then answers, whatever the policy writes."""

    def reset(self, **options: Any) -> tuple[Observation, dict[str, Any]]:
        """Draws the moods of the episode."""
        self.turn, self.moods = 0, moods(options["seed"])
        return self.env.reset(**options)

    def step(self, action: str) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Takes the next turn of the plan."""
        turn, self.turn = self.turn, self.turn + 1
        if turn == LOOKS:
            return self.env.step(ANSWER)
        return self.env.step(format_action(ToolCall(name="unsteady", arguments={"mood": self.moods[turn]})))


def moods(seed: int) -> list[str]:
    """What the calls of an episode do."""
    rng = np.random.default_rng(seed)
    return [str(rng.choice(list(MOODS))) if rng.random() < SHARE else "good" for _ in range(LOOKS)]


def account(episodes: Sequence[Trajectory], failures: Counter[str], unaccounted: Counter[str]) -> None:
    """Holds every call to what it was told to do."""
    for episode in episodes:
        for mood, turn in zip(moods(episode.seed), episode.turns, strict=False):
            error = turn.result.error if turn.result is not None else None
            kind = None if error is None else error.type
            if kind in MOODS.get(mood, ()) or (kind is None and not MOODS.get(mood)):
                failures.update([] if mood == "good" else [mood])
            else:
                unaccounted[f"{mood}: {kind.value if kind else 'a result'}"] += 1


def soak(minutes: float) -> dict[str, Any]:
    """Plays for so long; what came of it."""
    samples = questions(PROMPTS)
    policy = random_nano(samples)
    limits = ToolLimits(timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB, concurrency=2)
    failures, unaccounted, rounds = Counter[str](), Counter[str](), list[Round]()
    begun, number = time.monotonic(), 0
    with make_executor("processes", limits) as executor:
        toolbox = Toolbox([UNSTEADY], executor=executor, breakers={"unsteady": CircuitBreaker(20, 1.0)})

        def make_env() -> Moody:
            return Moody(MedicalVQAEnv(samples, toolbox, view_size=VIEW_SIZE, max_turns=LOOKS + 1))

        collector = RolloutCollector(make_env, TransformersEngine(policy), ChatRenderer(policy, "Tools"), workers=None)
        asked = [sample for sample in samples for _ in range(SIBLINGS)]
        while time.monotonic() - begun < 60 * minutes:
            start = time.perf_counter()
            seeds = range(number * len(asked), (number + 1) * len(asked))
            episodes = collector.collect(asked, SamplingParams(max_new_tokens=16), seeds=seeds)
            groups = [episodes[place : place + SIBLINGS] for place in range(0, len(episodes), SIBLINGS)]
            ExperienceBatch.from_groups([TrajectoryGroup(trajectories=group) for group in groups], stats={})
            account(episodes, failures, unaccounted)
            seconds = time.perf_counter() - start
            rounds.append(Round((time.monotonic() - begun) / 3600, _rss_mib(), len(asked) / seconds))
            number += 1
        outages = toolbox.outages()
    return {
        "minutes": round(minutes, 1),
        "episodes": number * len(asked),
        "rss_mib": round(rounds[-1].rss_mib),
        "rss_mib_per_hour": _slope(rounds, [one.rss_mib for one in rounds]),
        "episodes_per_s": round(float(np.median([one.episodes_per_s for one in rounds])), 2),
        "throughput_percent_per_hour": _slope(rounds, _percent([one.episodes_per_s for one in rounds])),
        "failures": dict(sorted(failures.items())),
        "unaccounted": dict(unaccounted),
        "outages": outages,
        "processes_left": _children(),
    }


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * value / float(np.median(values)) for value in values]


def _slope(rounds: Sequence[Round], values: Sequence[float]) -> dict[str, float]:
    """The slope per hour of a straight line through the rounds after the first tenth, and its standard error."""
    first = len(rounds) // 10
    x, y = np.array([one.hours for one in rounds[first:]]), np.array(values[first:])
    if len(x) < 3:
        return {}
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    error = float(np.sqrt(((y - y.mean() - slope * x) ** 2).sum() / (len(x) - 2) / (x @ x)))
    return {"slope": round(slope, 2), "standard_error": round(error, 2)}


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _children() -> int:
    """Processes that tools have started and that are still there: `sleep` is what they start."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes() == b"sleep\x00617\x00" and os.stat(path).st_uid == os.getuid()
        except OSError:
            continue
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    found = soak(parser.parse_args().minutes)
    for mood, count in found["failures"].items():
        print(f"{mood:20} {count:6,} failed as they should")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
