"""The same updates by medvista and by TRL: seconds, image passes, tokens that are read, memory.

Needs ``pip install 'medvista[peer]'``. Run it on a quiet machine, in about ten minutes:

    OMP_NUM_THREADS=1 python -m benchmarks.peer_trl

Both sides train the same nano policy (Qwen3-VL, random weights, its vision tower frozen) by GRPO with a KL to a
reference, on the same questions, with the same tool in the same environment: TRL as its documentation has it, a
``GRPOTrainer`` with an ``environment_factory``. Calls are forced and turns cannot end early, so that the work is the
same, which is checked. Each side has a process of its own, and they take turns; the first update of each run is not
counted. The last line is JSON, of 8 prompts of 8 siblings with two looks (``--only`` takes others):

* ``turns``: of an update, on both sides;
* ``rollouts_ratio``, ``step_ratio``: TRL's seconds over ours, of a rollout and of a whole update: at least 3 and 2.5;
* ``image_passes_per_image``: ours, of a rollout and of either pass behind it: 1;
* ``prefill_ratio``: tokens that are fed to the model in a rollout per distinct one, prompts of siblings counted once,
  ours: at most 1.05.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from benchmarks.peer_work import Update, make_work

Side = Literal["ours", "trl"]
SIDES: tuple[Side, ...] = ("ours", "trl")
_SAME = 0.03  # share by which tokens may differ: the chat templates of the two sides say roles differently


class Size(NamedTuple):
    """What is varied."""

    prompts: int
    siblings: int
    looks: int | None  # None: ragged

    def __str__(self) -> str:
        return f"{self.prompts}x{self.siblings}, {'ragged' if self.looks is None else self.looks}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """From ``8x8:2`` or ``8x8:ragged``."""
        groups, _, looks = text.partition(":")
        prompts, siblings = map(int, groups.split("x"))
        return cls(prompts, siblings, None if looks == "ragged" else int(looks))


class Options(NamedTuple):
    """What all sizes have in common."""

    tokens: int
    view_size: int
    vocabulary: int


JUDGED = Size(8, 8, 2)
SIZES = (Size(2, 4, 0), Size(2, 4, 2), Size(8, 8, 0), JUDGED, Size(8, 8, None))


def run(side: Side, size: Size, options: Options, updates: int) -> list[Update]:
    """Some updates by one side, in this process; the first of them is left out, in which much is set up."""
    from benchmarks import peer_ours, peer_trl_trainer

    work = make_work(*size, **options._asdict())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work.policy.save_pretrained(folder / "policy")
        if side == "trl":
            found = peer_trl_trainer.play_and_learn(work, updates + 1, folder / "policy", folder / "trl")
        else:
            tools = peer_trl_trainer.tools_text(work, folder / "policy")
            found = peer_ours.play_and_learn(work, updates + 1, tools, folder)
    return found[1:]


class Compared(NamedTuple):
    """The updates of both sides."""

    ours: list[Update]
    trl: list[Update]

    def check(self) -> None:
        """Whether both did the same work."""
        ours, trl = self.ours[0], self.trl[0]
        if ours.turns != trl.turns:
            raise RuntimeError(f"the sides played {ours.turns} and {trl.turns} turns of an update")
        gap = trl.trained_tokens / ours.trained_tokens - 1
        if abs(gap) > _SAME:
            raise RuntimeError(f"the sides learned from {ours.trained_tokens} and {trl.trained_tokens} tokens")

    def ratio(self, name: Literal["seconds", "rollout_s"]) -> float:
        """TRL's median over ours."""
        return median(getattr(u, name) for u in self.trl) / median(getattr(u, name) for u in self.ours)

    def figures(self) -> dict[str, float]:
        """What is promised."""
        ours = self.ours[-1]
        passes = max(ours.encoded / ours.images, ours.encoded_in_training / 2 / ours.images)
        return {
            "turns": ours.turns,
            "rollouts_ratio": self.ratio("rollout_s"),
            "step_ratio": self.ratio("seconds"),
            "image_passes_per_image": passes,
            "prefill_ratio": ours.fed_tokens / ours.distinct_tokens,
        }


def compare(size: Size, options: Options, *, repeats: int, updates: int) -> Compared:
    """Lets the sides take turns, each in its own process."""
    found = Compared([], [])
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        workers = {side: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for side in SIDES}
        for _ in range(repeats):
            for side, worker in workers.items():
                getattr(found, side).extend(worker.submit(run, side, size, options, updates).result())
    found.check()
    return found


def show(size: Size, found: Compared) -> None:
    """A row per side."""
    images = found.ours[-1].images
    for side in SIDES:
        updates: list[Update] = getattr(found, side)
        last = updates[-1]
        print(
            f"{size!s:>12}{side:>6}{median(u.seconds for u in updates):>9.2f}"
            f"{median(u.rollout_s for u in updates):>11.2f}{last.turns:>7}{last.trained_tokens:>9}"
            f"{last.encoded / images:>16.2f}{last.encoded_in_training / images / 2:>17.2f}"
            f"{last.fed_tokens / last.distinct_tokens:>11.2f}{max(u.rss_mb for u in updates):>9.0f}"
        )
    print(f"{'':>12}{'ratio':>6}{found.ratio('seconds'):>9.2f}{found.ratio('rollout_s'):>11.2f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    given = _parser().parse_args(arguments)
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    options = Options(given.tokens, given.view_size, given.vocabulary)
    sizes = [Size.parse(text) for text in given.only] or list(SIZES)
    print(f"{'size, looks':>12}{'side':>6}{'step s':>9}{'rollout s':>11}{'turns':>7}{'tokens':>9}", end="")
    print(f"{'encoded/image':>16}{'in each pass':>17}{'fed/token':>11}{'RSS MB':>9}")
    compared = {}
    for size in sizes:
        compared[size] = compare(size, options, repeats=given.repeats, updates=given.updates)
        show(size, compared[size])
    judged = compared[JUDGED if JUDGED in compared else sizes[-1]]
    print(json.dumps({name: round(value, 4) for name, value in judged.figures().items()}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_trl", description="Beside TRL, on the same work.")
    parser.add_argument("--only", nargs="*", default=[], metavar="SIZE", help="such as 8x8:2 8x8:ragged")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side, which alternate (%(default)s)")
    parser.add_argument("--updates", type=int, default=1, help="counted in each run (%(default)s)")
    parser.add_argument("--tokens", type=int, default=24, help="of every turn (%(default)s)")
    parser.add_argument("--view-size", type=int, default=64, help="pixels of a side (%(default)s; try 448)")
    parser.add_argument("--vocabulary", type=int, default=0, help="ids at least (try 16384)")
    return parser


if __name__ == "__main__":
    main()
