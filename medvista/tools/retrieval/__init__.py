"""Passages of a corpus found by words or by meaning, and a corpus checked for the answers it must not hold."""

from medvista.tools.retrieval.corpus import Passage, read_corpus
from medvista.tools.retrieval.corpus_leakage import CorpusCheck, check_corpus, warn_of_leakage
from medvista.tools.retrieval.indexes import BM25Index, EmbeddingIndex, HybridIndex, Index

__all__ = [
    "BM25Index",
    "CorpusCheck",
    "EmbeddingIndex",
    "HybridIndex",
    "Index",
    "Passage",
    "check_corpus",
    "read_corpus",
    "warn_of_leakage",
]
