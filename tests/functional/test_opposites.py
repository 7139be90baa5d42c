"""Sides, signs and opposites are told apart before any lenient score is asked."""

import json
from pathlib import Path

import pytest

from medvista.functional.opposites import opposed

TABLE = [
    json.loads(line)
    for line in Path(__file__).with_name("tricky_predictions.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("left lung", "right lung"),
        ("lung", "left lung"),
        ("left and right lung", "left lung"),
        ("right lung, not the left one", "right lung"),
        ("RUL", "left upper lobe"),
        ("no effusion", "effusion"),
        ("There isn't an effusion", "effusion"),
        ("yes", "no"),
        ("free of effusion", "effusion"),
        ("asymmetric", "symmetric"),
        ("abnormal", "normal"),
        ("unremarkable heart", "remarkable heart"),
        ("nondisplaced fracture", "displaced fracture"),
        ("hypodense lesion", "hyperdense lesion"),
        ("upper lobe", "lower lobe"),
        ("malignant", "benign"),
        ("AP view", "PA view"),
        ("T1", "T2"),
        ("effusion is ruled out", "effusion"),
        ("effusion is excluded", "effusion"),
        ("fails to show effusion", "effusion"),
        ("ipsilateral", "contralateral"),
        ("supratentorial", "infratentorial"),
        ("internal carotid", "external carotid"),
        ("ascending colon", "descending colon"),
        ("abduction", "adduction"),
        ("increase in size", "decrease in size"),
        ("左肺", "右肺"),
        ("没有积液", "有积液"),
    ],
)
def test_another_side_or_sign_is_opposed_whichever_is_the_answer(prediction: str, answer: str) -> None:
    assert opposed(prediction, answer)
    assert opposed(answer, prediction)


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("the left lung", "Left Lung"),
        ("in both lungs", "bilateral lungs"),
        ("left and right", "bilateral"),
        ("RUL", "right upper lobe"),
        ("no effusion was seen", "absence of effusion"),
        ("cardiac", "heart"),
        ("from the upper to the lower lobe", "lower and upper lobe"),
        ("a mass", "mass"),
        ("effusion is ruled out", "no effusion"),
        ("increasing pressure", "increased pressure"),
        ("dense", "hyperdense"),  # more or less said, not the opposite
        ("", ""),
    ],
)
def test_other_words_for_the_same_are_not_opposed(prediction: str, answer: str) -> None:
    assert not opposed(prediction, answer)


@pytest.mark.parametrize("row", [row for row in TABLE if row["right"] and not row["choices"]], ids=lambda r: r["why"])
def test_nothing_labelled_right_is_opposed_to_its_answer(row: dict) -> None:
    assert not any(opposed(row["prediction"], answer) for answer in row["answers"][-1:])


def test_of_the_labelled_sides_and_signs_only_other_words_for_the_same_are_not_opposed() -> None:
    rows = [row for row in TABLE if row["topic"] in ("laterality", "negation") and not row["right"]]
    pairs = [(row["prediction"], row["answers"][0]) for row in rows]
    assert [pair for pair in pairs if not opposed(*pair)] == [
        ("left", "left lung"),
        ("left-sided", "left"),
        ("RUL", "right upper lobe"),
        ("patient's left", "left"),
        ("absence of effusion", "no effusion"),
        ("no evidence of effusion", "no effusion"),
    ]
