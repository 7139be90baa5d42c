"""Which test images were there in training, and splits that share none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medvista.data.benchmarks import read_benchmark
from medvista.data.fingerprints import fingerprint_images
from medvista.data.leakage import LeakageReport, measure_leakage
from medvista.data.resplit import resplit
from medvista.data.slake import read_slake
from medvista.data.vqa_rad import read_vqa_rad
from medvista.errors import UserError
from medvista.types import MedicalImage, Split, VQASample


def picture(seed: int) -> Image.Image:
    """As rich in detail as a radiograph: the hash compares frequencies, which a smooth picture does not have."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (32, 40), dtype=np.uint8)).resize((80, 64))


def sample(id: str, *images: Path | MedicalImage, split: Split = "train", **changes: Any) -> VQASample:
    made = VQASample(
        id=id, benchmark="a", split=split, question=f"Question {id}?", answers=("yes",), images=images, group_id=id
    )
    return replace(made, **changes)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three pictures; ``copy`` has the pixels of one of them, ``resaved`` looks like another."""
    paths = {name: tmp_path / f"{name}.png" for name in ("one", "two", "three", "copy")}
    for seed, name in enumerate(("one", "two", "three")):
        picture(seed).save(paths[name])
    picture(0).save(paths["copy"], optimize=True)
    paths["resaved"] = tmp_path / "resaved.jpg"
    picture(1).resize((120, 96)).save(paths["resaved"], quality=70)
    return paths


@pytest.fixture
def report(files: dict[str, Path]) -> LeakageReport:
    train = [sample("1", files["one"]), sample("2", files["two"])]
    test = [
        sample("3", files["copy"], split="test"),
        sample("4", files["copy"], split="test", question="question 1"),  # as asked in training
        sample("5", files["three"], files["resaved"], split="test"),
        sample("6", files["three"], split="test"),
    ]
    return measure_leakage({"a": train}, {"a": test})


def test_identical_and_similar_images_are_told_apart(report: LeakageReport) -> None:
    (overlap,) = report.overlaps
    assert (overlap.train_images, overlap.test_images) == (2, 3)
    assert (overlap.identical_images, overlap.similar_images, overlap.leaked_images) == (1, 1, 2)
    assert (overlap.test_questions, overlap.leaked_questions, overlap.repeated_questions) == (4, 3, 1)
    (example,) = overlap.examples
    assert (Path(example.test_image).name, Path(example.train_image).name) == ("resaved.jpg", "two.png")
    assert 0 <= example.distance <= report.max_distance


def test_the_clean_subset_keeps_what_was_never_seen(report: LeakageReport, files: dict[str, Path]) -> None:
    assert report.leaked_ids == {"a": frozenset({"3", "4", "5"})}
    kept = report.clean([sample(id, files["three"]) for id in "3456"] + [sample("3", files["one"], benchmark="b")])
    assert [(s.benchmark, s.id) for s in kept] == [("a", "6"), ("b", "3")]


def test_the_report_is_plain_json_and_reads_as_a_sentence(report: LeakageReport) -> None:
    (overlap,) = report.to_json()["overlaps"]
    assert overlap["identical_images"] == 1
    assert overlap["examples"][0].keys() == {"test_image", "train_image", "distance"}
    assert report.lines() == [
        "a test against a train: 2 of 3 images were seen in training (1 identical, 1 alike), 3 of 4 questions (75%); "
        "1 asked in the same words"
    ]


def test_every_test_set_is_compared_with_every_training_set(files: dict[str, Path]) -> None:
    a, b = [sample("1", files["one"])], [sample("1", files["copy"], benchmark="b")]
    report = measure_leakage({"a": a, "b": b}, {"a": a, "b": b})
    found = {(o.train, o.test): (o.identical_images, o.shared_groups) for o in report.overlaps}
    # Group names mean nothing across benchmarks: "1" of a is not "1" of b.
    assert found == {("a", "a"): (1, 1), ("b", "a"): (1, 0), ("a", "b"): (1, 0), ("b", "b"): (1, 1)}


def test_images_in_memory_are_compared_too(files: dict[str, Path]) -> None:
    shown = MedicalImage(pixels=np.asarray(picture(0)))
    report = measure_leakage({"a": [sample("1", shown)]}, {"a": [sample("2", files["one"])]})
    assert report.overlaps[0].identical_images == 1


def test_fingerprints_of_unchanged_files_come_from_the_cache(files: dict[str, Path], tmp_path: Path) -> None:
    cache, samples = tmp_path / "cache" / "prints.json", [sample("1", files["one"], files["two"])]
    first = fingerprint_images(samples, cache)
    cache.write_text(cache.read_text().replace(first[str(files["one"])].digest, "known"))
    picture(5).save(files["two"])
    second = fingerprint_images(samples, cache)
    assert second[str(files["one"])].digest == "known"
    assert second[str(files["two"])].digest != first[str(files["two"])].digest
    cache.write_text("damaged")
    assert fingerprint_images(samples, cache)[str(files["one"])] == first[str(files["one"])]


def test_an_image_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing.png is missing"):
        fingerprint_images([sample("1", tmp_path / "missing.png")])


# ----------------------------------------------------------------------------------------------------------- re-splits


def images_of(samples: Sequence[VQASample]) -> set[Any]:
    return {image for one in samples for image in one.images}


@pytest.fixture
def many(tmp_path: Path) -> list[VQASample]:
    """Forty pictures of twenty patients, two questions each."""
    made = []
    for number in range(40):
        path = tmp_path / f"{number}.png"
        picture(number).save(path)
        made += [sample(f"{number}-{n}", path, group_id=f"P{number // 2}") for n in range(2)]
    return made


def test_no_two_splits_share_an_image_or_on_request_a_patient(many: list[VQASample]) -> None:
    by_image, by_patient = resplit(many), resplit(many, by="patient")
    for dealt in (by_image, by_patient):
        assert sorted(s.id for part in dealt.values() for s in part) == sorted(s.id for s in many)
        assert all(s.split == split for split, part in dealt.items() for s in part)
        parts = [images_of(part) for part in dealt.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 40
    groups = [{s.group_id for s in part} for part in by_patient.values()]
    assert sum(map(len, groups)) == 20
    assert sum(len({s.group_id for s in part}) for part in by_image.values()) > 20  # images alone part patients


def test_shares_are_met_and_the_seed_decides_who_goes_where(many: list[VQASample]) -> None:
    first, again, other = (resplit(many, {"train": 3, "test": 1}, seed=seed) for seed in (0, 0, 1))
    assert [len(first[split]) for split in ("train", "test")] == [60, 20]
    assert [s.id for s in first["test"]] == [s.id for s in again["test"]] != [s.id for s in other["test"]]
    with pytest.raises(UserError, match="shares of a new split must be positive"):
        resplit(many, {"train": 0.0, "test": 0.0})


def test_look_alikes_and_the_images_of_one_question_stay_together(files: dict[str, Path]) -> None:
    samples = [
        sample("1", files["one"]),
        sample("2", files["copy"]),  # the pixels of one
        sample("3", files["copy"], files["two"]),
        sample("4", files["resaved"]),  # looks like two
        sample("5", files["three"]),
    ]
    dealt = resplit(samples, {"train": 0.8, "test": 0.2})
    assert [[s.id for s in part] for part in dealt.values()] == [["1", "2", "3", "4"], ["5"]]


# ---------------------------------------------------------------------------------------------------------- real files


@pytest.mark.data
@pytest.mark.slow  # decodes the 957 images of both benchmarks
def test_the_leaks_of_the_official_splits_are_found(data_root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "prints.json"
    train = {
        "slake": read_slake(data_root, "train") + read_slake(data_root, "validation"),
        "vqa_rad": read_vqa_rad(data_root, "train", carve_validation=False),
    }
    test = {name: read_benchmark(name, data_root, "test") for name in train}
    report = measure_leakage(train, test, cache=cache)
    found = {(o.train, o.test): (o.identical_images, o.similar_images, o.leaked_questions) for o in report.overlaps}
    assert found == {
        ("slake", "slake"): (0, 15, 152),  # neighbouring slices of one scan
        ("vqa_rad", "slake"): (0, 0, 0),
        ("slake", "vqa_rad"): (0, 0, 0),
        ("vqa_rad", "vqa_rad"): (202, 0, 446),
    }
    assert len(report.clean(test["slake"])) == 1061 - 152
    chinese = measure_leakage({"slake_zh": read_slake(data_root, "train", "zh")}, {"slake": test["slake"]}, cache=cache)
    assert chinese.overlaps[0].identical_images == 72
    dealt = resplit(train["vqa_rad"] + test["vqa_rad"], cache=cache)
    again = measure_leakage({"vqa_rad": dealt["train"] + dealt["validation"]}, {"vqa_rad": dealt["test"]}, cache=cache)
    assert again.overlaps[0].leaked_images == 0
