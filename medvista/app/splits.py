"""Which questions are in which split: as the benchmark says, or split again (``data.resplit``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from medvista.app.config.schema import DataConfig
from medvista.data.bad_data import BadData, leaving_out, question_name
from medvista.data.benchmarks import benchmark_name, has_split, read_benchmark
from medvista.data.fingerprints import ImageKey, fingerprint_images, image_key
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
        self._bad: dict[tuple[str, Split], BadData] = {}

    def read(self, benchmark: str, split: Split) -> list[VQASample]:
        """The questions of one split.

        Raises:
            UserError: there is no such benchmark or split, or its files are missing or malformed.
        """
        if self.data.resplit == "none":
            return self._read(benchmark, split)
        if benchmark not in self._dealt:
            self._dealt[benchmark] = self._deal(benchmark)
        return self._dealt[benchmark][split]

    def bad(self, benchmark: str, split: Split) -> BadData:
        """What of a split could not be used, so far; by the name that results have for the benchmark."""
        if (benchmark, split) not in self._bad:
            of = f"the {split} questions of {benchmark}"
            self._bad[benchmark, split] = BadData(of, self.data.max_bad_fraction or 0.0)
        return self._bad[benchmark, split]

    def readable(self, samples: list[VQASample]) -> list[VQASample]:
        """The questions whose images can be read; a pass over all of them, which looking for leaks is spared then.

        Raises:
            UserError: more of a split cannot be used than ``data.max_bad_fraction`` allows.
        """
        problems: dict[ImageKey, str] = {}
        on_disk = [sample for sample in samples if any(isinstance(image, Path) for image in sample.images)]
        fingerprint_images(on_disk, self.cache, unreadable=problems)
        kept = []
        for sample in samples:
            if found := [problems[key] for image in sample.images if (key := image_key(image)) in problems]:
                self.bad(sample.benchmark, sample.split).leave_out(question_name(sample), found[0])
            else:
                kept.append(sample)
        for (benchmark, split), count in Counter((s.benchmark, s.split) for s in samples).items():
            self._hold(self.bad(benchmark, split), count)
        return kept

    def all_bad(self) -> list[BadData]:
        """What could not be used of each split that was read."""
        return list(self._bad.values())

    def _read(self, benchmark: str, split: Split) -> list[VQASample]:
        """What the files hold, but for rows that cannot be used."""
        bad = self.bad(benchmark_name(benchmark), split)
        with leaving_out(bad):
            samples = read_benchmark(benchmark, self.data.root, split)
        self._hold(bad, len(samples) + len(bad.found))
        return samples

    @staticmethod
    def _hold(bad: BadData, total: int) -> None:
        bad.total = max(bad.total, total)
        bad.check()

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
            sample for split in SPLITS if has_split(benchmark, split) for sample in self._read(benchmark, split)
        ]
        if len({sample.id for sample in official}) < len(official):  # ids that count the rows of each split's file
            official = [replace(sample, id=f"{sample.split}-{sample.id}") for sample in official]
        official = self.readable(official)
        by: Literal["image", "patient"] = "patient" if self.data.resplit == "patient" else "image"
        return resplit(official, by=by, seed=self.data.seed, cache=self.cache)


def _counted(dealt: Mapping[Split, list[VQASample]]) -> str:
    return " / ".join(f"{len(dealt[split]):,}" for split in SPLITS)
