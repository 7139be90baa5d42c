"""Accuracy by modality, organ, question type and answer type, each with its interval."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medvista.functional.statistics import Interval, bootstrap_ci, wilson_interval
from medvista.types import MedicalImage, VQASample

# What reports slice by, and the metadata that says so, the first that a sample has: benchmarks name it differently.
DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "modality": ("modality", "img_type"),
    "organ": ("organ", "location", "image_organ", "body_system"),
    "question_type": ("question_type", "content_type", "medical_task", "subfield", "subject", "family"),
}
ANSWER_TYPE = "answer_type"
OWN_DIMENSIONS = "slices"  # metadata that names further ones: the columns a hospital's own set is sliced by


class Slice(NamedTuple):
    """The mean score of some questions and its 95 % interval."""

    n: int
    mean: float
    low: float
    high: float


def slice_labels(sample: VQASample) -> dict[str, tuple[str, ...]]:
    """In which slices of each dimension a question lies; a dimension it says nothing about is left out.

    A question may be of several types at once (VQA-RAD's "PRES,POS", MMMU's "['CT', 'MRI']") and then counts in each.
    """
    found: dict[str, tuple[str, ...]] = {ANSWER_TYPE: (str(sample.answer_type),)}
    own = {str(key): (str(key),) for key in sample.metadata.get(OWN_DIMENSIONS, ())}
    for dimension, keys in {**own, **DIMENSIONS}.items():
        found[dimension] = next(filter(None, (_labels(sample.metadata.get(key)) for key in keys)), ())
    found["modality"] = found["modality"] or _modality(sample)
    if found["question_type"] == found[ANSWER_TYPE]:  # a benchmark with one family per answer type says it once
        del found["question_type"]
    return {dimension: labels for dimension, labels in found.items() if labels}


def slices(
    scores: ArrayLike, samples: Sequence[VQASample], *, resamples: int = 2000, seed: int = 0
) -> dict[str, dict[str, Slice]]:
    """Mean scores by dimension and label, ``{"organ": {"Lung": Slice(n=..., ...)}}``, labels in alphabetical order.

    Args:
        scores: one per question, ``[N]``; NaN where the score does not apply, which leaves the question out.
        samples: the questions, ``[N]``.
        resamples: of the clustered bootstrap.
        seed: of the bootstrap.
    """
    values = np.asarray(scores, dtype=np.float64)
    members: dict[str, dict[str, list[int]]] = {}
    for index, sample in enumerate(samples):
        if not np.isnan(values[index]):
            for dimension, labels in slice_labels(sample).items():
                for label in dict.fromkeys(labels):
                    members.setdefault(dimension, {}).setdefault(label, []).append(index)
    clusters = [sample.group_id for sample in samples]
    known = [*DIMENSIONS, ANSWER_TYPE]
    return {
        dimension: {
            label: mean_with_interval(
                values[members[dimension][label]],
                [clusters[index] for index in members[dimension][label]],
                resamples=resamples,
                seed=seed,
            )
            for label in sorted(members[dimension])
        }
        for dimension in sorted(members, key=lambda name: known.index(name) if name in known else len(known))
    }


def mean_with_interval(
    scores: ArrayLike, clusters: Sequence[Hashable], *, resamples: int = 2000, seed: int = 0
) -> Slice:
    """Mean and interval of scores between 0 and 1, honest also for the few questions of a small slice.

    A bootstrap of scores that are all 0 or all 1 knows no doubt, nor does one of a single cluster; there it is Wilson's
    interval with every cluster as one trial.

    Raises:
        ValueError: without scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    count = len(set(clusters))
    mean = float(values.mean()) if len(values) else float("nan")
    if count == 1 and 0 < mean < 1:
        interval = Interval(0.0, 1.0)
    elif count and mean in (0.0, 1.0):
        interval = wilson_interval(round(mean) * count, count)
    else:
        interval = bootstrap_ci(values, clusters, resamples=resamples, seed=seed)
    return Slice(len(values), mean, *interval)


def _labels(value: object) -> tuple[str, ...]:
    """The labels in a metadata value: a text, or several between commas, perhaps in a list's brackets."""
    pieces = (piece.strip(" []'\"") for piece in str(value or "").split(","))
    return tuple(piece for piece in pieces if piece)


def _modality(sample: VQASample) -> tuple[str, ...]:
    images = (image for image in sample.images if isinstance(image, MedicalImage) and image.modality != "unknown")
    return tuple(dict.fromkeys(image.modality for image in images))
