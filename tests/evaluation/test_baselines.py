"""Baselines answer without the image, from train alone."""

from pathlib import Path
from typing import Literal

import pytest

from medvista.data.slake import read_slake
from medvista.errors import UserError
from medvista.evaluation.playing.guessers import MajorityAnswer, QuestionLookup
from medvista.functional.text import exact_match
from medvista.types import VQASample


def ask(
    question: str, answer: str, kind: Literal["closed", "open", "choice"] = "open", choices: tuple[str, ...] = ()
) -> VQASample:
    return VQASample(
        id=question,
        benchmark="toy",
        split="train",
        question=question,
        answers=(answer,),
        images=(),
        group_id="1",
        choices=choices,
        answer_type=kind,
    )


TRAIN = [
    ask("Which organ?", "Lung"),
    ask("Which organ?", "Liver"),
    ask("Which organ?", "Liver"),
    ask("Which plane?", "Axial"),
    ask("Is it normal?", "No", "closed"),
    ask("Is it large?", "Yes", "closed"),
    ask("Is it small?", "No", "closed"),
    ask("Is it round?", "No", "closed"),
]


def test_the_majority_answer_depends_on_the_answer_type_only() -> None:
    questions = [ask("Which side?", "Left"), ask("Is it large?", "Yes", "closed")]
    assert MajorityAnswer.fit(TRAIN).predict(questions) == ["Liver", "No"]


def test_an_answer_type_unseen_in_train_gets_the_most_frequent_answer_of_all() -> None:
    assert MajorityAnswer.fit(TRAIN).predict([ask("Which?", "x", "choice", ("x", "y"))]) == ["No"]


def test_the_lookup_answers_what_train_asked_and_falls_back_to_the_majority() -> None:
    questions = [
        ask("Which plane?", "?"),
        ask("Which organ?", "?"),
        ask("Which side?", "?"),
        ask("Is it?", "?", "closed"),
    ]
    assert QuestionLookup.fit(TRAIN).predict(questions) == ["Axial", "Liver", "Liver", "No"]


def test_choices_are_guessed_by_letter_unless_the_known_answer_is_an_option() -> None:
    train = [
        ask("Which side?", "left", "choice", ("right", "left")),
        ask("Which organ?", "liver", "choice", ("lung", "liver")),
        ask("Which plane?", "axial", "choice", ("axial", "coronal")),
    ]
    questions = [
        ask("Which side?", "left", "choice", ("left", "right")),
        ask("Which organ?", "heart", "choice", ("spleen", "heart")),
    ]
    assert MajorityAnswer.fit(train).predict(questions) == ["B", "B"]
    assert QuestionLookup.fit(train).predict(questions) == ["left", "B"]


def test_baselines_need_train_questions() -> None:
    with pytest.raises(UserError, match="needs train questions"):
        QuestionLookup.fit([])


def test_the_lookup_scores_about_53_6_percent_on_the_english_slake_test_split(data_root: Path) -> None:
    test = read_slake(data_root, "test")
    predictions = QuestionLookup.fit(read_slake(data_root, "train")).predict(test)
    right = sum(exact_match(guess, sample.answers) for guess, sample in zip(predictions, test, strict=True))
    assert right / len(test) == pytest.approx(0.536, abs=0.005)
