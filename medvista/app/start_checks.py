"""What a run warns of before it begins: evaluated answers in a corpus, names and dates burned in images."""

from __future__ import annotations

from medvista.app.build import Parts
from medvista.errors import UserError
from medvista.types import VQASample


def warn_at_start(parts: Parts) -> None:
    """Log what a person should know before anything is spent on a run, or its numbers are believed.

    The corpus of the tool `retrieve` is searched for the questions that are evaluated, test questions too: nothing is
    chosen with them. ``env.burned_in_text`` images are looked at for text that may identify a patient.

    Raises:
        UserError: the corpus or an image cannot be read, or a package for reading images is missing.
    """
    if "retrieve" in parts.config.env.tools:
        _search_corpus(parts)
    if parts.config.env.burned_in_text:
        _look_for_identifiers(parts)


def _search_corpus(parts: Parts) -> None:
    from medvista.tools.builtin.retrieve import corpus_path
    from medvista.tools.retrieval import check_corpus, read_corpus, warn_of_leakage

    settings = parts.config.env.retrieve
    corpus = read_corpus(corpus_path(settings), settings.passage_words)
    warn_of_leakage(check_corpus(corpus, _evaluated(parts)))


def _look_for_identifiers(parts: Parts) -> None:
    from medvista.tools.burned_in_text import warn_of_identifiers

    shown = [*parts.train, *_evaluated(parts)] if parts.config.task == "train" else _evaluated(parts)
    try:
        warn_of_identifiers(shown, limit=parts.config.env.burned_in_text)
    except ImportError as error:
        raise UserError(
            f"env.burned_in_text reads images with rapidocr ({error}): pip install medvista[tools]"
        ) from None


def _evaluated(parts: Parts) -> list[VQASample]:
    """The questions whose accuracy will be reported."""
    splits = [parts.test, parts.validation] if parts.config.task == "train" else [parts.test]
    return [sample for split in splits for samples in split.values() for sample in samples]
