"""Calibration and selective answering agree with reference implementations and with numbers worked out by hand."""

from itertools import permutations
from math import log

import numpy as np
import pytest
import torch

from medvista.functional.calibration import (
    abstention,
    accuracy_at_coverage,
    answer_log_prob,
    brier_score,
    calibration_bins,
    calibration_summary,
    confidence_auroc,
    expected_calibration_error,
    risk_coverage,
)
from medvista.parsing import parse_action
from medvista.types import Completion, Observation, StopReason, Trajectory, Turn, VQASample


def outcomes(n: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, (rng.random(n) < confidence**2).astype(float)


@pytest.mark.parametrize("bins", [5, 15])
def test_the_calibration_error_agrees_with_torchmetrics(bins: int) -> None:
    reference = pytest.importorskip("torchmetrics.functional.classification").binary_calibration_error
    confidence, correct = outcomes()
    theirs = reference(torch.tensor(confidence), torch.tensor(correct).long(), n_bins=bins, norm="l1")
    assert expected_calibration_error(confidence, correct, bins=bins) == pytest.approx(float(theirs), abs=1e-6)


def test_brier_and_auroc_agree_with_sklearn_ties_included() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    confidence, correct = outcomes()
    confidence = confidence.round(1)
    assert brier_score(confidence, correct) == pytest.approx(metrics.brier_score_loss(correct, confidence))
    assert confidence_auroc(confidence, correct) == pytest.approx(metrics.roc_auc_score(correct, confidence))
    assert confidence_auroc([0.2, 0.3], [1, 1]) is None


def test_the_reliability_diagram_agrees_with_sklearn() -> None:
    curve = pytest.importorskip("sklearn.calibration").calibration_curve
    confidence, correct = outcomes()
    accuracy, mean = curve(correct, confidence, n_bins=10)
    bins = [b for b in calibration_bins(confidence, correct, bins=10) if b is not None]
    assert [b.accuracy for b in bins] == pytest.approx(list(accuracy))
    assert [b.confidence for b in bins] == pytest.approx(list(mean))
    assert sum(b.n for b in bins) == len(correct)


def test_confidences_of_0_and_1_lie_in_the_outer_bins() -> None:
    bins = calibration_bins([0.0, 0.5, 1.0], [0, 1, 1], bins=2)
    assert bins == [(2, 0.25, 0.5), (1, 1.0, 1.0)]


def test_risk_and_coverage_by_hand() -> None:
    curve = risk_coverage([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert curve.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_equal_confidences_give_the_mean_over_all_their_orders() -> None:
    confidence, correct = [0.9, 0.5, 0.5, 0.5, 0.1], np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    areas = []
    for middle in permutations([1, 2, 3]):
        errors = 1 - correct[[0, *middle, 4]]
        areas.append((np.cumsum(errors) / np.arange(1, 6)).mean())
    assert risk_coverage(confidence, correct).area == pytest.approx(np.mean(areas))


def test_a_constant_confidence_is_worth_nothing_and_a_perfect_one_all() -> None:
    correct = [1, 0, 1, 1, 0]
    assert risk_coverage([0.5] * 5, correct).area == pytest.approx(2 / 5)
    perfect = calibration_summary([0.9, 0.1, 0.8, 0.7, 0.2], correct)
    assert perfect["aurc_excess"] == pytest.approx(0)
    assert perfect["auroc"] == 1.0
    assert perfect["accuracy_at_80"] == 3 / 4


def test_coverage_is_counted_from_the_most_confident() -> None:
    confidence, correct = [0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]
    assert accuracy_at_coverage(confidence, correct, 0.5) == 1.0
    assert accuracy_at_coverage(confidence, correct, 1.0) == 0.5
    assert accuracy_at_coverage(confidence, correct, 0.01) == 1.0  # one question at least
    with pytest.raises(ValueError, match="coverage"):
        accuracy_at_coverage(confidence, correct, 0.0)


def test_abstention_by_hand() -> None:
    assert abstention([True, True, False, True], [True, False, False, True]) == (0.75, pytest.approx(2 / 3))
    assert abstention([False], [False]) == (0.0, None)


@pytest.mark.parametrize(("confidence", "correct"), [([1.2], [1]), ([float("nan")], [1]), ([], []), ([0.5], [1, 0])])
def test_what_is_no_probability_is_refused(confidence: list, correct: list) -> None:
    with pytest.raises(ValueError, match=r"probabilities|one confidence"):
        expected_calibration_error(confidence, correct)


TOKENS = {
    1: "<think>It is on the ",
    2: "left.</think>",
    3: "<answer>",
    4: "left",
    5: " lung",
    6: "</answer>",
    7: "<end>",
}


def episode(*ids: int, log_probs: tuple[float, ...] | None = None) -> Trajectory:
    text = "".join(TOKENS[i] for i in ids if i != 7)
    scores = tuple(log(i / 10) for i in ids) if log_probs is None else log_probs
    turn = Turn(completion=Completion(token_ids=ids, log_probs=scores, text=text), action=parse_action(text))
    sample = VQASample(
        id="1", benchmark="b", split="test", question="?", answers=("left lung",), images=(), group_id="1"
    )
    return Trajectory(sample=sample, observation=Observation(text=""), turns=(turn,), stop_reason=StopReason.ANSWERED)


def decode(ids: tuple[int, ...]) -> str:
    return "".join(TOKENS[i] for i in ids)


def test_the_probability_of_an_answer_is_that_of_its_tokens_and_of_the_one_that_closes_it() -> None:
    found = answer_log_prob(episode(1, 2, 3, 4, 5, 6, 7), decode)
    assert found is not None
    assert found.tokens == 3
    assert found.probability == pytest.approx(0.4 * 0.5 * 0.6)
    assert found.per_token == pytest.approx((0.4 * 0.5 * 0.6) ** (1 / 3))


def test_an_answer_that_shares_tokens_with_its_tags_is_read_too() -> None:
    pieces = {1: "<ans", 2: "wer>le", 3: "ft</", 4: "answer>"}
    turn = Turn(
        completion=Completion(token_ids=(1, 2, 3, 4), log_probs=(-1.0, -2.0, -4.0, -8.0), text="<answer>left</answer>"),
        action=parse_action("<answer>left</answer>"),
    )
    found = answer_log_prob(
        Trajectory(sample=episode(3, 4, 6).sample, observation=Observation(text=""), turns=(turn,)),
        lambda ids: "".join(pieces[i] for i in ids),
    )
    assert found == (-6.0, 2)


def test_without_an_answer_or_its_tokens_there_is_no_probability() -> None:
    assert answer_log_prob(episode(1, 2), decode) is None
    assert answer_log_prob(episode(3, 4, 6, log_probs=()), decode) is None
