"""Is a benchmark on disk what was published? Counts, checksums, and the test images that train already has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medvista.data.benchmark_files import data_root
from medvista.data.benchmarks import check_name, is_own, own_benchmark, read_benchmark
from medvista.data.registry import BENCHMARKS, SPLITS, Benchmark
from medvista.errors import UserError
from medvista.imaging import open_image
from medvista.types import Split, VQASample

MANIFEST = "prepared.json"  # what the hub said of the files that were fetched: revision and SHA-256

Samples = dict[Split, list[VQASample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found of one benchmark."""

    name: str
    samples: Mapping[Split, Sequence[VQASample]]  # its official splits
    images: int  # image files at hand, those no question is about among them
    train_test_image_overlap: int  # test images whose file also is a training image, byte for byte
    notes: tuple[str, ...] = ()  # what was compared and agrees
    problems: tuple[str, ...] = ()  # what does not agree

    def to_json(self) -> dict[str, Any]:
        """Counts by split, images and their overlap."""
        return {
            "questions": {split: len(samples) for split, samples in self.samples.items()},
            "images": self.images,
            "train_test_image_overlap": self.train_test_image_overlap,
        }


def check_benchmark(name: str, root: str | Path | None) -> Check:
    """Read a benchmark whole, and compare it with what was published about it.

    Args:
        name: of a benchmark, or the path of a YAML file that describes one's own.
        root: the data root; None takes ``MEDVISTA_DATA``.

    Raises:
        UserError: there is no such benchmark, or its files are missing or malformed.
    """
    if is_own(name):
        own = own_benchmark(name)
        splits = [split for split in SPLITS if split in own.files]
        samples: Samples = {split: found for split in splits if (found := read_benchmark(name, root, split))}
        return _checked(own.name, samples, [f"{_counted(samples)} questions"], _unreadable(samples))
    benchmark, folder = BENCHMARKS[check_name(name)], data_root(root)
    samples = {split: benchmark.read_official(folder, split) for split in benchmark.official_splits}
    notes, problems = _compare_counts(samples, benchmark)
    for checked, failed in (_published_sums(folder, benchmark), _fetched_sums(folder, benchmark)):
        notes, problems = notes + checked, problems + failed
    return _checked(name, samples, notes, problems, benchmark.images)


def _checked(
    name: str, samples: Samples, notes: list[str], problems: list[str], published_images: int | None = None
) -> Check:
    at_hand = _images_at_hand([sample for part in samples.values() for sample in part])
    if not any(samples.values()):
        problems = [*problems, "there is not one question"]
    if published_images is not None and at_hand != published_images:
        problems = [*problems, f"{at_hand:,} image files are there, {published_images:,} were published"]
    train, test = (_digests(samples.get(split, [])) for split in ("train", "test"))
    return Check(
        name=name,
        samples=samples,
        images=at_hand,
        train_test_image_overlap=len(train & test),
        notes=tuple(notes),
        problems=tuple(problems),
    )


def _counted(samples: Samples) -> str:
    return " / ".join(f"{len(part):,}" for part in samples.values())


def _compare_counts(samples: Samples, benchmark: Benchmark) -> tuple[list[str], list[str]]:
    counts, text = {split: len(part) for split, part in samples.items()}, _counted(samples)
    if not benchmark.counts:
        return [f"{text} questions; no published count to compare with"], []
    agreeing = [form for form in benchmark.counts if form.items() <= counts.items()]
    if any(form.keys() == counts.keys() for form in agreeing):
        return [f"{text} questions, as published"], []
    if agreeing:  # the number of the other splits is not published
        return [f"{text} questions; in {' and '.join(agreeing[0])} as published"], []
    published = " or ".join(
        " / ".join(f"{form[split]:,}" if split in form else "?" for split in samples) for form in benchmark.counts
    )
    return [], [f"{text} questions, but {published} were published"]


def _published_sums(root: Path, benchmark: Benchmark) -> tuple[list[str], list[str]]:
    """The official files whose checksums we know, where they lie below the data root."""
    sums = {root / name: expected for name, expected in benchmark.checksums.items() if (root / name).is_file()}
    return _compare_sums(sums, "as of the official files")


def _fetched_sums(root: Path, benchmark: Benchmark) -> tuple[list[str], list[str]]:
    """The files fetched from the hub, against what the hub said of them; archives may have been removed since."""
    folder = root / benchmark.hub.folder if benchmark.hub else root
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return [], []
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        sums = {folder / name: str(expected) for name, expected in content["sha256"].items()}
        origin = f"as the hub has them at revision {str(content['revision'])[:7]}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return [], [f"{manifest} is damaged: fetch the benchmark again"]
    return _compare_sums({path: value for path, value in sums.items() if path.is_file()}, origin)


def _compare_sums(sums: Mapping[Path, str], origin: str) -> tuple[list[str], list[str]]:
    wrong = [path for path, expected in sums.items() if _sha256(path) != expected]
    right = len(sums) - len(wrong)
    notes = [f"{right} checksum{'s' if right > 1 else ''} {origin}"] if right else []
    return notes, [f"{path} has another checksum than the file published" for path in wrong]


def _images_at_hand(samples: Sequence[VQASample]) -> int:
    """Image files in the folders of the samples' images, of the same kinds (masks beside pictures do not count)."""
    used = {image for sample in samples for image in sample.images if isinstance(image, Path)}
    kinds = {path.suffix.lower() for path in used}
    folders = {path.parent for path in used}
    return sum(1 for folder in folders for file in folder.iterdir() if file.suffix.lower() in kinds)


def _unreadable(samples: Samples) -> list[str]:
    """A sentence for each image file that cannot be opened, with the first question about it."""
    asked: dict[Path, str] = {}
    for sample in (sample for part in samples.values() for sample in part):
        for image in sample.images:
            if isinstance(image, Path):
                asked.setdefault(image, sample.id)
    problems = []
    for path, id in asked.items():
        try:
            open_image(path)
        except UserError as error:
            problems.append(f"question {id}: {error}")
    return problems


def _digests(samples: Sequence[VQASample]) -> set[str]:
    """The contents of the distinct image files of samples."""
    files = {image for sample in samples for image in sample.images if isinstance(image, Path)}
    return {_sha256(path) for path in files}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); place the file again") from None
