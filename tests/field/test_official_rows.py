"""The readers of official benchmarks shift no letter, take no null for an answer, and say what they change."""

from __future__ import annotations

import json
import pickle
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medvista.data.benchmarks import read_benchmark
from medvista.data.parquet_rows import unpack_parquet
from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.types import VQASample

MADE = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "benchmark_forms.py"))
KEPT = "an empty option was kept in its place, so that no letter shifts"


def noticed() -> dict[str, int]:
    return {notice.what: notice.count for notice in NOTICES.collected()}


@pytest.fixture
def pmc(tmp_path: Path) -> Callable[..., list[VQASample]]:
    """The test questions of PMC-VQA, of which there is one, with changes."""

    def read(**changes: Any) -> list[VQASample]:
        MADE["write_csv"](tmp_path / "pmc_vqa/test_clean.csv", [MADE["pmc_row"]("PMC1_F1.jpg", **changes)])
        MADE["write_bytes"](tmp_path / "pmc_vqa/images/PMC1_F1.jpg", MADE["picture"](0, "JPEG"))
        return read_benchmark("pmc_vqa", tmp_path, "test")

    return read


@pytest.fixture
def expert(tmp_path: Path) -> Callable[..., list[VQASample]]:
    """The test questions of MedXpertQA, one for each mapping of changes."""

    def read(*rows: dict[str, Any]) -> list[VQASample]:
        made = [MADE["medxpertqa_row"](f"MM-{n}", ["a.jpeg"]) | changes for n, changes in enumerate(rows)]
        MADE["write_json_lines"](tmp_path / "medxpertqa/MM/test.jsonl", made)
        MADE["write_bytes"](tmp_path / "medxpertqa/images/a.jpeg", MADE["picture"](0, "JPEG"))
        return read_benchmark("medxpertqa_mm", tmp_path, "test")

    return read


@pytest.fixture
def mmmu(tmp_path: Path) -> Callable[..., list[VQASample]]:
    """The questions of MMMU-Pro, one for each mapping of changes."""

    def read(*rows: dict[str, Any]) -> list[VQASample]:
        folder = tmp_path / "mmmu_med/mmmu-pro/tool"
        MADE["write_bytes"](folder / "static/images/test_Pharmacy_1_1.png", MADE["picture"](0))
        row = {"question": "Which?", "options": ["x", "y"], "answer": "B", "image_1": "images/test_Pharmacy_1_1.png"}
        MADE["write_json_lines"](folder / "data.jsonl", [row | changes for changes in rows])
        return read_benchmark("mmmu_pro_med", tmp_path, "test")

    return read


# ------------------------------------------------------------------------------------------------------- empty options


@pytest.mark.parametrize("empty", ["", " A: ", "A:nan", "NaN"])
def test_pmc_vqa_keeps_an_empty_option_in_its_place(pmc: Callable[..., list[VQASample]], empty: str) -> None:
    (sample,) = pmc(**{"Choice A": empty, "Choice D": "D:"})
    assert sample.choices == ("", "Focal uptake pattern", "No uptake pattern")
    assert sample.answers == ("Focal uptake pattern",)  # the official label is B
    assert noticed() == {KEPT: 1}


def test_pmc_vqa_says_which_rows_it_leaves_out(pmc: Callable[..., list[VQASample]]) -> None:
    assert pmc(**{"Choice B": " B: "}) == []
    assert noticed() == {"rows whose label names none of their options were left out": 1}


def test_pmc_vqa_takes_an_initial_for_no_letter(pmc: Callable[..., list[VQASample]]) -> None:
    (sample,) = pmc(**{"Choice B": "B:A. fumigatus", "Choice C": "A. niger", "Answer_label": "", "Answer": "A. niger"})
    assert sample.choices[1:3] == ("A. fumigatus", "A. niger")
    assert sample.answers == ("A. niger",)
    assert pmc(Answer_label="B: No uptake pattern") == []  # a letter and a text that disagree


def test_medxpertqa_keeps_an_empty_option_in_its_place(expert: Callable[..., list[VQASample]]) -> None:
    for empty in ("", None, float("nan")):
        (sample,) = expert({"options": {"A": "Nodule", "B": empty, "C": "Fracture", "D": " "}})
        assert (sample.choices, sample.answers) == (("Nodule", "", "Fracture"), ("Fracture",))
    assert noticed()[KEPT] == 1
    with pytest.raises(UserError, match=r'row 0 \(from 0\): "label" names option B, which is empty'):
        expert({"options": {"A": "Nodule", "B": "", "C": "Fracture"}, "label": "B"})


def test_medxpertqa_refuses_letters_with_a_gap(expert: Callable[..., list[VQASample]]) -> None:
    with pytest.raises(UserError, match=r'"options" must have the letters A, B, C, ... without a gap, not A, C, D'):
        expert({"options": {"A": "Nodule", "C": "Fracture", "D": "Normal"}})


@pytest.mark.parametrize("options", [["x", None, "z", None], ["x", "", "z"], "['x', None, 'z', '']"])
def test_mmmu_keeps_an_empty_option_in_its_place(mmmu: Callable[..., list[VQASample]], options: Any) -> None:
    (sample,) = mmmu({"options": options, "answer": "C"})
    assert (sample.choices, sample.answers) == (("x", "", "z"), ("z",))
    with pytest.raises(UserError, match='"answer" names option B, which is empty'):
        mmmu({"options": options, "answer": "B"})


