"""The name of one set of test episodes, and of the file that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

from medvista.evaluation.numbers.results import MODES, Mode

FOLDER = Path("trajectories") / "test"  # below a run's folder


class EpisodeSet(NamedTuple):
    """The test episodes of one arm on one benchmark in one mode."""

    benchmark: str
    arm: str
    mode: Mode
    change: str = ""  # of a replay: what was shown in the place of the tools' results; see `arms.CHANGES`

    def path(self, run: Path) -> Path:
        """Where a run keeps them.

        >>> EpisodeSet("phantom", "sft_rl", "greedy", change="blank").path(Path("runs/nano")).name
        'phantom-sft_rl.blank-greedy.jsonl'
        """
        arm = f"{self.arm}.{self.change}" if self.change else self.arm
        return run / FOLDER / f"{self.benchmark}-{arm}-{self.mode}.jsonl"

    @classmethod
    def of_file(cls, name: str) -> EpisodeSet | None:
        """The set that a file of `path` holds, by the file's name; None for a name of another form.

        >>> EpisodeSet.of_file("my-ward-sft_rl.blank-greedy.jsonl")
        EpisodeSet(benchmark='my-ward', arm='sft_rl', mode='greedy', change='blank')
        """
        parts = name.removesuffix(".jsonl").rsplit("-", 2)
        if len(parts) != 3 or parts[2] not in MODES:
            return None
        benchmark, arm, mode = parts
        arm, _, change = arm.partition(".")
        return cls(benchmark, arm, cast(Mode, mode), change)
