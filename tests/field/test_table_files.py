"""Files that could be read as another table than was meant are refused in one sentence, and so are lost images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medvista.app.commands.prepare import main
from medvista.data.benchmarks import benchmark_name, read_benchmark, results_names
from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.types import VQASample

TABLES = Path(__file__).parent / "tables"


def noticed() -> dict[str, int]:
    return {notice.what: notice.count for notice in NOTICES.collected()}


def lines(*rows: Any) -> str:
    """JSON lines of rows that all have an image and a question."""
    shared = {"file": "0.png", "split": "test", "question": "Which?"}
    return "".join(json.dumps(shared | row) + "\n" for row in rows)


ROWS = "0.png,test,Is it CT?,yes\n1.png,test,Is it MR?,no\n2.png,test,Is it US?,no\n"
SHORT = "file,split,question,answer\n"


def asked(samples: list[VQASample]) -> list[tuple[str, str]]:
    return [(sample.question, sample.answers[0]) for sample in samples]


THREE = [("Is it CT?", "yes"), ("Is it MR?", "no"), ("Is it US?", "no")]


@pytest.mark.parametrize(
    "content",
    [
        SHORT + ROWS,
        (SHORT + ROWS).replace("\n", "\r\n"),
        (SHORT + ROWS).replace("\n", "\r"),
        "\n" + SHORT + "\n" + ROWS.replace("\n", "\n\n") + ",,,\n   \n",  # blank lines
        SHORT.replace(",", " , ") + ROWS,
        (SHORT + ROWS).replace(",", ";"),
        (SHORT + ROWS).replace(",", "\t"),
        '"file";"split";"question";"answer"\n' + ROWS.replace(",", ";"),
        SHORT + ROWS.replace("Is it CT?", '"Is it CT?"').replace(",yes", ', "yes"'),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_can_only_be_meant_in_one_way_is_read(table: Any, content: str, mark: str) -> None:
    assert asked(table.read(mark + content)) == THREE


def test_a_column_without_a_name_is_left_out_and_said(table: Any) -> None:
    numbered = "".join(f"{n},{line}\n" for n, line in enumerate(ROWS.splitlines()))  # as pandas writes its index
    assert asked(table.read(f",{SHORT}{numbered}")) == THREE
    assert noticed() == {"columns without a name were left out": 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (SHORT + ROWS.replace("MR?", "MR, or CT?"), "line 3, row 1 (from 0): it has 5 cells, but the header has 4"),
        (SHORT + ROWS + "0.png,test,Is it CT?\n", "line 5, row 3 (from 0): it has 3 cells, but the header has 4"),
        (SHORT + ROWS.replace(",no\n", ",no,\n"), "line 3, row 1 (from 0): it has 5 cells"),
        (SHORT + ROWS.replace("Is it CT?", '"Is it CT?'), "line 2: a quote is not closed"),  # to the end of the file
        (
            SHORT + ROWS.replace("Is it CT?", '"Is it CT?') + '0.png,test,"A, or B?",A\n',
            "line 2: a quote is not closed",
        ),
        (SHORT + ROWS.replace("Is it CT?", '"Is it CT?').replace("US?", 'US?"'), "a quote joins lines 2 to 4"),
        (SHORT + ROWS.replace("Is it CT?", '"Is" it CT?'), "line 2: a quote is not closed, or not doubled"),
        (SHORT.replace("split", "answer") + ROWS, "is missing"),
        ("file,split,question,answer,answer\n" + ROWS.replace("\n", ",x\n"), 'two columns are called "answer"'),
        ("file,split,question,answer, answer\n" + ROWS.replace("\n", ",x\n"), 'two columns are called "answer"'),
        ((SHORT + ROWS).replace(",", "|"), 'the column "question" is missing'),
        (ROWS, 'the column "question" is missing'),
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (SHORT.replace("answer", "anwser") + ROWS, 'the column "answer" is missing (did you mean "anwser"?)'),
        ((SHORT + ROWS).replace("CT", "Größe").encode("latin-1"), "line 2, is not text in UTF-8"),
        ((SHORT + ROWS).encode("utf-16"), "line 1, is not text in UTF-8"),
        ((SHORT + ROWS).encode("utf-16-le"), "is not text in UTF-8 (it holds null characters)"),
    ],
)
def test_a_file_whose_cells_may_have_moved_is_refused(table: Any, content: str | bytes, sentence: str) -> None:
    assert sentence in table.refuse(content)


def test_a_question_of_several_lines_is_read_whole(table: Any) -> None:
    content = SHORT + '0.png,test,"History: cough, fever.\nIs it CT?",yes\n' + "1.png,test,Is it MR?,no\n"
    assert asked(table.read(content)) == [("History: cough, fever.\nIs it CT?", "yes"), ("Is it MR?", "no")]


def test_a_column_that_no_row_of_json_lines_has_is_refused(table: Any) -> None:
    rows = lines({"answer": "B", "options": ["One", "Two"]})
    assert 'the column "optoins" is missing (did you mean "options"?)' in table.refuse(
        rows, "t.jsonl", choices="optoins"
    )


def test_a_key_that_is_there_twice_is_refused(table: Any) -> None:
    row = '{"file": "0.png", "split": "test", "question": "Is it CT?", "answer": "yes", "answer": "no"}\n'
    assert 'line 1 is not valid JSON (the key "answer" is there twice); mend the table' in table.refuse(row, "t.jsonl")


def test_a_file_of_another_kind_is_refused(table: Any) -> None:
    assert "t.xlsx is not a table that can be read: save it as one of .csv" in table.refuse(b"PK", "t.xlsx")


# --------------------------------------------------------------------------------------------------------------- images
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("9.png", "9.png is missing"),
        ("0.PNG", "is missing, though there is '0.png': mind upper and lower case"),
        ("https://example.org/0.png", "is the address https://example.org/0.png: download the image"),
        ("", '"file" is empty: a question needs an image'),
        ("0.png||1.png", "has an empty entry between its images"),
    ],
)
def test_an_image_that_is_not_there_is_told_with_file_and_row(table: Any, file: str, sentence: str) -> None:
    told = table.refuse(f"{SHORT}1.png,test,Is it CT?,yes\n{file},test,Is it MR?,no\n")
    assert "t.csv, line 3, row 1 (from 0): " in told
    assert sentence in told


def test_windows_paths_are_read_and_said(table: Any) -> None:
    (sample,) = table.read(f"{SHORT}..\\img\\0.png,test,Is it CT?,yes\n")
    assert sample.images == (table.folder / "img" / "../img/0.png",)
    assert noticed() == {"backslashes in the names of images were read as slashes": 1}


def test_the_check_opens_every_image(tmp_path: Path, table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torn.png").write_bytes((TABLES / "img" / "0.png").read_bytes()[:40])
    table.read(f"number,{SHORT}4,0.png,test,Is it CT?,yes\n5,{tmp_path}/torn.png,test,Is it MR?,no\n", id="number")
    assert main([str(tmp_path / "t.yaml"), "--check"]) == 1
    error = capsys.readouterr().err
    assert "problem: question 5: " in error
    assert "torn.png" in error


# ------------------------------------------------------------------------------------------------------ the description
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "slake"}, "'slake' is the name of another benchmark"),
        ({"name": "phantom"}, "'phantom' is the name of another benchmark"),
        ({"name": "a/b"}, '"name" must be a text without slashes'),
        (
            {"questions": {"val": "t.csv", "dev": "t.csv"}},
            'the validation split is given twice, the second time as "dev"',
        ),
        ({"questions": "u.csv"}, "u.csv is missing: `questions` of t names it"),
    ],
)
def test_a_description_that_would_lose_questions_is_refused(
    tmp_path: Path, table: Any, given: dict[str, Any], sentence: str
) -> None:
    table.read(SHORT + ROWS)
    description = json.loads((tmp_path / "t.yaml").read_text()) | given
    (tmp_path / "t.yaml").write_text(json.dumps(description))
    with pytest.raises(UserError) as error:
        read_benchmark(str(tmp_path / "t.yaml"), None, "test")
    assert sentence in str(error.value)


def test_two_question_sets_of_one_name_are_not_asked_in_one_run(tmp_path: Path, table: Any) -> None:
    table.read(SHORT + ROWS)
    (tmp_path / "u.yaml").write_text((tmp_path / "t.yaml").read_text())
    names = [str(tmp_path / name) for name in ("t.yaml", "u.yaml")]
    assert [benchmark_name(name) for name in names] == ["t", "t"]
    assert results_names(["slake", names[0]]) == {"slake": "slake", "t": names[0]}
    with pytest.raises(UserError, match=r"t.yaml and .*u.yaml are both called 't'"):
        results_names(names)
