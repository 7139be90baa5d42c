"""Passages ranked for a query: by words (BM25), by meaning (embeddings), or by both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from medvista.tools.retrieval.corpus import Passage

if TYPE_CHECKING:  # loads transformers, which BM25 does without
    from medvista.tools.retrieval.sentence_encoder import SentenceEncoder

FUSION = 60  # reciprocal rank fusion: the constant of its paper (Cormack et al. 2009)


class Index(Protocol):
    """Passages, ranked for a query."""

    def search(self, query: str, count: int) -> list[tuple[int, float]]:
        """The best passages: their index in the corpus and a score, best first; fewer where fewer match."""


class BM25Index:
    """Words in common, rare ones counting more (BM25 of Lucene, through bm25s).

    Args:
        passages: the corpus.

    Raises:
        ImportError: bm25s is not installed.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        import bm25s

        self._bm25s: Any = bm25s
        self._index: Any = bm25s.BM25(method="lucene")
        self._index.index(self._tokens([_by_words(passage) for passage in passages]), show_progress=False)
        self._size = len(passages)

    def search(self, query: str, count: int) -> list[tuple[int, float]]:
        """The passages that share a word with the query."""
        tokens = self._tokens([query])
        if not tokens[0]:
            return []  # nothing but stop words
        found, scores = self._index.retrieve(tokens, k=min(count, self._size), show_progress=False)
        pairs = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return [(int(index), float(score)) for index, score in pairs if score > 0]

    def _tokens(self, texts: Sequence[str]) -> list[list[str]]:
        tokens: list[list[str]] = self._bm25s.tokenize(
            list(texts), stopwords="en", stemmer=_singular, return_ids=False, show_progress=False
        )
        return tokens


class EmbeddingIndex:
    """Similar meaning: cosine of sentence embeddings.

    Args:
        encoder: texts to unit vectors.
        embeddings: of the corpus, ``[passages, width]`` float32, unit length.
    """

    def __init__(self, encoder: SentenceEncoder, embeddings: np.ndarray) -> None:
        self._encoder = encoder
        self._embeddings = embeddings

    def search(self, query: str, count: int) -> list[tuple[int, float]]:
        """The passages nearest in meaning; there is always a nearest one, so read the score."""
        scores = self._embeddings @ self._encoder.encode([query])[0]
        best = np.argsort(-scores, kind="stable")[:count]
        return [(int(index), float(scores[index])) for index in best]


class HybridIndex:
    """Several rankings fused by the ranks they give: 1 / (60 + rank), summed."""

    def __init__(self, indexes: Sequence[Index]) -> None:
        self._indexes = tuple(indexes)

    def search(self, query: str, count: int) -> list[tuple[int, float]]:
        """The passages that rank high anywhere, and highest those that rank high everywhere."""
        fused: dict[int, float] = {}
        for index in self._indexes:
            for rank, (passage, _) in enumerate(index.search(query, max(count, 50)), start=1):
                fused[passage] = fused.get(passage, 0.0) + 1 / (FUSION + rank)
        return sorted(fused.items(), key=lambda item: (-item[1], item[0]))[:count]


def _singular(words: list[str]) -> list[str]:
    """Plurals and singulars made alike, which is most of what a stemmer does for nouns."""
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words]


def _by_words(passage: Passage) -> str:
    """What BM25 searches: a title that the text begins with counts twice, since the passage is about it."""
    return f"{passage.title}. {passage.text}" if passage.title else passage.text
