"""Measures of finished episodes, and what several samples of a question are worth, by hand."""

from dataclasses import replace

import pytest

from medvista.evaluation.numbers.arm_scores import arm_score
from medvista.evaluation.numbers.benchmark_measures import measured, measured_at_k
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.tables.measure_tables import calibration_tables, column_meanings
from medvista.metrics import scoring_for
from medvista.types import Completion, FinalAnswer, Observation, ParseError, Trajectory, Turn, VQASample


def episode(number: int, answer: str, gold: str = "heart", kind: str = "open") -> Trajectory:
    sample = VQASample(
        id=str(number),
        benchmark="slake",
        split="test",
        question="?",
        answers=(gold,),
        images=(),
        group_id=f"image{number // 2}",
        answer_type=kind,  # type: ignore[arg-type]
    )
    turn = Turn(completion=Completion(token_ids=(), log_probs=(), text=""), action=FinalAnswer(text=answer))
    return Trajectory(sample=sample, observation=Observation(text=""), turns=(turn,))


def test_a_measure_is_the_mean_over_its_questions_clustered_by_image() -> None:
    episodes = [episode(0, "heart"), episode(1, "liver"), episode(2, "left heart"), episode(3, "no", "yes", "closed")]
    found = measured(episodes, scoring_for("slake"))
    assert (found["accuracy"].n, found["accuracy"].mean) == (4, 0.25)
    assert (found["open_recall"].n, found["open_recall"].mean) == (3, pytest.approx(2 / 3))
    assert (found["closed_accuracy"].n, found["closed_accuracy"].mean) == (1, 0.0)
    assert found["closed_accuracy"].ci95[1] > 0.5  # one image says little


def test_samples_of_a_question_are_counted_together_in_any_order() -> None:
    episodes = [episode(n, answer) for answer in ("heart", "liver", "Heart") for n in (0, 2)]
    episodes[1] = episode(2, "liver")  # right once of three times, the first question twice
    found = measured_at_k(episodes, [1, 3, 4, 3])
    assert {name: value.mean for name, value in found.items()} == pytest.approx(
        {"pass@1": 1 / 2, "majority@1": 1 / 2, "pass@3": 1.0, "majority@3": 1 / 2}
    )
    assert all(value.n == 2 for value in found.values())
    assert measured_at_k([], [1]) == {}


def silent(number: int) -> Trajectory:
    """An episode that ended without an answer."""
    answered = episode(number, "heart")
    said_nothing = replace(answered.turns[0], action=ParseError(message="neither a call nor an answer"))
    return replace(answered, turns=(said_nothing,))


def test_an_arm_that_abstains_is_told_by_how_much_it_answers_and_how_often_that_is_right() -> None:
    score = arm_score([episode(0, "heart"), episode(1, "liver"), episode(2, "heart"), silent(3)])
    assert (score.accuracy, score.answered_rate, score.accuracy_answered) == (0.5, 0.75, pytest.approx(2 / 3))
    assert arm_score([silent(0)]).accuracy_answered is None
    arms = {"sure": {"slake": {"greedy": arm_score([episode(0, "heart")])}}, "policy": {"slake": {"greedy": score}}}
    results = Results(experiment="e", seeds=(0,), arms=arms)
    (table,) = calibration_tables(results)
    assert list(column_meanings(results))[-2:] == ["answered", "accuracy_answered"]
    assert column_meanings(results)["open_recall"] == "share of the answer's words that are said"
    assert (table.header, table.rows) == (("arm", "answered", "accuracy_answered"), (("policy", "0.750", "0.667"),))


def test_the_columns_keep_their_order_where_the_first_arm_lacks_one() -> None:
    never = replace(arm_score([episode(0, "liver")]), calibration={"ece": 0.4, "aurc": 1.0})
    policy = replace(never, calibration={"ece": 0.1, "auroc": 0.9, "aurc": 0.2})
    arms = {"never": {"slake": {"greedy": never}}, "policy": {"slake": {"greedy": policy}}}
    (table,) = calibration_tables(Results(experiment="e", seeds=(0,), arms=arms))
    assert table.header == ("arm", "answered", "accuracy_answered", "ece", "auroc", "aurc")
    assert table.rows[0][-2:] == ("–", "1.000")
