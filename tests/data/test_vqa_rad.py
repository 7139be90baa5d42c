"""The VQA-RAD reader gives the published counts in both official forms, and carves a validation split from train."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medvista.data.benchmarks import read_benchmark
from medvista.data.vqa_rad import in_validation, read_vqa_rad
from medvista.errors import UserError
from medvista.types import VQASample

ROW = {
    "qid": 0,
    "image_name": "synpic1.jpg",
    "image_organ": "HEAD",
    "answer": "Yes",
    "answer_type": "CLOSED ",
    "question_type": "PRSE, ABN",
    "question": "Are regions of the brain infarcted? ",
    "phrase_type": "freeform",
}


def write_vqa_rad(root: Path, *, train: list[dict[str, Any]], test: list[dict[str, Any]]) -> Path:
    """The folder with ``trainset.json`` and ``testset.json``."""
    folder = root / "vqa_rad"
    (folder / "VQA_RAD Image Folder").mkdir(parents=True)
    (folder / "data_RAD").mkdir()
    for row in train + test:
        Image.new("L", (8, 8)).save(folder / "VQA_RAD Image Folder" / row["image_name"])
    (folder / "data_RAD" / "trainset.json").write_text(json.dumps(train))
    (folder / "data_RAD" / "testset.json").write_text(json.dumps(test))
    return folder


def test_a_row_becomes_a_sample_with_the_slips_of_the_official_file_mended(tmp_path: Path) -> None:
    folder = write_vqa_rad(tmp_path, train=[], test=[ROW, ROW | {"qid": "1", "answer": 3, "answer_type": "OPEN"}])
    first, second = read_vqa_rad(tmp_path, "test")
    assert (first.id, first.answers, first.answer_type, first.group_id) == ("0", ("Yes",), "closed", "synpic1")
    assert (first.question, first.images) == (
        "Are regions of the brain infarcted?",
        (folder / "VQA_RAD Image Folder" / "synpic1.jpg",),
    )
    assert first.metadata == {
        "family": "closed",
        "question_type": "ABN,PRES",
        "image_organ": "HEAD",
        "phrase_type": "freeform",
    }
    assert (second.id, second.answers, second.answer_type) == ("1", ("3",), "open")


def test_template_rows_of_the_train_file_are_left_out(tmp_path: Path) -> None:
    write_vqa_rad(tmp_path, train=[ROW, ROW | {"qid": 1, "phrase_type": "frame"}], test=[])
    assert [sample.id for sample in read_vqa_rad(tmp_path, "train", carve_validation=False)] == ["0"]


@pytest.mark.parametrize("answer", [None, True, "", ["yes"]])
def test_an_answer_that_is_none_is_described_in_one_sentence(tmp_path: Path, answer: Any) -> None:
    write_vqa_rad(tmp_path, train=[], test=[ROW | {"answer": answer}])
    with pytest.raises(UserError, match=r'testset.json, row 0 \(from 0\): "answer" must be a text or an integer'):
        read_vqa_rad(tmp_path, "test")


def test_missing_files_are_described_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no vqa_rad in .*: set data.root=... or MEDVISTA_DATA"):
        read_vqa_rad(tmp_path, "test")
    folder = write_vqa_rad(tmp_path, train=[ROW], test=[])
    (folder / "VQA_RAD Image Folder" / "synpic1.jpg").unlink()
    with pytest.raises(UserError, match=r"synpic1.jpg is missing"):
        read_vqa_rad(tmp_path, "train", carve_validation=False)
    with pytest.raises(UserError, match="no official validation split"):
        read_vqa_rad(tmp_path, "validation", carve_validation=False)


def test_an_unknown_benchmark_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no benchmark 'vqarad': did you mean 'vqa_rad'"):
        read_benchmark("vqarad", tmp_path, "test")
    with pytest.raises(UserError, match=r"choose from .*, slake, slake_zh, vqa_rad"):
        read_benchmark("imagenet", tmp_path, "test")


def images(samples: list[VQASample]) -> set[str]:
    return {sample.group_id for sample in samples}


def test_the_official_counts_and_the_overlap_of_test_with_train(data_root: Path) -> None:
    train, test = read_vqa_rad(data_root, "train", carve_validation=False), read_vqa_rad(data_root, "test")
    assert (len(train), len(test), len({sample.id for sample in train + test})) == (1797, 451, 2248)
    assert (len(images(train)), len(images(test))) == (313, 203)
    assert len(images(train) & images(test)) == 202
    assert len(list((data_root / "vqa_rad" / "VQA_RAD Image Folder").iterdir())) == 315


def test_both_official_forms_hold_the_same_questions(data_root: Path, tmp_path: Path) -> None:
    official = data_root / "vqa_rad"
    for name in ("VQA_RAD Dataset Public.json", "VQA_RAD Image Folder"):
        (tmp_path / name).symlink_to(official / name)
    for split in ("train", "validation", "test"):
        first, second = (
            sorted((sample.group_id, sample.question, sample.answers, sample.answer_type) for sample in samples)
            for samples in (read_vqa_rad(official, split), read_vqa_rad(tmp_path, split))
        )
        assert first == second


def test_the_carved_validation_split_takes_whole_images_from_train(data_root: Path) -> None:
    everything = read_vqa_rad(data_root, "train", carve_validation=False)
    train, validation = read_vqa_rad(data_root, "train"), read_vqa_rad(data_root, "validation")
    assert (len(train), len(validation)) == (1599, 198)
    assert {sample.id for sample in train} | {sample.id for sample in validation} == {s.id for s in everything}
    assert not images(train) & images(validation)
    assert all(in_validation(f"{sample.group_id}.jpg") for sample in validation)
