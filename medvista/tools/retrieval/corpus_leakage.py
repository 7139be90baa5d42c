"""Does a corpus hold the very answers that are evaluated?"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medvista.tools.retrieval.corpus import Passage
from medvista.types import VQASample

log = logging.getLogger(__name__)

NEAR = 0.8  # share of a question's content words that makes a passage a paraphrase of it
MIN_WORDS = 3  # content words a question must have for such a paraphrase to mean anything

_STOP_WORDS = frozenset(
    {
        *("a", "an", "and", "any", "are", "at", "be", "been", "by", "can", "could", "did", "do", "does"),
        *("for", "from", "has", "have", "how", "in", "is", "it", "its", "many", "may", "much", "of", "on"),
        *("or", "shown", "seen", "picture", "image", "images", "that", "the", "there", "these", "this"),
        *("to", "was", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would"),
        *("you"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusCheck:
    """Evaluated questions whose answer stands beside them in a passage."""

    samples: int  # questions checked
    verbatim: tuple[str, ...]  # ids: one passage holds the question word for word, and an accepted answer
    near: tuple[str, ...]  # ids, beyond those: one passage holds most of its content words, and an accepted answer

    @property
    def share(self) -> float:
        """Share of questions contained in either way."""
        return (len(self.verbatim) + len(self.near)) / self.samples if self.samples else 0.0

    def __str__(self) -> str:
        return (
            f"{len(self.verbatim)} of {self.samples} evaluated questions stand word for word beside their answer in "
            f"the corpus, {len(self.near)} more in other words ({100 * self.share:.2g} % in all)"
        )


def check_corpus(corpus: Sequence[Passage], samples: Sequence[VQASample]) -> CorpusCheck:
    """Look for evaluated question-and-answer pairs in a corpus.

    A passage holds a pair word for word when it has the question's words in order and, elsewhere, an accepted answer;
    in other words, when it has at least 80 % of the question's content words (three or more) and an answer. Plain
    knowledge, such as "liver: function: ...", has neither and counts for nothing, as it should. Case, accents and
    punctuation do not matter.

    Args:
        corpus: what a policy may retrieve.
        samples: what it is evaluated on.
    """
    texts = [f" {' '.join(_words(f'{passage.title} {passage.text}'))} " for passage in corpus]
    postings: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        for word in set(text.split()):
            postings[word].append(index)
    verbatim: list[str] = []
    near: list[str] = []
    for sample in samples:
        verdict = _verdict(sample, texts, postings)
        if verdict:
            (verbatim if verdict == "verbatim" else near).append(sample.id)
    return CorpusCheck(samples=len(samples), verbatim=tuple(verbatim), near=tuple(near))


def warn_of_leakage(check: CorpusCheck) -> None:
    """Log a warning where a check found something."""
    if check.verbatim or check.near:
        first = ", ".join((*check.verbatim, *check.near)[:5])
        log.warning("%s, for instance %s; take them out of the corpus, or do not report these questions", check, first)


def _verdict(sample: VQASample, texts: Sequence[str], postings: dict[str, list[int]]) -> str:
    """How the corpus holds a sample: ``"verbatim"``, ``"near"`` or not at all, ``""``."""
    question = _words(sample.question)
    content = {word for word in question if word not in _STOP_WORDS}
    answers = [f" {' '.join(words)} " for answer in sample.answers if (words := _words(answer))]
    whole = f" {' '.join(question)} "
    counts = Counter(index for word in content for index in postings.get(word, ()))
    # A question of stop words only has no content to look up: every passage is a candidate.
    candidates: Iterable[int] = counts if content else range(len(texts))
    best = ""
    for index in candidates:
        text = texts[index]
        rest = text.replace(whole, " | ", 1)
        if rest != text and any(answer in rest for answer in answers):
            return "verbatim"
        enough = len(content) >= MIN_WORDS and counts[index] >= NEAR * len(content)
        if enough and any(answer in _without(text, content) for answer in answers):
            best = "near"
    return best


def _without(text: str, words: set[str]) -> str:
    """The text without the question's words.

    An answer that the question names itself ("is it the left or the right?") is none that the passage gives.
    """
    return f" {' '.join('|' if word in words else word for word in text.split())} "


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower())
    return re.findall(r"\w+", "".join(char for char in plain if not unicodedata.combining(char)))
