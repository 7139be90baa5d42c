"""Which questions are in which split: as the benchmark says, or split again (``data.resplit``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from medvista.app.config.schema import DataConfig
from medvista.data.benchmarks import benchmark_name, has_split, read_benchmark
from medvista.data.registry import SPLITS
from medvista.data.resplit import resplit
from medvista.types import Split, VQASample


class Splits:
    """The splits of any benchmark as a run uses them.

    Args:
        data: says where the files are, and whether they are split again, by what and by which seed.
        cache: remembers the fingerprints of images, which say what may not be parted.
    """

    def __init__(self, data: DataConfig, cache: Path) -> None:
        self.data, self.cache = data, cache
        self._dealt: dict[str, Mapping[Split, list[VQASample]]] = {}

    def read(self, benchmark: str, split: Split) -> list[VQASample]:
        """The questions of one split.

        Raises:
            UserError: there is no such benchmark or split, or its files are missing or malformed.
        """
        if self.data.resplit == "none":
            return read_benchmark(benchmark, self.data.root, split)
        if benchmark not in self._dealt:
            self._dealt[benchmark] = self._deal(benchmark)
        return self._dealt[benchmark][split]

    def lines(self) -> list[str]:
        """A sentence for each benchmark that was split again, for whoever reads the numbers."""
        return [
            f"{benchmark_name(name)}: all its questions were split again by {self.data.resplit} "
            f"(data.seed={self.data.seed}): {_counted(dealt)} to train / validation / test. No number here compares "
            "with those on the official splits."
            for name, dealt in self._dealt.items()
        ]

    def _deal(self, benchmark: str) -> Mapping[Split, list[VQASample]]:
        official = [
            sample
            for split in SPLITS
            if has_split(benchmark, split)
            for sample in read_benchmark(benchmark, self.data.root, split)
        ]
        if len({sample.id for sample in official}) < len(official):  # ids that count the rows of each split's file
            official = [replace(sample, id=f"{sample.split}-{sample.id}") for sample in official]
        by: Literal["image", "patient"] = "patient" if self.data.resplit == "patient" else "image"
        return resplit(official, by=by, seed=self.data.seed, cache=self.cache)


def _counted(dealt: Mapping[Split, list[VQASample]]) -> str:
    return " / ".join(f"{len(dealt[split]):,}" for split in SPLITS)
