"""Leakage: which test images were there in training, within a benchmark and across benchmarks.

A test image leaks when a training image has the same pixels, or looks the same (their perceptual hashes differ in at
most `MAX_DISTANCE` of 256 bits). A test question leaks when one of its images does. Names of files prove nothing: hub
forms rename images, and benchmarks share sources (both VQA-RAD and PMC-VQA took pictures from open archives).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medvista.data.fingerprints import ImageKey, fingerprint_images, image_key
from medvista.errors import UserError
from medvista.functional.spelling import normalise_answer
from medvista.imaging.fingerprint import Fingerprint, nearest
from medvista.notices import notice
from medvista.types import MedicalImage, VQASample

MAX_DISTANCE = 20  # bits of 256; see "Leakage" in docs/benchmarks.md for how it was chosen
_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlike:
    """A test image and the training image it resembles most."""

    test_image: str
    train_image: str
    distance: int  # bits of 256 that differ; 0 also where the pixels are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What one test set shares with one training set."""

    train: str  # benchmark trained on
    test: str  # benchmark tested on
    train_images: int  # distinct files
    test_images: int
    identical_images: int  # test images with the pixels of a training image
    similar_images: int  # further test images that look like one
    test_questions: int
    leaked_questions: int  # about a test image of either kind
    repeated_questions: int  # of those, asked in training in the same words about the same image
    shared_groups: int  # patients, cases or image clusters in both; only counted within a benchmark
    examples: tuple[LookAlike, ...] = ()  # similar images, for people to judge

    @property
    def leaked_images(self) -> int:
        """Test images that were there in training, identical or similar."""
        return self.identical_images + self.similar_images


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageReport:
    """The overlaps of every test set with every training set in use."""

    overlaps: tuple[Overlap, ...]
    leaked_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)  # test benchmark -> ids of its questions
    max_distance: int = MAX_DISTANCE

    def clean(self, samples: Sequence[VQASample]) -> list[VQASample]:
        """The samples whose images were in no training set."""
        return [s for s in samples if s.id not in self.leaked_ids.get(s.benchmark, frozenset())]

    def to_json(self) -> dict[str, Any]:
        """What ``results.json`` says about it: counts and examples, without the ids of questions."""
        return {"max_distance": self.max_distance, "overlaps": [asdict(overlap) for overlap in self.overlaps]}

    def lines(self) -> list[str]:
        """One sentence per overlap, for the terminal."""
        return [_sentence(overlap) for overlap in self.overlaps]


def measure_leakage(
    train: Mapping[str, Sequence[VQASample]],
    test: Mapping[str, Sequence[VQASample]],
    *,
    max_distance: int = MAX_DISTANCE,
    cache: Path | None = None,
    workers: int = 4,
) -> LeakageReport:
    """Compare every test set with every training set.

    Args:
        train: benchmark -> all that was trained on or chosen with: training and validation questions.
        test: benchmark -> test questions.
        max_distance: how many of 256 bits two images that look the same may differ in.
        cache: a file that remembers fingerprints from one run to the next.
        workers: threads that decode images.

    Raises:
        UserError: a test image is missing or cannot be decoded; a training image is left out of the comparison.
    """
    everything = [s for sets in (train, test) for samples in sets.values() for s in samples]
    unreadable: dict[ImageKey, str] = {}
    prints = fingerprint_images(everything, cache, workers, unreadable=unreadable)
    train = {name: _comparable(samples, unreadable) for name, samples in train.items()}
    for sample in (sample for samples in test.values() for sample in samples):
        for image in sample.images:
            if (key := image_key(image)) in unreadable:
                raise UserError(unreadable[key])
    overlaps: list[Overlap] = []
    leaked: dict[str, set[str]] = {name: set() for name in test}
    for test_name, test_samples in test.items():
        for train_name, train_samples in train.items():
            pairing = _Pairing(train_samples, test_samples, prints, max_distance)
            overlaps.append(pairing.overlap(train_name, test_name))
            leaked[test_name] |= {sample.id for sample in pairing.leaked}
    ids = {name: frozenset(found) for name, found in leaked.items()}
    return LeakageReport(overlaps=tuple(overlaps), leaked_ids=ids, max_distance=max_distance)


