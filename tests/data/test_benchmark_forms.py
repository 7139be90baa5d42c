"""Every benchmark in every form: what its readers make of tiny copies in the official schema."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medvista.data.benchmarks import has_split, read_benchmark
from medvista.data.registry import BENCHMARKS, SPLITS
from medvista.errors import UserError
from medvista.functional.text import exact_match
from medvista.imaging import open_image
from medvista.types import VQASample

MADE = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "benchmark_forms.py"))
Forms = dict[str, tuple[tuple[str, ...], Path]]


def everything(forms: Forms, form: str, name: str) -> list[VQASample]:
    """The samples of all splits that a benchmark has."""
    splits = [split for split in SPLITS if has_split(name, split)]
    return [sample for split in splits for sample in read_benchmark(name, forms[form][1], split)]


def content(samples: list[VQASample]) -> set[tuple[Any, ...]]:
    """What two forms of one benchmark must agree on."""
    return {(s.split, s.question.lower(), s.answers[0].lower(), s.answer_type) for s in samples}


def test_every_benchmark_has_a_fixture() -> None:
    assert {name for names, _ in MADE["FORMS"].values() for name in names} == BENCHMARKS.keys()


@pytest.mark.parametrize("form", MADE["FORMS"])
def test_every_sample_can_be_shown_and_its_gold_answer_is_right(benchmark_forms: Forms, form: str) -> None:
    for name in benchmark_forms[form][0]:
        samples = everything(benchmark_forms, form, name)
        assert samples
        assert len({(sample.split == "test", sample.id) for sample in samples}) == len(samples)
        for sample in samples:
            assert (sample.benchmark, bool(sample.group_id), bool(sample.question)) == (name, True, True)
            assert all(open_image(image).size == (40, 32) for image in sample.images)
            assert all(exact_match(answer, sample.answers, sample.choices) for answer in sample.answers)
            assert (sample.answer_type == "choice") == bool(sample.choices)


def test_a_split_that_does_not_exist_is_told_from_one_that_is_missing(tmp_path: Path) -> None:
    lacking = {(name, split) for name in BENCHMARKS for split in SPLITS if not has_split(name, split)}
    assert lacking == {
        ("mmmu_med", "train"),
        ("mmmu_pro_med", "train"),
        ("mmmu_pro_med", "validation"),
        ("medxpertqa_mm", "train"),
    }
    for name, split in lacking:
        with pytest.raises(UserError, match=r"no train split|only a test split"):
            read_benchmark(name, tmp_path, split)


def test_both_forms_of_vqa_rad_hold_the_same_questions(benchmark_forms: Forms) -> None:
    official = everything(benchmark_forms, "vqa_rad official", "vqa_rad")
    hub = read_benchmark("vqa_rad", benchmark_forms["vqa_rad hub"][1], "test")
    assert content(hub) == content([sample for sample in official if sample.split == "test"])
    (other,) = (s for s in everything(benchmark_forms, "vqa_rad hub", "vqa_rad") if s.answers == ("3",))
    assert other.answer_type == "open"


def test_both_forms_of_slake_hold_the_same_questions_in_both_languages(benchmark_forms: Forms) -> None:
    for name in ("slake", "slake_zh"):
        official, hub = (everything(benchmark_forms, form, name) for form in ("slake official", "slake hub"))
        assert content(official) == content(hub)
        assert [sample.regions for sample in official] == [sample.regions for sample in hub]
    assert official[0].answers == ("肺,心脏",)


def test_all_forms_of_path_vqa_hold_the_same_questions(benchmark_forms: Forms) -> None:
    forms = ("path_vqa official", "path_vqa first release", "path_vqa hub")
    first, *others = (content(everything(benchmark_forms, form, "path_vqa")) for form in forms)
    assert all(other == first for other in others)


def test_a_path_vqa_row_becomes_a_sample(benchmark_forms: Forms) -> None:
    root = benchmark_forms["path_vqa official"][1]
    closed, opened = read_benchmark("path_vqa", root, "validation")
    assert (closed.id, closed.answers, closed.answer_type) == ("validation-0", ("yes",), "closed")
    assert (opened.question, opened.answers) == ("What have lost their nuclei?", ("neutrophils",))
    assert opened.images == (root / "path_vqa/pvqa/images/val/val_0261.jpg",)
    assert opened.metadata == {"family": "open", "question_type": "what", "modality": "pathology"}


def test_a_pmc_vqa_row_becomes_a_question_with_four_options(benchmark_forms: Forms) -> None:
    root = benchmark_forms["pmc_vqa official"][1]
    (sample,) = read_benchmark("pmc_vqa", root, "test")
    assert sample.question == "What is the uptake pattern?"
    assert sample.choices == ("Diffuse uptake pattern", "Focal uptake pattern", "No uptake pattern", "Cannot determine")
    assert (sample.answers, sample.group_id) == (("Focal uptake pattern",), "PMC1064107")  # clustered by paper
    train, validation = (read_benchmark("pmc_vqa", root, split) for split in ("train", "validation"))  # type: ignore[arg-type]
    assert {s.group_id for s in train} == {"PMC1064097"}
    assert {s.group_id for s in validation} == {"PMC1064129"}
    assert len(read_benchmark("pmc_vqa_full", root, "test")) == 2


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"Answer_label": "", "Answer": "No uptake pattern"}, "No uptake pattern"),
        ({"Answer_label": " D "}, "Cannot determine"),
        ({"Choice B": "Focal: uptake"}, "Focal: uptake"),  # no letter before it
    ],
)
def test_a_pmc_vqa_label_may_be_written_in_several_ways(tmp_path: Path, changes: dict[str, Any], answer: str) -> None:
    write_pmc(tmp_path, MADE["pmc_row"]("PMC1_F1.jpg", **changes))
    (sample,) = read_benchmark("pmc_vqa", tmp_path, "test")
    assert sample.answers == (answer,)


@pytest.mark.parametrize("changes", [{"Answer_label": "E"}, {"Answer_label": "?"}, {"Choice B": " B: "}])
def test_a_pmc_vqa_row_that_cannot_be_scored_is_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_pmc(tmp_path, MADE["pmc_row"]("PMC1_F1.jpg", **changes))
    assert read_benchmark("pmc_vqa", tmp_path, "test") == []


def write_pmc(root: Path, row: dict[str, Any]) -> None:
    MADE["write_csv"](root / "pmc_vqa/test_clean.csv", [row])
    MADE["write_bytes"](root / "pmc_vqa/images/PMC1_F1.jpg", MADE["picture"](0, "JPEG"))


def test_mmmu_shows_every_image_and_names_it_as_tools_count_it(benchmark_forms: Forms) -> None:
    samples = read_benchmark("mmmu_med", benchmark_forms["mmmu hub"][1], "test")
    assert len(samples) == 10  # the official validation split: two rows for each of five subjects
    compare, opened = samples[:2]
    assert (compare.question, compare.choices) == ("Compare Image 0 with Image 1.", ("Image 0", "Image 1"))
    assert (len(compare.images), compare.answers, compare.metadata["subject"]) == (
        2,
        ("Image 1",),
        "Basic_Medical_Science",
    )
    assert (opened.answer_type, opened.answers, opened.choices) == ("open", ("24/7", "3.429"), ())


def test_mmmu_splits_are_what_papers_use(benchmark_forms: Forms) -> None:
    root = benchmark_forms["mmmu hub"][1]
    assert {s.id.split("_")[0] for s in read_benchmark("mmmu_med", root, "validation")} == {"dev"}
    assert {s.id.split("_")[0] for s in read_benchmark("mmmu_med", root, "test")} == {"validation"}
    with pytest.raises(UserError, match="no train split"):
        read_benchmark("mmmu_med", root, "train")


def test_mmmu_pro_keeps_the_medical_subjects_only(benchmark_forms: Forms) -> None:
    lines = read_benchmark("mmmu_pro_med", benchmark_forms["mmmu_pro json lines"][1], "test")
    assert [(s.id, s.answers, len(s.choices)) for s in lines] == [
        ("test_Clinical_Medicine_69", ("Normal",), 5),
        ("validation_Pharmacy_3", ("Normal",), 5),
    ]
    (hub,) = read_benchmark("mmmu_pro_med", benchmark_forms["mmmu_pro hub"][1], "test")
    assert (hub.id, hub.answers) == ("test_Clinical_Medicine_69", ("Crohn's disease",))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"answer": "?"}, '"answer" must be a letter of one of 5 options'),
        ({"options": "['a', open('x')]"}, '"options" must be a list of texts'),
        ({"question": "What does <image 2> show?"}, '"<image 2>" is named, but there is no "image_2"'),
    ],
)
def test_a_broken_mmmu_row_is_described_in_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    folder = tmp_path / "mmmu_med/mmmu-pro/tool"
    row = {"question": "<image 1>?", "options": list("vwxyz"), "answer": "A"}
    row["image_1"] = "images/test_Pharmacy_1_1.png"
    MADE["write_bytes"](folder / "static/images/test_Pharmacy_1_1.png", MADE["picture"](0))
    MADE["write_json_lines"](folder / "data.jsonl", [row | changes])
    with pytest.raises(UserError, match=r"data.jsonl, row 0 \(from 0\)") as error:
        read_benchmark("mmmu_pro_med", tmp_path, "test")
    assert sentence in str(error.value)


def test_medxpertqa_has_several_images_a_question_and_its_options_once(benchmark_forms: Forms) -> None:
    root = benchmark_forms["medxpertqa official"][1]
    (sample,) = read_benchmark("medxpertqa_mm", root, "validation")  # the official dev split
    assert sample.question == "Which diagnosis fits Figure A and Figure B?"
    assert [path.name for path in sample.images if isinstance(path, Path)] == ["MM-26-a.jpeg", "MM-26-b.jpeg"]
    assert (sample.answers, len(sample.choices), sample.metadata["medical_task"]) == (("Fracture",), 5, "Diagnosis")


def test_options_that_are_letters_are_told_from_the_letters_of_options(benchmark_forms: Forms) -> None:
    sample = read_benchmark("medxpertqa_mm", benchmark_forms["medxpertqa official"][1], "test")[1]
    assert sample.choices == ("letter C", "letter D", "letter A", "letter B", "None of the above")
    assert sample.answers == ("letter A",)  # the official label is C
    assert [exact_match(letter, sample.answers, sample.choices) for letter in "ABC"] == [False, False, True]


def test_a_question_with_several_images_shows_all_of_them(
    benchmark_forms: Forms, make_env: Callable[..., Any], nano: Any
) -> None:
    from medvista.policies import ChatRenderer

    (sample,) = read_benchmark("medxpertqa_mm", benchmark_forms["medxpertqa official"][1], "validation")
    env = make_env()
    observation, _ = env.reset(seed=0, options={"sample": sample})
    assert [image.source for image in observation.images] == [0, 1]
    (segment,) = ChatRenderer(nano).prompt([observation])
    assert len(segment.images) == 2
    second = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [0, 0, 500, 500], "image": 1}}</tool_call>'
    _, _, _, _, info = env.step(second)
    assert [region.image for region in info["tool_result"].regions] == [1]


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_what_is_not_there_is_described_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="MEDVISTA_DATA") as error:
        read_benchmark(name, tmp_path, "test")
    assert "\n" not in str(error.value)


def test_an_archive_that_was_not_unpacked_is_told(tmp_path: Path) -> None:
    MADE["pmc_vqa_first_version"](tmp_path)
    with pytest.raises(UserError, match=r"images.zip is not unpacked: run `python -m experiments.prepare pmc_vqa`"):
        read_benchmark("pmc_vqa", tmp_path, "test")


@pytest.mark.data
def test_the_official_mmmu_pro_lines_are_read(data_root: Path) -> None:
    samples = read_benchmark("mmmu_pro_med", data_root, "test")
    assert [(s.id, len(s.choices), s.answers[0]) for s in samples[:1]] == [
        ("test_Clinical_Medicine_69", 10, "The patient has a ruptured esophagus")
    ]
    assert {s.metadata["subject"] for s in samples} == {"Clinical_Medicine"}
    assert len(samples) == 4
