"""The scorer follows a table of tricky predictions that was labelled by hand before the scorer was written."""

import json
from collections import Counter
from pathlib import Path

import pytest

from medvista.functional.text import exact_match

TABLE = [
    json.loads(line)
    for line in Path(__file__).with_name("tricky_predictions.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(
    "row", TABLE, ids=lambda row: f"{row['topic']}: {row['prediction']!r} for {row['answers'][0]!r}"
)
def test_a_tricky_prediction_scores_as_labelled_by_hand(row: dict) -> None:
    assert exact_match(row["prediction"], row["answers"], row["choices"]) is row["right"], row["why"]


def test_the_table_covers_what_goes_wrong_in_the_field() -> None:
    topics = Counter(row["topic"] for row in TABLE)
    assert topics.keys() == {
        *("units", "numbers", "plurals", "yes/no", "options", "laterality", "negation"),
        *("synonyms", "hedges", "empty", "unicode"),
    }
    assert topics.total() >= 60
    assert sum(row["right"] for row in TABLE) >= 60  # a scorer that says no to everything would not do


@pytest.mark.parametrize("row", [row for row in TABLE if row["right"]], ids=lambda row: repr(row["prediction"]))
def test_what_is_right_stays_right_only_for_its_own_answer(row: dict) -> None:
    others = [choice for choice in row["choices"] if choice != row["answers"][0]] or ["something else"]
    if row["answers"][0] in row["choices"]:
        assert not any(exact_match(row["prediction"], [other], row["choices"]) for other in others)
    elif not row["choices"]:
        assert not exact_match(row["prediction"], others)
