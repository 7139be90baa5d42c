"""Scoring of one answer as text: strict, and the same function behind reward and metric.

Two spellings of one answer are equal (`medvista.functional.spelling`), two answers never are: nothing softens
laterality or negation, so "left lung" is not "right lung" and "no effusion" is not "effusion". What counts as right is
fixed by a table labelled by hand before this code was written, ``tests/functional/tricky_predictions.jsonl``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from medvista.functional.options import answer_options, chosen_option
from medvista.functional.spelling import normalise_answer, plain_characters
from medvista.functional.wrapping import bare_answer

_WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")


def exact_match(prediction: str | None, answers: Sequence[str], choices: Sequence[str] = ()) -> bool:
    """Whether the whole prediction is one of the accepted answers, after `normalise_answer`.

    A sentence that merely contains the answer is not a match; a lead-in ("Answer: left lung") is no sentence. With
    `choices` (the options A, B, C, ... in order) the prediction may be a letter ("B", "(B)", "b."), the option's text,
    or both when they agree ("B) left lung").

    Args:
        prediction: what the model answered; None (no answer) is wrong.
        answers: accepted answers; with `choices`, option texts or letters.
        choices: option texts of a multiple-choice question.

    Raises:
        UserError: when none of `answers` is among `choices`.

    >>> exact_match("Yes.", ["yes"]), exact_match("Yes, on the left", ["yes"]), exact_match("right lung", ["left lung"])
    (True, False, False)
    >>> exact_match("(b)", ["left lung"], choices=["heart", "left lung"])
    True
    """
    if prediction is None:
        return False
    if choices:
        return chosen_option(prediction, choices) in answer_options(answers, choices)
    said = {normalise_answer(prediction), normalise_answer(bare_answer(plain_characters(prediction)))} - {""}
    return any(normalise_answer(answer) in said for answer in answers)


def token_recall(prediction: str | None, answers: Sequence[str]) -> float:
    """Share of the answer's words that the prediction contains, at best over `answers`.

    What LLaVA-Med (arXiv 2306.00890) and its successors report on open questions. It rewards saying
    everything, "left or right", so it stands beside exact match and F1 and never is a reward.
    """
    return max((_overlap(prediction, answer)[0] for answer in answers), default=0.0)


def token_f1(prediction: str | None, answers: Sequence[str]) -> float:
    """Harmonic mean of word precision and recall, at best over `answers` (SQuAD, arXiv 1606.05250)."""
    scores = (_overlap(prediction, answer) for answer in answers)
    return max((2 * r * p / (r + p) if r + p else 0.0 for r, p in scores), default=0.0)


def bleu_1(prediction: str | None, answers: Sequence[str]) -> float:
    """BLEU of single words of one answer: clipped precision times the brevity penalty, 0 to 1.

    Papineni et al. 2002 (doi 10.3115/1073083.1073135) with weight 1 on unigrams, as PathVQA (arXiv 2003.10286) and
    LLaVA-Med's ``run_eval.py`` take it, sentence by sentence; a word counts as often as in the answer that has it most
    often, and the answer nearest in length sets the penalty.

    >>> round(bleu_1("left lung", ["upper left lung"]), 4)
    0.6065
    """
    words = Counter(_words(prediction or ""))
    references = [Counter(_words(answer)) for answer in answers]
    length = words.total()
    most = Counter[str]()
    for reference in references:
        most |= reference
    if not (common := (words & most).total()):
        return 0.0
    nearest = min((reference.total() for reference in references), key=lambda total: (abs(total - length), total))
    return common / length * math.exp(min(0.0, 1 - nearest / length))


def _overlap(prediction: str | None, answer: str) -> tuple[float, float]:
    """Recall and precision of the answer's words, counted with repetitions."""
    predicted, wanted = _words(prediction or ""), _words(answer)
    common = (Counter(predicted) & Counter(wanted)).total()
    return (common / len(wanted), common / len(predicted)) if common else (0.0, 0.0)


def _words(text: str) -> list[str]:
    """The words of an answer; a Chinese character is one, as in sacrebleu, since nothing parts Chinese words."""
    return _WORD.findall(normalise_answer(text))
