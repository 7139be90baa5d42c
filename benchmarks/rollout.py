"""How fast episodes are played: by turns, by episodes in flight, and by what tools take.

Run it on a quiet machine, in about six minutes:

    OMP_NUM_THREADS=1 python -m benchmarks.rollout

A nano policy with random weights plays groups of eight siblings, at default settings; tool calls are forced, so that
every rollout is the same work, and the tools' latency is slept. The last line is JSON:

* ``slow_tool_ratio``: throughput of 64 episodes in flight with two calls of 200 ms each, over the same with instant
  tools: at least 0.85;
* ``mixed_tool_ratio``: the same for calls of 0 to 200 ms: at least 0.85;
* ``scaling_128_over_32``: seconds per episode at 128 in flight over those at 32: at most 1;
* ``encodes_per_image``: passes of the vision tower per distinct image: 1;
* ``fed_per_token``: tokens fed to the model per distinct token, prompts of siblings counted once: at most 1.05.

Medians over repeats that alternate. The first rollout of each kind is not counted: in it the collector finds out how
long tools take. On a machine that is not quiet the seconds of the processor (``CPU s``) say more than the clock's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.forced_episodes import Played, Rollouts, questions, random_nano
from medvista.policies import VLMPolicy
from medvista.types import VQASample


class Kind(NamedTuple):
    """What is varied from one rollout to the next."""

    looks: int = 2
    in_flight: int = 64
    tool_ms: int = 0
    mixed: bool = False


INSTANT, SLOW, MIXED = Kind(), Kind(tool_ms=200), Kind(tool_ms=200, mixed=True)
FEW, MANY = Kind(in_flight=32), Kind(in_flight=128)
COMPARED = (INSTANT, SLOW, MIXED, FEW, MANY)
OTHERS = (
    *(Kind(looks=looks) for looks in (0, 1, 3, 4)),
    *(Kind(in_flight=episodes) for episodes in (8, 16)),
    *(Kind(tool_ms=milliseconds) for milliseconds in (50, 500)),
)


def measure(
    policy: VLMPolicy, samples: Sequence[VQASample], kinds: Sequence[Kind], *, siblings: int, tokens: int, repeats: int
) -> dict[Kind, list[Played]]:
    """Plays each kind in turn, again and again."""
    rollouts = {
        kind: Rollouts(
            policy,
            samples[: max(1, kind.in_flight // siblings)],
            siblings=min(siblings, kind.in_flight),
            looks=kind.looks,
            tokens=tokens,
            tool_ms=kind.tool_ms,
            mixed=kind.mixed,
        )
        for kind in kinds
    }
    for one in rollouts.values():
        one.play()
    played: dict[Kind, list[Played]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, one in rollouts.items():
            played[kind].append(one.play())
    return played


def figures(played: Mapping[Kind, Sequence[Played]]) -> dict[str, float]:
    """What is promised, from the kinds that are compared."""
    seconds = {kind: median(one.seconds for one in played[kind]) for kind in COMPARED}
    return {
        "slow_tool_ratio": seconds[INSTANT] / seconds[SLOW],
        "mixed_tool_ratio": seconds[INSTANT] / seconds[MIXED],
        "scaling_128_over_32": seconds[MANY] / MANY.in_flight / (seconds[FEW] / FEW.in_flight),
        "encodes_per_image": max(one.encodes_per_image for kind in COMPARED for one in played[kind]),
        "fed_per_token": max(one.fed_per_token for kind in COMPARED for one in played[kind]),
    }


def show(played: Mapping[Kind, Sequence[Played]]) -> None:
    """A row per kind."""
    print(f"{'looks':>5}{'in flight':>11}{'tool ms':>9}{'episodes/s':>12}{'CPU s':>8}", end="")
    print(f"{'encodes/image':>15}{'fed/token':>11}")
    for kind, times in played.items():
        tool = f"0-{kind.tool_ms}" if kind.mixed else str(kind.tool_ms)
        rate = kind.in_flight / median(one.seconds for one in times)
        print(
            f"{kind.looks:>5}{kind.in_flight:>11}{tool:>9}{rate:>12.1f}{median(o.cpu_s for o in times):>8.2f}", end=""
        )
        print(f"{times[-1].encodes_per_image:>15.2f}{times[-1].fed_per_token:>11.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    options = _parser().parse_args(arguments)
    samples = questions(MANY.in_flight // options.siblings)
    policy = random_nano(samples)
    size = {"siblings": options.siblings, "tokens": options.tokens}
    compared = measure(policy, samples, COMPARED, repeats=options.repeats, **size)
    others = measure(policy, samples, OTHERS, repeats=1, **size) if options.table else {}
    show(compared | others)
    print(json.dumps({name: round(value, 4) for name, value in figures(compared).items()}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description="How fast episodes are played.")
    parser.add_argument("--repeats", type=int, default=5, help="of what is compared (%(default)s)")
    parser.add_argument("--siblings", type=int, default=8, help="episodes per question (%(default)s)")
    parser.add_argument("--tokens", type=int, default=24, help="of one turn, at most (%(default)s)")
    parser.add_argument("--no-table", dest="table", action="store_false", help="only what is compared")
    return parser


if __name__ == "__main__":
    main()
