"""A question set of one's own is one YAML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from medvista.data.benchmark_check import check_benchmark
from medvista.data.benchmarks import benchmark_name, read_benchmark
from medvista.errors import UserError

CSV = """\
id,patient,file,question,answer,a,b,c,split,modality
1,P1,one.png,Which lobe?,Upper,Upper,Middle,Lower,train,CR
2,P1,one.png|two.png,Which changed?,B,Upper,Middle,,dev,CR
3,P2,two.png,Is it normal?,yes,,,,test,CT
4,P2,two.png,How many?,2|two,,,,test,CT
"""
DESCRIPTION: dict[str, Any] = {
    "name": "ward",
    "questions": "questions.csv",
    "images": "pictures",
    "columns": {
        "question": "question",
        "answer": "answer",
        "image": "file",
        "id": "id",
        "split": "split",
        "group": "patient",
        "choices": ["a", "b", "c"],
        "slices": ["modality"],
    },
}


def write_own(folder: Path, description: Any = DESCRIPTION, table: str = CSV) -> Path:
    (folder / "pictures").mkdir(exist_ok=True)
    for shade, name in enumerate(("one.png", "two.png")):
        Image.new("L", (8, 8), 90 * shade).save(folder / "pictures" / name)
    (folder / "questions.csv").write_text(table, encoding="utf-8-sig")  # as spreadsheets save it
    (folder / "ward.yaml").write_text(yaml.safe_dump(description))
    return folder / "ward.yaml"


def changed(**columns: Any) -> dict[str, Any]:
    return DESCRIPTION | {"columns": DESCRIPTION["columns"] | columns}


def test_rows_become_samples_with_options_groups_and_slices(tmp_path: Path) -> None:
    name = str(write_own(tmp_path))
    (train,) = read_benchmark(name, None, "train")
    assert (train.id, train.benchmark, train.group_id, benchmark_name(name)) == ("1", "ward", "P1", "ward")
    assert (train.choices, train.answers, train.answer_type) == (("Upper", "Middle", "Lower"), ("Upper",), "choice")
    assert train.metadata == {"family": "choice", "modality": "CR", "slices": ("modality",)}
    (validation,) = read_benchmark(name, None, "validation")
    assert (validation.answers, len(validation.images)) == (("Middle",), 2)  # answer "B" of two options, two images
    closed, opened = read_benchmark(name, None, "test")
    assert (closed.answers, closed.answer_type, closed.choices) == (("yes",), "closed", ())
    assert (opened.answers, opened.answer_type) == (("2", "two"), "open")


def test_json_lines_hold_lists_as_lists(tmp_path: Path) -> None:
    path = write_own(
        tmp_path,
        DESCRIPTION
        | {"questions": {"test": "rows.jsonl"}}
        | {"columns": {"question": "q", "answer": "gold", "image": "files", "choices": "options"}},
    )
    rows = [
        {"q": "Which?", "gold": "b", "options": ["x|y", "b"], "files": ["one.png", "two.png"]},
        {"q": "How many?", "gold": 3, "files": "one.png", "options": []},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    first, second = read_benchmark(str(path), None, "test")
    assert (first.id, first.choices, first.answers, first.group_id) == ("0", ("x|y", "b"), ("b",), "one.png")
    assert (second.answers, second.choices) == (("3",), ())
    with pytest.raises(UserError, match="ward has no train split"):
        read_benchmark(str(path), None, "train")


def test_without_a_split_column_whole_groups_are_dealt_out_and_stay_where_they_are(tmp_path: Path) -> None:
    header = "patient,file,question,answer\n"
    lines = [f"P{number // 2},one.png,Question {number}?,yes\n" for number in range(400)]
    columns = {"question": "question", "answer": "answer", "image": "file", "group": "patient"}
    description = DESCRIPTION | {"columns": columns, "shares": {"train": 0.5, "test": 0.5}}
    name = str(write_own(tmp_path, description, header + "".join(lines)))
    train, test = (read_benchmark(name, None, split) for split in ("train", "test"))  # type: ignore[arg-type]
    assert len(train) + len(test) == 400
    assert 150 < len(train) < 250
    groups = {sample.group_id for sample in train}
    assert not groups & {sample.group_id for sample in test}
    write_own(tmp_path, description, header + "".join(lines[:200]))
    assert {sample.group_id for sample in read_benchmark(name, None, "train")} <= groups


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        (DESCRIPTION | {"colums": {}}, 'unknown key "colums", did you mean "columns"'),
        (changed(grup="patient"), 'unknown key "columns.grup", did you mean "columns.group"'),
        ({"name": "ward", "questions": "questions.csv"}, '"columns" is missing'),
        (changed(answer=3), '"columns.answer" must be a text, not 3'),
        (DESCRIPTION | {"questions": {"tset": "x.csv"}}, "a split must be one of train, .* not .tset."),
        ([1, 2], "must be an object, not"),
    ],
)
def test_a_mistake_in_the_description_is_answered_in_one_sentence(
    tmp_path: Path, description: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        read_benchmark(str(write_own(tmp_path, description)), None, "test")
    assert "ward.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("two.png,Is", "three.png,Is", r"three.png is missing"),
        ("test,CT", "exam,CT", r'row 2 \(from 0\): "split" must be one of train, .* not \'exam\''),
        (",Which lobe?", ",", r'row 0 \(from 0\): "question" must be a text or a number'),
        (",Upper,Upper", ",D,Upper", r'"answer" must be a letter of one of 3 options, not \'D\''),
        ("patient", "pat", r'"patient" is missing'),
    ],
)
def test_a_mistake_in_the_table_names_file_row_and_column(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    name = str(write_own(tmp_path, table=CSV.replace(old, new)))
    with pytest.raises(UserError, match=sentence):
        check_benchmark(name, None)  # which reads every split


def test_a_file_that_is_not_there_or_not_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing.yaml is missing"):
        read_benchmark(str(tmp_path / "nothing.yaml"), None, "test")
    (tmp_path / "bad.yaml").write_text("a: [1,")
    with pytest.raises(UserError, match=r"bad.yaml is not valid YAML"):
        read_benchmark(str(tmp_path / "bad.yaml"), None, "test")


def test_it_is_checked_like_any_benchmark(tmp_path: Path) -> None:
    check = check_benchmark(str(write_own(tmp_path)), None)
    assert check.name == "ward"
    assert check.to_json() == {
        "questions": {"train": 1, "validation": 1, "test": 2},
        "images": 2,
        "train_test_image_overlap": 0,
    }


def test_the_example_of_the_documentation_works() -> None:
    path = Path(__file__).parents[2] / "docs" / "examples" / "own_benchmark" / "own_benchmark.yaml"
    check = check_benchmark(str(path), None)
    assert check.to_json() == {
        "questions": {"train": 2, "validation": 1, "test": 2},
        "images": 4,
        "train_test_image_overlap": 0,
    }
    assert not check.problems
    changed_between, count = check.samples["test"]
    assert (len(changed_between.images), changed_between.answers) == (2, ("A nodule is new",))
    assert (count.answers, count.group_id) == (("2", "two"), "P3")
