"""The tool that looks something up in a corpus of medical knowledge."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medvista.errors import UserError
from medvista.settings import RetrieveConfig
from medvista.tools.base import Tool
from medvista.tools.options import read_options
from medvista.tools.schema import ArgumentError, Bounds
from medvista.types import MedicalImage, ToolResult

if TYPE_CHECKING:  # loads torch and transformers, which a registered tool that nobody calls does not need
    from medvista.tools.retrieval import Index, Passage

MAX_PASSAGES = 10
SHOWN_CHARACTERS = 800  # of a passage
MIN_SIMILARITY = 0.25  # cosine below which a nearest passage is about something else

_SLAKE = Path("slake", "Slake1.0", "KG")


class Retrieve:
    """Look up medical knowledge, such as the function of an organ or the symptoms of a disease, in a reference corpus.

    Args:
        query: what to look up, in a few words.
        count: how many passages to show.
    """

    def __init__(self, config: RetrieveConfig | None = None) -> None:
        self.config = config or RetrieveConfig()
        self._passages: Sequence[Passage] = ()
        self._index: Index | None = None
        self._loading = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings travel to a worker; the corpus is read there."""
        return type(self), (self.config,)

    @property
    def passages(self) -> Sequence[Passage]:
        """The corpus, read."""
        self.load()
        return self._passages

    def load(self) -> None:
        """Read the corpus and build its index, once."""
        with self._loading:
            if self._index is None:
                self._passages, self._index = _load(self.config)

    def __call__(
        self, images: Sequence[MedicalImage], query: str, count: Annotated[int, Bounds(1, MAX_PASSAGES)] = 3
    ) -> ToolResult:
        """Look up one query."""
        query = " ".join(query.split())
        if not query:
            raise ArgumentError("query is empty; say what to look up.")
        self.load()
        assert self._index is not None
        found = self._index.search(query, count)
        if self.config.method == "embeddings":
            found = [(index, score) for index, score in found if score >= MIN_SIMILARITY]
        if not found:
            return ToolResult(text=f'Nothing was found for "{query}"; use other words.', data={"passages": 0})
        lines = [f"{rank}. {_quoted(self._passages[index])}" for rank, (index, _) in enumerate(found, start=1)]
        data = {
            "passages": len(found),
            "source": [self._passages[index].source for index, _ in found],
            "score": [round(score, 4) for _, score in found],
        }
        return ToolResult(text=f'Found for "{query}":\n' + "\n".join(lines), data=data)


def build_retrieve(**options: Any) -> Tool:
    """The tool, with the fields of `RetrieveConfig` as options.

    Raises:
        UserError: an option does not fit, or there is no corpus.
        ImportError: a package is missing.
    """
    config = read_options(RetrieveConfig, options)
    corpus_path(config)
    if config.method != "bm25":
        from medvista.tools.retrieval.sentence_encoder import packaged_model

        packaged_model()
    return Tool(Retrieve(config), name="retrieve")


def corpus_path(config: RetrieveConfig) -> Path:
    """Where the corpus is: as set, or SLAKE's knowledge graph under ``$MEDVISTA_DATA``.

    Raises:
        UserError: there is none.
    """
    if config.corpus:
        path = Path(config.corpus).expanduser()
        if not path.exists():
            raise UserError(f"there is no corpus {path}; set its option corpus to a folder of .txt, .md or .jsonl")
        return path
    root = os.environ.get("MEDVISTA_DATA")
    if root and (Path(root).expanduser() / _SLAKE).is_dir():
        return Path(root).expanduser() / _SLAKE
    raise UserError(
        f"it has no corpus; set its option corpus to a folder of .txt, .md or .jsonl, or MEDVISTA_DATA to the folder "
        f"that holds {_SLAKE}"
    )


def _load(config: RetrieveConfig) -> tuple[Sequence[Passage], Index]:
    from medvista.tools.retrieval import BM25Index, EmbeddingIndex, HybridIndex, read_corpus

    passages = read_corpus(corpus_path(config), config.passage_words)
    if config.method == "bm25":
        return passages, BM25Index(passages)
    from medvista.tools.checkpoints import pick_device
    from medvista.tools.retrieval.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder(pick_device(config.device))
    vectors = encoder.encode_kept([str(passage) for passage in passages], Path(config.cache))
    by_meaning = EmbeddingIndex(encoder, vectors)
    return passages, by_meaning if config.method == "embeddings" else HybridIndex([BM25Index(passages), by_meaning])


def _quoted(passage: Passage) -> str:
    text = str(passage)
    shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} ..."
    return f"{shown} ({passage.source})"
