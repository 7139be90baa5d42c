"""What a run warns of before it begins: evaluated answers in a corpus, names and dates burned in images."""

from __future__ import annotations

from medvista.app.questions import Questions
from medvista.errors import UserError


def warn_at_start(questions: Questions) -> None:
    """Log what a person should know before anything is spent on a run, or its numbers are believed.

    The corpus of the tool `retrieve` is searched for the questions that are evaluated, test questions too: nothing is
    chosen with them. ``env.burned_in_text`` images are looked at for text that may identify a patient.

    Raises:
        UserError: the corpus or an image cannot be read, or a package for reading images is missing.
    """
    if "retrieve" in questions.config.env.tools:
        _search_corpus(questions)
    if questions.config.env.burned_in_text:
        _look_for_identifiers(questions)


def _search_corpus(questions: Questions) -> None:
    from medvista.tools.builtin.retrieve import corpus_path
    from medvista.tools.retrieval import check_corpus, read_corpus, warn_of_leakage

    settings = questions.config.env.retrieve
    corpus = read_corpus(corpus_path(settings), settings.passage_words)
    warn_of_leakage(check_corpus(corpus, questions.evaluated()))


def _look_for_identifiers(questions: Questions) -> None:
    from medvista.tools.burned_in_text import warn_of_identifiers

    trained_on = questions.train if questions.config.task == "train" else []
    shown = [*trained_on, *questions.evaluated()]
    try:
        warn_of_identifiers(shown, limit=questions.config.env.burned_in_text)
    except ImportError as error:
        raise UserError(
            f"env.burned_in_text reads images with rapidocr ({error}): pip install medvista[tools]"
        ) from None