def test_options_that_read_the_same_or_are_letters_are_counted(mmmu: Callable[..., list[VQASample]]) -> None:
    twice, lettered = mmmu({"options": ["x", "x"]}, {"options": ["B", "A"], "id": "test_Pharmacy_2"})
    assert (twice.answers, lettered.answers) == (("x",), ("letter A",))
    assert noticed() == {
        "two options read the same, so that the letter of either is right": 1,
        'options that are letters are shown as "letter C", so that no letter means two things': 1,
    }


# ----------------------------------------------------------------------------------------------------------- no answer


def test_mmmu_takes_no_null_for_an_accepted_answer(mmmu: Callable[..., list[VQASample]]) -> None:
    (sample,) = mmmu({"question_type": "open", "answer": "[None, 'None', '']"})
    assert sample.answers == ("None",)
    assert noticed() == {"empty answers among several were left out": 1}
    with pytest.raises(UserError, match='"answer" must give the accepted answers'):
        mmmu({"question_type": "open", "answer": "[None]"})


def test_path_vqa_leaves_out_a_question_without_an_answer_and_says_so(tmp_path: Path) -> None:
    answers = ["yes", None, "None", float("nan"), ""]
    rows = [{"image": "val_1", "question": f"Question {n}?", "answer": answer} for n, answer in enumerate(answers)]
    MADE["write_bytes"](tmp_path / "path_vqa/pvqa/qas/val/val_qa.pkl", pickle.dumps(rows))
    MADE["write_bytes"](tmp_path / "path_vqa/pvqa/images/val/val_1.jpg", MADE["picture"](0, "JPEG"))
    samples = read_benchmark("path_vqa", tmp_path, "validation")
    assert [(s.id, s.answers) for s in samples] == [("validation-0", ("yes",)), ("validation-2", ("None",))]
    assert noticed() == {"questions without an answer were left out": 3}


def test_nan_in_a_parquet_file_becomes_null(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"answer": pa.array([float("nan"), 1.5, None]), "options": pa.array([["x", None], None, ["None"]])}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    assert unpack_parquet([tmp_path / "rows.parquet"], tmp_path, "test") == 3
    rows = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in rows] == [None, 1.5, None]
    assert [row["options"] for row in rows] == [["x", None], None, ["None"]]


# ------------------------------------------------------------------------------------------------- ids, other changes


def test_two_official_rows_with_one_id_are_refused_naming_both(
    mmmu: Callable[..., list[VQASample]], expert: Callable[..., list[VQASample]]
) -> None:
    with pytest.raises(UserError, match=r"row 1 \(from 0\): the id 'test_Pharmacy_1' is also that of row 0 \(from 0\)"):
        mmmu({}, {"options": ["v", "w"]})
    with pytest.raises(UserError, match=r"row 2 \(from 0\): the id 'MM-0' is also that of row 0 \(from 0\)"):
        expert({}, {}, {"id": "MM-0"})


@pytest.mark.parametrize("second", [0, "0", " 0 "])
def test_an_id_of_vqa_rad_is_one_as_number_and_as_text(tmp_path: Path, second: Any) -> None:
    MADE["vqa_rad_public"](tmp_path)
    path = tmp_path / "vqa_rad/VQA_RAD Dataset Public.json"
    rows = json.loads(path.read_text())
    rows[3]["qid"] = second
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=r"row 3 \(from 0\): the id '0' is also that of row 0 \(from 0\)"):
        read_benchmark("vqa_rad", tmp_path, "test")


def test_vqa_rad_says_what_it_mends(tmp_path: Path) -> None:
    MADE["vqa_rad_public"](tmp_path)
    (sample,) = read_benchmark("vqa_rad", tmp_path, "test")
    assert sample.answer_type == "closed"  # written "CLOSED "
    assert noticed() == {"an answer type was read without the white space around it": 1}


def test_an_empty_answer_of_slake_is_counted_where_it_is_scored(tmp_path: Path) -> None:
    MADE["slake_official"](tmp_path)
    for name in ("train", "test"):
        path = tmp_path / f"slake/Slake1.0/{name}.json"
        rows = json.loads(path.read_text())
        rows[0]["answer"] = " "
        path.write_text(json.dumps(rows))
    assert read_benchmark("slake", tmp_path, "train")[0].answers == ("",)
    assert noticed() == {}  # training leaves it out, and says so
    assert read_benchmark("slake", tmp_path, "test")[0].answers == ("",)
    assert noticed() == {"questions without an answer were kept, and no prediction is right": 1}


@pytest.mark.data
def test_training_on_slake_leaves_one_question_out_and_says_so(data_root: Path) -> None:
    from medvista.data.answer_text import with_answers

    assert len(with_answers(read_benchmark("slake", data_root, "train"))) == 4918
    assert noticed() == {"questions without an answer were left out of training": 1}


@pytest.mark.data
def test_what_the_official_files_need_mending_is_counted(data_root: Path) -> None:
    for split in ("train", "validation", "test"):
        read_benchmark("vqa_rad", data_root, split)  # type: ignore[arg-type]
        read_benchmark("slake", data_root, split)  # type: ignore[arg-type]
    counts = noticed()
    assert counts["an answer type was read without the white space around it"] == 2
    assert counts["a misspelt question type was read as what it means"] == 2
    assert "questions without an answer were kept, and no prediction is right" not in counts
