"""The SLAKE reader gives the published counts, and names what is wrong with a broken copy."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medvista.data.benchmark_files import data_root as find_data_root
from medvista.data.slake import evidence, read_boxes, read_slake
from medvista.errors import UserError
from medvista.types import Region, VQASample

ROW = {
    "img_id": 1,
    "img_name": "xmlab1/source.jpg",
    "question": "Is the left kidney enlarged?",
    "answer": "No",
    "q_lang": "en",
    "location": "Abdomen",
    "modality": "MRI",
    "answer_type": "CLOSED",
    "base_type": "vqa",
    "triple": ["vhead", "_", "_"],
    "qid": 7,
    "content_type": "Size",
}
BOXES = [{"Left Kidney": [148.0, 142.0, 46.0, 32.0]}, {"Right Kidney": [65.0, 138.0, 41.0, 37.0]}]


def write_slake(root: Path, *rows: dict[str, Any], boxes: Any = BOXES) -> Path:
    """The official folder with one image."""
    folder = root / "slake" / "Slake1.0"
    image = folder / "imgs" / "xmlab1"
    image.mkdir(parents=True)
    Image.new("RGB", (256, 256)).save(image / "source.jpg")
    (image / "detection.json").write_text(json.dumps(boxes))
    for name in ("train", "validate", "test"):
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return folder


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    folder = write_slake(tmp_path, ROW, ROW | {"q_lang": "zh", "qid": 8})
    (sample,) = read_slake(tmp_path, "validation")
    assert (sample.id, sample.benchmark, sample.split, sample.group_id) == ("7", "slake", "validation", "xmlab1")
    assert (sample.question, sample.answers, sample.answer_type) == ("Is the left kidney enlarged?", ("No",), "closed")
    assert sample.images == (folder / "imgs" / "xmlab1" / "source.jpg",)
    assert sample.regions == (Region(box=(148, 142, 194, 174), label="Left Kidney"),)  # x, y, w, h -> x1, y1, x2, y2
    assert sample.metadata == {
        "family": "closed",
        "needs": "zoom",
        "content_type": "Size",
        "location": "Abdomen",
        "modality": "MRI",
        "base_type": "vqa",
    }


def test_a_question_about_nothing_annotated_needs_no_tool(tmp_path: Path) -> None:
    write_slake(tmp_path, ROW | {"question": "What modality is used to take this image?", "answer": "MRI"})
    (sample,) = read_slake(tmp_path, "train")
    assert (sample.regions, sample.metadata["needs"]) == ((), "none")


def test_the_root_may_be_the_data_root_or_any_folder_down_to_slake(tmp_path: Path) -> None:
    folder = write_slake(tmp_path, ROW)
    for root in (tmp_path, folder.parent, folder):
        assert len(read_slake(root, "test")) == 1


def boxes(*labels: str) -> tuple[Region, ...]:
    return tuple(Region(box=(0, 0, 1, 1), label=label) for label in labels)


@pytest.mark.parametrize(
    ("question", "answer", "labels"),
    [
        ("What modality is used to take this image?", "CT", []),
        ("Where is the liver?", "Left", ["Liver"]),
        ("Which is bigger, liver or spleen?", "Liver", ["Liver", "Spleen"]),
        ("Is the left kidney enlarged?", "No", ["Left Kidney"]),
        ("Where is the left kidney?", "Right", ["Left Kidney"]),  # on the right of the image
        ("What organ is on the left of the picture?", "Right Kidney", ["Right Kidney"]),
        ("How many kidneys are there?", "2", ["Left Kidney", "Right Kidney"]),
        ("Where is/are the abnormality located?", "Right Lobe", ["Liver Cancer", "Brain Non-enhancing Tumor"]),
        ("Where is the non-enhancing tumor of the brain?", "Left", ["Liver Cancer", "Brain Non-enhancing Tumor"]),
        ("What color is the spleen?", "Gray", ["Spleen"]),
    ],
)
def test_the_evidence_for_a_question_is_what_it_is_about(question: str, answer: str, labels: list[str]) -> None:
    everything = boxes("Liver", "Spleen", "Left Kidney", "Right Kidney", "Liver Cancer", "Brain Non-enhancing Tumor")
    assert [region.label for region in evidence(question, answer, everything)] == labels


def test_enhancing_and_non_enhancing_tumors_are_not_confused() -> None:
    both = boxes("Brain Enhancing Tumor", "Brain Non-enhancing Tumor")
    found = evidence("What is shown?", "Brain Non-enhancing Tumor", both)
    assert [region.label for region in found] == ["Brain Non-enhancing Tumor"]


def broken(tmp_path: Path, breakage: str) -> None:
    folder = tmp_path / "slake" / "Slake1.0"
    image = folder / "imgs" / "xmlab1"
    if breakage == "no data":
        folder.rename(tmp_path / "elsewhere")
    elif breakage == "no split file":
        (folder / "test.json").unlink()
    elif breakage == "no image":
        (image / "source.jpg").unlink()
    elif breakage == "no boxes":
        (image / "detection.json").unlink()
    elif breakage == "not JSON":
        (folder / "test.json").write_text('[{"qid": 1')
    elif breakage == "not text":
        (folder / "test.json").write_bytes(b"\xff\xfe\x00\xd8")
    elif breakage == "not a list":
        (folder / "test.json").write_text("{}")
    elif breakage == "no answer":
        (folder / "test.json").write_text(json.dumps([ROW, {k: v for k, v in ROW.items() if k != "answer"}]))
    elif breakage == "row is a number":
        (folder / "test.json").write_text("[3]")
    elif breakage == "three numbers":
        (image / "detection.json").write_text('[{"Liver": [1, 2, 3]}]')


@pytest.mark.parametrize(
    ("breakage", "sentence"),
    [
        ("no data", r"there is no slake/Slake1.0 in .*: set data.root=... or MEDVISTA_DATA to the folder"),
        ("no split file", r"the file .*test.json is missing: place .*, or set data.root=... or MEDVISTA_DATA"),
        ("no image", r"the file .*xmlab1/source.jpg is missing"),
        ("no boxes", r"the file .*xmlab1/detection.json is missing"),
        ("not JSON", r"test.json is not valid JSON .*; place the official file again"),
        ("not text", r"test.json is not valid JSON .*; place the official file again"),
        ("not a list", r"test.json must hold a JSON list"),
        ("no answer", r'test.json, row 1 \(from 0\): "answer" is missing'),
        ("row is a number", r"test.json, row 0 \(from 0\): it must be an object, not 3"),
        ("three numbers", r'detection.json: "Liver" must be a list of 4 numbers'),
    ],
)
def test_a_broken_copy_is_described_in_one_sentence(tmp_path: Path, breakage: str, sentence: str) -> None:
    write_slake(tmp_path, ROW)
    broken(tmp_path, breakage)
    with pytest.raises(UserError, match=sentence) as error:
        read_slake(tmp_path, "test")
    assert "\n" not in str(error.value)


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="en and zh, not in 'de'"):
        read_slake(tmp_path, "test", language="de")  # type: ignore[arg-type]


def test_the_data_root_is_what_is_given_or_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDVISTA_DATA", str(tmp_path / "missing"))
    assert find_data_root(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match=r"there is no data root .*missing: set data.root=... or MEDVISTA_DATA"):
        find_data_root()
    monkeypatch.delenv("MEDVISTA_DATA")
    with pytest.raises(UserError, match=r"no data root is given: set data.root=... or MEDVISTA_DATA"):
        find_data_root()


def images(samples: list[VQASample]) -> set[str]:
    return {sample.group_id for sample in samples}


@pytest.mark.parametrize(
    ("split", "questions", "n_images"), [("train", 4919, 450), ("validation", 1053, 96), ("test", 1061, 96)]
)
def test_the_official_english_counts(data_root: Path, split: Any, questions: int, n_images: int) -> None:
    samples = read_slake(data_root, split)
    assert (len(samples), len(images(samples))) == (questions, n_images)
    assert len({sample.id for sample in samples}) == questions


def test_english_splits_share_no_image_but_english_test_is_in_chinese_train(data_root: Path) -> None:
    train, validation, test = (images(read_slake(data_root, split)) for split in ("train", "validation", "test"))  # type: ignore[arg-type]
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(test & images(read_slake(data_root, "train", language="zh"))) == 72


def test_every_official_box_lies_on_its_image(data_root: Path) -> None:
    folders = sorted((data_root / "slake" / "Slake1.0" / "imgs").iterdir())
    assert len(folders) == 642
    for folder in folders[::8]:
        with Image.open(folder / "source.jpg") as image:
            width, height = image.size
        for region in read_boxes(folder):
            x1, y1, x2, y2 = region.box
            assert 0 <= x1 < x2 <= width + 1
            assert 0 <= y1 < y2 <= height + 1
