"""How many more episodes two processes of one thread play than one.

Run it on a quiet machine with two cores or more, in about two minutes:

    python -m benchmarks.scaling

Each process has a nano policy with random weights of its own and plays the same 64 episodes, groups of eight with two
forced looks, as data-parallel training does between two updates. One process plays, then both at once, in turn. The
last line is JSON:

* ``efficiency_2``: episodes per second of two processes over those of one: at least 1.7.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Any

_rollouts: dict[tuple[int, int], Any] = {}  # of this process, by prompts and tokens: made once


def _take_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def play(prompts: int, tokens: int) -> int:
    """Plays a rollout in this process; how many episodes it had."""
    from benchmarks.forced_episodes import Rollouts, questions, random_nano

    if (prompts, tokens) not in _rollouts:
        samples = questions(prompts)
        _rollouts[prompts, tokens] = Rollouts(random_nano(samples), samples, siblings=8, looks=2, tokens=tokens)
    _rollouts[prompts, tokens].play()
    return 8 * prompts


def episodes_per_second(workers: Sequence[ProcessPoolExecutor], prompts: int, tokens: int) -> float:
    """Of all of these processes together, each of which plays one rollout."""
    begun = time.perf_counter()
    played = [worker.submit(play, prompts, tokens) for worker in workers]
    return sum(rollout.result() for rollout in played) / (time.perf_counter() - begun)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    options = _parser().parse_args(arguments)
    size = (options.prompts, options.tokens)
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        pools = [ProcessPoolExecutor(1, mp_context=spawn, initializer=_take_one_thread) for _ in range(2)]
        workers = [stack.enter_context(pool) for pool in pools]
        episodes_per_second(workers, *size)  # in which much is set up
        one, two = [], []
        for _ in range(options.repeats):
            one.append(episodes_per_second(workers[:1], *size))
            two.append(episodes_per_second(workers, *size))
    print(f"{'processes':>10}{'episodes/s':>12}")
    for count, rates in ((1, one), (2, two)):
        print(f"{count:>10}{median(rates):>12.1f}")
    print(json.dumps({"efficiency_2": round(median(two) / median(one), 4)}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="Two processes beside one.")
    parser.add_argument("--repeats", type=int, default=5, help="of one and of two (%(default)s)")
    parser.add_argument("--prompts", type=int, default=8, help="groups of eight episodes per rollout (%(default)s)")
    parser.add_argument("--tokens", type=int, default=24, help="of one turn, at most (%(default)s)")
    return parser


if __name__ == "__main__":
    main()
