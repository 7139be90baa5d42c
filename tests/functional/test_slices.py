"""Slices hold the questions they name, and small ones admit how little they know."""

from dataclasses import replace

import numpy as np
import pytest

from medvista.functional.slices import mean_with_interval, slice_labels, slices
from medvista.functional.statistics import bootstrap_ci, wilson_interval
from medvista.types import MedicalImage, VQASample


def sample(number: int, *, kind: str = "open", image: str = "", **metadata: str) -> VQASample:
    return VQASample(
        id=str(number),
        benchmark="b",
        split="test",
        question="?",
        answers=("x",),
        images=(),
        group_id=image or str(number),
        answer_type=kind,  # type: ignore[arg-type]
        metadata=metadata,
    )


def test_benchmarks_name_their_slices_differently_and_meet_in_four_dimensions() -> None:
    slake = sample(1, kind="closed", modality="CT", location="Lung", content_type="Position", family="closed")
    vqa_rad = sample(2, image_organ="CHEST", question_type="PRES,POS")
    assert slice_labels(slake) == {
        "answer_type": ("closed",),
        "modality": ("CT",),
        "organ": ("Lung",),
        "question_type": ("Position",),
    }
    assert slice_labels(vqa_rad) == {
        "answer_type": ("open",),
        "organ": ("CHEST",),
        "question_type": ("PRES", "POS"),
    }


def test_a_set_of_ones_own_names_further_dimensions() -> None:
    own = replace(
        sample(1), metadata={"family": "open", "slices": ["ward", "modality"], "ward": "B7", "modality": "US"}
    )
    assert slice_labels(own) == {"answer_type": ("open",), "ward": ("B7",), "modality": ("US",)}
    assert list(slices([1], [own])) == ["modality", "answer_type", "ward"]


def test_mmmu_lists_modalities_as_a_python_list() -> None:
    mmmu = sample(1, kind="choice", family="choice", subject="Pharmacy", subfield="", img_type="['CT', 'MRI']")
    assert slice_labels(mmmu) == {
        "answer_type": ("choice",),
        "modality": ("CT", "MRI"),
        "question_type": ("Pharmacy",),
    }


def test_the_modality_of_an_image_stands_in_for_a_missing_field() -> None:
    image = MedicalImage(pixels=np.zeros((2, 2)), modality="MR")
    assert slice_labels(replace(sample(1), images=(image,)))["modality"] == ("MR",)


def test_slices_by_hand() -> None:
    samples = [
        sample(0, organ="Lung", question_type="PRES,POS"),
        sample(1, organ="Lung", question_type="PRES"),
        sample(2, organ="Heart", question_type="POS", kind="closed"),
        sample(3, organ="Heart"),
    ]
    found = slices([1, 0, 1, np.nan], samples)
    assert {d: {label: (s.n, s.mean) for label, s in by.items()} for d, by in found.items()} == {
        "organ": {"Heart": (1, 1.0), "Lung": (2, 0.5)},
        "question_type": {"POS": (2, 1.0), "PRES": (2, 0.5)},
        "answer_type": {"closed": (1, 1.0), "open": (2, 0.5)},
    }


def test_a_mixed_slice_has_the_clustered_bootstrap_interval() -> None:
    rng = np.random.default_rng(0)
    scores, images = rng.integers(0, 2, 60).astype(float), np.arange(60) // 3
    assert mean_with_interval(scores, images.tolist())[2:] == bootstrap_ci(scores, images.tolist())


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_slice_that_is_all_right_or_all_wrong_is_not_certain(score: float) -> None:
    found = mean_with_interval([score] * 6, ["a", "a", "b", "b", "c", "c"])
    assert found[2:] == wilson_interval(round(score) * 3, 3)
    assert found.high - found.low > 0.5


def test_one_image_tells_nothing_about_others() -> None:
    assert mean_with_interval([1, 0], ["a", "a"])[2:] == (0.0, 1.0)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean_with_interval([], [])
    assert slices([], []) == {}
