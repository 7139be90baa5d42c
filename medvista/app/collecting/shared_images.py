"""How many of the images that demonstrations are collected on are test images, too."""

from __future__ import annotations

from collections.abc import Sequence

from medvista.app.questions import Questions
from medvista.data.leakage import Overlap, measure_leakage
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.errors import UserError
from medvista.types import VQASample


def shared_with_test(questions: Questions, samples: Sequence[VQASample]) -> list[str]:
    """A sentence for each pair of benchmarks: questions asked against a test set.

    Phantoms are left out: their splits are drawn from different seeds, and all of them look alike.
    """
    if questions.config.collect.split == "test":
        return []
    asked: dict[str, list[VQASample]] = {}
    for sample in samples:
        if sample.benchmark != PHANTOM:
            asked.setdefault(sample.benchmark, []).append(sample)
    if not asked:
        return []
    if not questions.config.evaluation.leakage:
        return ["Whether test sets have the same images was not looked for (evaluation.leakage=false)."]
    try:
        test = {name: found for name, found in questions.test.items() if name != PHANTOM}
    except UserError as error:
        return [f"Whether test sets have the same images was not looked for: {error}"]
    # The test set stands where leakage looks for training images, so that what is counted are the images asked about.
    report = measure_leakage(test, asked, cache=questions.config.cache_dir / "fingerprints.json")
    return [_sentence(overlap) for overlap in report.overlaps]


def _sentence(overlap: Overlap) -> str:
    images = f"of the {overlap.test_images:,} images of {overlap.test} that are asked about"
    if not overlap.leaked_images:
        return f"None {images} is in the test set of {overlap.train}."
    return (
        f"{overlap.leaked_images:,} {images} are in the test set of {overlap.train}, too ("
        f"{overlap.identical_images:,} identical, {overlap.similar_images:,} alike); "
        "data.exclude_test_images=true leaves them out."
    )
