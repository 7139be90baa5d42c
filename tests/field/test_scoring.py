"""Answers as models in the field write them: in LaTeX, in full-width letters, the letter behind the text."""

import json
from collections import Counter
from pathlib import Path

import pytest

from medvista.functional.text import exact_match
from medvista.functional.voting import vote

TABLE = [
    json.loads(line)
    for line in Path(__file__).with_name("scoring_predictions.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['topic']}: {row['prediction']!r}, {row['right']}")
def test_a_wrapped_answer_scores_as_labelled_by_hand(row: dict) -> None:
    assert exact_match(row["prediction"], row["answers"], row["choices"]) is row["right"], row["why"]


@pytest.mark.parametrize("row", [row for row in TABLE if row["choices"]], ids=lambda row: repr(row["prediction"]))
def test_a_prediction_is_right_for_one_option_at_most(row: dict) -> None:
    assert sum(exact_match(row["prediction"], [choice], row["choices"]) for choice in row["choices"]) <= 1


def test_the_table_has_both_kinds_of_every_topic() -> None:
    kinds = Counter((row["topic"], row["right"]) for row in TABLE)
    assert len(TABLE) >= 80
    assert all(kinds[topic, right] >= 5 for topic, _ in kinds for right in (True, False))


def test_wrapped_votes_are_votes_for_the_same_option() -> None:
    lungs = ["left lung", "right lung"]
    assert {vote(said, lungs) for said in (r"\(\boxed{B}\)", "（Ｂ）", "right lung, B", "right lung")} == {1}
    assert vote(r"\boxed{\text{heart}}") == vote("**heart**") == "heart"