class _Pairing:
    """One test set beside one training set."""

    def __init__(
        self,
        train: Sequence[VQASample],
        test: Sequence[VQASample],
        prints: Mapping[ImageKey, Fingerprint],
        max_distance: int,
    ) -> None:
        self.train, self.test, self.prints = train, test, prints
        self.train_keys, self.test_keys = _keys(train), _keys(test)
        digests = {prints[key].digest for key in self.train_keys}
        self.identical = {key for key in self.test_keys if prints[key].digest in digests}
        self.similar = self._similar(max_distance)
        found = self.identical | self.similar.keys()
        self.leaked = [sample for sample in test if any(image_key(image) in found for image in sample.images)]

    def _similar(self, max_distance: int) -> dict[ImageKey, tuple[ImageKey, int]]:
        """Test image -> the training image it looks most like, and their distance; identical ones left out."""
        open_keys = [key for key in self.test_keys if key not in self.identical]
        if not open_keys or not self.train_keys:
            return {}
        best, apart = nearest(self._codes(open_keys), self._codes(list(self.train_keys)))
        train_keys = list(self.train_keys)
        return {
            key: (train_keys[index], int(distance))
            for key, index, distance in zip(open_keys, best, apart, strict=True)
            if distance <= max_distance
        }

    def _codes(self, keys: Sequence[ImageKey]) -> np.ndarray:
        return np.array([self.prints[key].code for key in keys], dtype=np.uint64)

    def overlap(self, train_name: str, test_name: str) -> Overlap:
        nearest_first = sorted(self.similar.items(), key=lambda item: (item[1][1], str(item[0])))
        examples = tuple(
            LookAlike(test_image=self.test_keys[key], train_image=self.train_keys[other], distance=distance)
            for key, (other, distance) in nearest_first[:_EXAMPLES]
        )
        groups = {s.group_id for s in self.train} & {s.group_id for s in self.test} if train_name == test_name else ()
        return Overlap(
            train=train_name,
            test=test_name,
            train_images=len(self.train_keys),
            test_images=len(self.test_keys),
            identical_images=len(self.identical),
            similar_images=len(self.similar),
            test_questions=len(self.test),
            leaked_questions=len(self.leaked),
            repeated_questions=self._repeated(),
            shared_groups=len(groups),
            examples=examples,
        )

    def _repeated(self) -> int:
        """Leaked questions asked in training, in the same words, about the image they leaked through."""
        asked = {
            (self.prints[image_key(image)].digest, normalise_answer(sample.question))
            for sample in self.train
            for image in sample.images
        }

        def is_repeated(sample: VQASample) -> bool:
            question = normalise_answer(sample.question)
            return any((digest, question) in asked for digest in self._seen_digests(sample))

        return sum(map(is_repeated, self.leaked))

    def _seen_digests(self, sample: VQASample) -> list[str]:
        """The digests of the training images that the sample's images are, or look like."""
        keys = [image_key(image) for image in sample.images]
        originals = [self.similar[key][0] if key in self.similar else key for key in keys]
        return [self.prints[key].digest for key in originals]


def _comparable(samples: Sequence[VQASample], unreadable: Mapping[ImageKey, str]) -> list[VQASample]:
    """The training questions whose images could be read: nothing can have been learned from the others."""
    kept = []
    for sample in samples:
        problems = [unreadable[key] for image in sample.images if (key := image_key(image)) in unreadable]
        if problems:
            notice("training images that cannot be read were left out of the search for leakage", problems[0])
        else:
            kept.append(sample)
    return kept


def _keys(samples: Sequence[VQASample]) -> dict[ImageKey, str]:
    """The distinct images of samples, each with a name for people: the end of its path, or the id of its sample."""
    names: dict[ImageKey, str] = {}
    for sample in samples:
        for image in sample.images:
            names.setdefault(image_key(image), _name(image, sample))
    return names


def _name(image: MedicalImage | Path, sample: VQASample) -> str:
    return "/".join(image.parts[-2:]) if isinstance(image, Path) else sample.id


def _sentence(overlap: Overlap) -> str:
    head = f"{overlap.test} test against {overlap.train} train:"
    if not overlap.leaked_images:
        return f"{head} none of {overlap.test_images:,} images was seen in training"
    share = overlap.leaked_questions / max(overlap.test_questions, 1)
    return (
        f"{head} {overlap.leaked_images:,} of {overlap.test_images:,} images were seen in training "
        f"({overlap.identical_images:,} identical, {overlap.similar_images:,} alike), "
        f"{overlap.leaked_questions:,} of {overlap.test_questions:,} questions ({share:.0%}); "
        f"{overlap.repeated_questions:,} asked in the same words"
    )
