"""Rows whose gold answer could be another than was meant are refused by file and row, never read as something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medvista.app.commands.prepare import main
from medvista.data.benchmarks import read_benchmark
from medvista.errors import UserError
from medvista.notices import NOTICES

TABLES = Path(__file__).parent / "tables"
OPTIONS = ["a", "b", "c", "d"]
HEADER = "file,split,question,answer,a,b,c,d"


def noticed() -> dict[str, int]:
    return {notice.what: notice.count for notice in NOTICES.collected()}


def lines(*rows: Any) -> str:
    """JSON lines of rows that all have an image and a question."""
    shared = {"file": "0.png", "split": "test", "question": "Which?"}
    return "".join(json.dumps(shared | row) + "\n" for row in rows)


# ------------------------------------------------------------------------------------------------ the field's own cases


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("empty_first_option", r'empty_first_option.csv, line 2, row 0 \(from 0\): "a" is empty before other options'),
        ("twice", r"twice.csv, line 3, row 1 \(from 0\): the id '7' is also that of line 2, row 0 \(from 0\)"),
        ("long_row", r"long_row.csv, line 2, row 0 \(from 0\): it has 6 cells, but the header has 4 columns"),
    ],
)
def test_a_row_whose_gold_answer_is_in_doubt_is_refused(
    case: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        read_benchmark(str(TABLES / f"{case}.yaml"), None, "test")
    assert "official" not in str(error.value)
    assert main([str(TABLES / f"{case}.yaml"), "--check"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_null_is_no_answer() -> None:
    (sample,) = read_benchmark(str(TABLES / "jsonl_none.yaml"), None, "test")
    assert sample.answers == ("yes",)
    assert noticed() == {"empty answers among several were left out": 1}


# -------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("gap", ["", "  ", "NaN", "null", "<NA>"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_empty_option_before_another_is_refused_however_it_is_written(table: Any, gap: str, place: int) -> None:
    cells = ["One", "Two", "Three", "Four"]
    cells[place] = gap
    row = f"0.png,test,How many?,D,{','.join(cells)}"
    assert f'line 2, row 0 (from 0): "{OPTIONS[place]}" is empty before other' in table.refuse(
        f"{HEADER}\n{row}\n", choices=OPTIONS
    )
    tabs = f"{HEADER}\n{row}\n".replace(",", "\t")
    assert f'"{OPTIONS[place]}" is empty before other' in table.refuse(tabs, "t.tsv", choices=OPTIONS)


@pytest.mark.parametrize("gap", ["", " ", None, float("nan"), "nan"])
def test_an_empty_option_in_json_lines_is_refused_too(table: Any, gap: Any) -> None:
    columns = {"answer": "B", "a": gap, "b": "Two", "c": "One", "d": "None"}
    assert '"a" is empty before other' in table.refuse(lines(columns), "t.jsonl", choices=OPTIONS)
    listed = {"answer": "B", "options": ["One", gap, "Two"]}
    assert 'option B in "options" is empty before' in table.refuse(lines(listed), "t.jsonl", choices="options")


def test_a_gap_in_a_cell_of_several_options_is_refused(table: Any) -> None:
    header = "file,split,question,answer,options\n"
    assert 'option B in "options" is empty' in table.refuse(
        header + "0.png,test,How many?,B,One||Two\n", choices="options"
    )


def test_fewer_options_than_columns_are_fewer_options(table: Any) -> None:
    (sample,) = table.read(f"{HEADER}\n0.png,test,How many?,B,One,Two,,NaN\n", choices=OPTIONS)
    assert (sample.choices, sample.answers) == (("One", "Two"), ("Two",))
    rows = {"answer": "b", "options": ["One", "Two", None, ""]}
    (sample,) = table.read(lines(rows), "t.jsonl", choices="options")
    assert (sample.choices, sample.answers) == (("One", "Two"), ("Two",))
    for letter in "CD":
        sentence = table.refuse(f"{HEADER}\n0.png,test,How many?,{letter},One,Two,,\n", choices=OPTIONS)
        assert f"\"answer\" must be a letter of one of 2 options, not '{letter}', or the text of one" in sentence


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [("b", "Two"), (" B ", "Two"), ("(B)", "Two"), ("B.", "Two"), ("two", "Two"), ("Two", "Two"), ("None", "None")],
)
def test_a_gold_answer_is_a_letter_in_any_case_or_the_text_of_an_option(table: Any, answer: str, chosen: str) -> None:
    (sample,) = table.read(f"{HEADER}\n0.png,test,How many?,{answer},One,Two,Three,None\n", choices=OPTIONS)
    assert sample.answers == (chosen,)


def test_a_number_names_the_option_of_its_value(table: Any) -> None:
    (sample,) = table.read(f"{HEADER}\n0.png,test,How many?,2.0,1,2,3,4\n", choices=OPTIONS)
    assert sample.answers == ("2",)
    (sample,) = table.read(lines({"answer": 2.0, "options": [1.0, 2, "3"]}), "t.jsonl", choices="options")
    assert (sample.choices, sample.answers) == (("1", "2", "3"), ("2",))


@pytest.mark.parametrize(
    ("answer", "options", "sentence"),
    [
        ("A", "Upper,Upper,Lower,", "may be option A or option B"),  # two options with the same text
        ("upper", "Upper,upper.,Lower,", "may be option A or option B"),
        ("A", "B,A,C,", "may be option A or option B"),  # by letter or by text
        ("Middle", "Upper,Lower,,", "not 'Middle', or the text of one"),
        ("E", "Upper,Lower,,", "not 'E', or the text of one"),
        ("A", "Upper,,,", "options must be 2 to 26, not 1, the last 'Upper'"),
        ("B", ",,,", "is the letter 'B', but all options are empty"),
        ("", "Upper,Lower,,", '"answer" is empty'),
    ],
)
def test_an_answer_that_names_no_option_or_two_is_refused(table: Any, answer: str, options: str, sentence: str) -> None:
    content = f"{HEADER}\n0.png,test,Which?,{answer},{options}\n"
    assert "line 2, row 0 (from 0): " in table.refuse(content, choices=OPTIONS)
    assert sentence in table.refuse(content, choices=OPTIONS)


def test_signs_tell_a_blood_group_from_a_letter(table: Any) -> None:
    (sample,) = table.read(f"{HEADER}\n0.png,test,Which group?,A-,A+,A-,B+,O\n", choices=OPTIONS)
    assert sample.answers == ("A-",)


# -------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("text", ["None", "none", "N/A", "no"])
def test_none_is_an_answer_where_it_is_a_text(table: Any, text: str) -> None:
    (sample,) = table.read(f"file,split,question,answer\n0.png,test,Which abnormality?, {text} \n")
    assert sample.answers == (text,)
    (sample,) = table.read(lines({"answer": [text, None]}), "t.jsonl")
    assert sample.answers == (text,)


@pytest.mark.parametrize("answer", [None, float("nan"), "", " ", "NaN", [], [None], ["", None], "|"])
def test_a_question_without_an_answer_is_refused(table: Any, answer: Any) -> None:
    sentence = table.refuse(lines({"answer": "yes"}, {"answer": answer}), "t.jsonl")
    assert 'row 1 (from 0): "answer" is empty: a question needs an answer' in sentence


@pytest.mark.parametrize("answer", [True, [False], {"text": "yes"}, [["yes"]]])
def test_an_answer_is_a_text_or_a_number(table: Any, answer: Any) -> None:
    assert '"answer" must be a text or a number, not' in table.refuse(lines({"answer": answer}), "t.jsonl")


def test_a_missing_value_becomes_no_slice_called_nan(table: Any) -> None:
    rows = [{"answer": "yes", "ward": value} for value in (None, float("nan"), "NaN", "B2")]
    samples = table.read(lines(*rows), "t.jsonl", slices=["ward"])
    assert [sample.metadata["ward"] for sample in samples] == ["", "", "", "B2"]


# ------------------------------------------------------------------------------------------------------------------ ids


@pytest.mark.parametrize(("first", "second"), [(7, "7"), (7, 7.0), ("7", " 7 "), ("7", "7.0"), ("P1", "P1")])
def test_two_rows_with_one_id_are_refused_naming_both(table: Any, first: Any, second: Any) -> None:
    rows = lines({"answer": "yes", "n": first}, {"answer": "no", "n": "8"}, {"answer": "no", "n": second})
    sentence = table.refuse(rows, "t.jsonl", id="n")
    assert "row 2 (from 0): the id" in sentence
    assert "also that of row 0 (from 0)" in sentence


def test_an_id_may_not_come_again_in_another_split_of_the_file(table: Any) -> None:
    rows = lines({"answer": "yes", "n": 1, "split": "train"}, {"answer": "no", "n": 1})
    assert "also that of row 0" in table.refuse(rows, "t.jsonl", id="n")


@pytest.mark.parametrize("id", ["", None, float("nan")])
def test_an_empty_id_is_refused(table: Any, id: Any) -> None:
    assert '"n" must be a text or a number' in table.refuse(lines({"answer": "yes", "n": id}), "t.jsonl", id="n")
