"""Each benchmark reports the numbers of its paper, each over the questions it is about."""

import math

import numpy as np
import pytest

from medvista.data.registry import BENCHMARKS
from medvista.errors import UserError
from medvista.evaluation.numbers.benchmark_scoring import benchmark_scoring
from medvista.metrics import SCORINGS, BenchmarkScores, Measure, scoring_for
from medvista.metrics.measures import ACCURACY, each
from medvista.types import VQASample


def question(answer: str, kind: str = "open", choices: tuple[str, ...] = (), number: int = 0) -> VQASample:
    return VQASample(
        id=f"{answer}{number}",
        benchmark="b",
        split="test",
        question="?",
        answers=(answer,),
        choices=choices,
        images=(),
        group_id="1",
        answer_type=kind,  # type: ignore[arg-type]
    )


LUNGS = ("right lung", "left lung")
CLOSED, OPEN, CHOICE = question("yes", "closed"), question("left lower lobe"), question("left lung", "choice", LUNGS)


def test_every_benchmark_that_can_be_read_has_a_scoring_with_exact_match_as_its_headline() -> None:
    assert SCORINGS.keys() == {benchmark.scoring for benchmark in BENCHMARKS.values()}
    for name in BENCHMARKS:
        scoring = benchmark_scoring(name)
        assert (scoring.benchmark, scoring.headline) == (name, "accuracy")
        assert "arXiv" in scoring.source or "doi" in scoring.source
        assert all(measure.source and measure.meaning for measure in scoring.measures)


def test_a_benchmark_of_ones_own_has_the_measures_of_every_answer_type() -> None:
    scoring = scoring_for("my_hospital")
    assert scoring.benchmark == "my_hospital"
    found = scoring.means(["yes", "left lobe", "B"], [CLOSED, OPEN, CHOICE])
    assert found == pytest.approx(
        {
            "accuracy": 2 / 3,
            "closed_accuracy": 1.0,
            "choice_accuracy": 1.0,
            "open_exact": 0.0,
            "open_recall": 2 / 3,
            "open_f1": 4 / 5,
            "open_bleu_1": math.exp(1 - 3 / 2),
        }
    )


def test_a_measure_says_nothing_of_questions_it_is_not_about() -> None:
    scores = scoring_for("vqa_rad").score([None, "left lobe"], [CLOSED, OPEN])
    assert np.isnan(scores["open_recall"]).tolist() == [True, False]
    assert np.isnan(scores["closed_accuracy"]).tolist() == [False, True]
    assert scores["accuracy"].tolist() == [0.0, 0.0]
    assert "choice_accuracy" not in scores
    assert "open_recall" not in scoring_for("vqa_rad").means(["yes"], [CLOSED])


def test_published_numbers_stand_beside_the_strict_one() -> None:
    said = "We are sure that the answer here is B"
    assert scoring_for("medxpertqa_mm").means([said], [CHOICE]) == {"accuracy": 0.0, "first_letter": 1.0}
    assert scoring_for("mmmu_med").means([said], [CHOICE]) == {
        "accuracy": 0.0,
        "choice_accuracy": 0.0,
        "mmmu_choice": 1.0,
    }
    assert scoring_for("pmc_vqa").means(["left lungs"], [CHOICE]) == {"accuracy": 0.0, "most_similar_option": 1.0}
    assert scoring_for("vqa_rad").means(["Yes, it is"], [CLOSED]) == {
        "accuracy": 0.0,
        "closed_accuracy": 0.0,
        "closed_contained": 1.0,
    }


def test_batches_add_up_to_the_whole() -> None:
    predictions, samples = ["no", "left lobe", "lower lobe", None], [CLOSED, OPEN, OPEN, OPEN]
    metric = BenchmarkScores("slake")
    metric.update(predictions[:1], samples[:1])
    metric.update([], [])
    metric.update(predictions[1:], samples[1:])
    expected = scoring_for("slake").means(predictions, samples)
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(expected)


def test_a_measure_of_ones_own_joins_the_others() -> None:
    length = Measure(name="length", meaning="letters", source="here", score=each(lambda said, sample: len(said) / 10))
    assert scoring_for("slake").with_measures(length).means(["abc"], [OPEN])["length"] == 0.3
    with pytest.raises(UserError, match="different names"):
        scoring_for("slake").with_measures(ACCURACY)


def test_predictions_and_questions_have_to_pair() -> None:
    with pytest.raises(ValueError, match="one prediction a question, got 1 for 2"):
        scoring_for("slake").score(["yes"], [CLOSED, OPEN])
