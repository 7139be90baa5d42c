"""Which questions a run trains, validates and tests on."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from medvista.app.config.schema import ExperimentConfig
from medvista.app.splits import Splits
from medvista.data.answer_text import with_answers
from medvista.data.benchmarks import benchmark_name, has_split, results_names
from medvista.data.leakage import measure_leakage
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.phantom_vqa import phantom_samples
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Split, VQASample


class Questions:
    """The questions of a run, each split read when it is first asked for.

    Args:
        config: of the run.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.splits = Splits(config.data, config.cache_dir / "fingerprints.json")
        self.unread: dict[tuple[str, Split], str] = {}  # splits that exist, and why they could not be read here
        self._whole: dict[tuple[str, Split], list[VQASample]] = {}  # whole splits read so far

    @cached_property
    def benchmark(self) -> str:
        """What results and files call the benchmark that is trained on, the first of several."""
        return benchmark_name(self.config.data.benchmark)

    @cached_property
    def trained_on(self) -> dict[str, str]:
        """The benchmarks that are trained on: what results call each, and how the configuration names it."""
        return results_names([self.config.data.benchmark, *self.config.data.more_benchmarks])

    @cached_property
    def train(self) -> list[VQASample]:
        """The training questions that have an answer, of all benchmarks that are trained on."""
        images = self.config.data.train_images
        questions = [s for name in self.trained_on.values() for s in self._samples("train", images, name)]
        return self._without_test_images(with_answers(questions))

    @cached_property
    def validation(self) -> dict[str, list[VQASample]]:
        """The validation questions, by benchmark: of those trained on and those tested on, where they have any."""
        found = {}
        for called, name in {**self.trained_on, **self.asked}.items():
            if called in self.trained_on or has_split(name, "validation"):
                found[called] = self._without_test_images(self._some_of_validation(name))
        return found

    @cached_property
    def test(self) -> dict[str, list[VQASample]]:
        """The test questions, by benchmark: read when evaluation begins, and not before."""
        return {name: self._samples("test", self.config.data.test_images, given) for name, given in self.asked.items()}

    @cached_property
    def asked(self) -> dict[str, str]:
        """The benchmarks that are tested on: what results call each, and how the configuration names it."""
        if self.config.benchmarks:
            return results_names(self.config.benchmarks)
        return self.trained_on

    def train_of(self, benchmark: str) -> list[VQASample]:
        """The training questions of a benchmark that is tested on; none where it has no such split."""
        if self.config.task != "evaluate" and benchmark in self.trained_on:
            return [sample for sample in self.train if sample.benchmark == benchmark]
        return with_answers(self._seen(self.asked[benchmark], "train"))

    @cached_property
    def seen_in_training(self) -> dict[str, list[VQASample]]:
        """All that was trained on or chosen with, by benchmark: the train and validation splits there are."""
        config = self.config
        named = config.evaluation.trained_on if config.task == "evaluate" else list(self.trained_on.values())
        seen = {
            called: self._without_test_images([*self._seen(name, "train"), *self._seen(name, "validation")])
            for called, name in results_names(named or config.benchmarks).items()
        }
        for name in named:
            if not seen[benchmark_name(name)]:
                raise UserError(f"evaluation.trained_on: {name} has no train or validation questions at hand.")
        return seen

    def evaluated(self) -> list[VQASample]:
        """The questions whose accuracy will be reported."""
        splits = [self.test, self.validation] if self.config.task == "train" else [self.test]
        return [sample for split in splits for samples in split.values() for sample in samples]

    def _some_of_validation(self, benchmark: str) -> list[VQASample]:
        """As many as ``data.validation_images`` says, the same ones each time."""
        count = self.config.data.validation_images
        samples = self._samples("validation", count, benchmark)
        if benchmark == PHANTOM or len(samples) <= count:
            return samples
        chosen = np.random.default_rng(0).choice(len(samples), count, replace=False)
        return [samples[index] for index in sorted(chosen)]

    def _without_test_images(self, samples: list[VQASample]) -> list[VQASample]:
        """The questions about images that no test set of the run has, where the configuration asks for that."""
        if self.config.task == "evaluate" or not self.config.data.exclude_test_images:
            return samples
        by_benchmark: dict[str, list[VQASample]] = {}
        for sample in samples:
            by_benchmark.setdefault(sample.benchmark, []).append(sample)
        # The test set stands where leakage looks for training images, so that what leaks are training questions.
        report = measure_leakage(self.test, by_benchmark, cache=self.config.cache_dir / "fingerprints.json")
        kept = report.clean(samples)
        if samples and not kept:
            raise UserError(
                f"data.exclude_test_images leaves no {samples[0].split} question: the test sets have all their images."
            )
        for sample in samples:
            if sample.id in report.leaked_ids[sample.benchmark]:
                what = f"{sample.split} questions about test images were left out (data.exclude_test_images)"
                notice(what, f"{sample.benchmark}, question {sample.id}")
        return kept

    def _seen(self, benchmark: str, split: Split) -> list[VQASample]:
        """A whole split of a benchmark; nothing where it has no such split, or its files cannot be read (`unread`)."""
        if (benchmark, split) not in self._whole:
            found: list[VQASample] = []
            if benchmark == PHANTOM or self.config.data.resplit != "none" or has_split(benchmark, split):
                try:
                    found = self._samples(split, self.config.data.train_images, benchmark, limit=False)
                except UserError as error:
                    self.unread[benchmark, split] = str(error)
            self._whole[benchmark, split] = found
        return self._whole[benchmark, split]

    def _samples(self, split: Split, images: int, benchmark: str, *, limit: bool = True) -> list[VQASample]:
        data = self.config.data
        if benchmark == PHANTOM:
            return phantom_samples(split, images=images, families=data.families, seed=data.seed)
        return self.splits.read(benchmark, split)[: data.limit or None if limit else None]
