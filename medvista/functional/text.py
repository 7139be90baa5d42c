"""Scoring of answers as text: strict, and the same function behind reward and metric.

The normalisation is that of the official VQA evaluation script (``processPunctuation`` and ``processDigitArticle`` of
``PythonEvaluationTools/vqaEvaluation/vqaEval.py`` in github.com/GT-Vision-Lab/VQA), which the medical benchmarks took
over. It departs from it only where the script would let two *different* medical answers meet, or keep two spellings of
the same one apart:

* ``<``, ``>``, a sign before a number and a sign behind a word stay: "< 5 mm" is not "> 5 mm", "HER2+" is not "HER2-";
* an article goes only where something follows it: "hepatitis A" is not "hepatitis", and option "A" is not empty;
* apostrophes go, in place of the script's list of contractions: "Crohn's" is "Crohns", "isn't" is "isnt";
* a number and its unit are parted: "5mm" is "5 mm".

Nothing softens laterality or negation: "left lung" is not "right lung", "no effusion" is not "effusion".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from medvista.errors import UserError

_NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBERS = {word: str(n) for n, word in enumerate(_NUMBER_WORDS)} | {"none": "0"}  # "none" as in the official script
_ARTICLES = frozenset({"a", "an", "the"})
_TYPOGRAPHY = str.maketrans("\u2010\u2011\u2013\u2014\u2212\u2018\u2019\u201c\u201d", "-----''\"\"")  # dashes, quotes
_UNIT = re.compile(r"(?<=\d)(?=(?:mm|cm|m|ml|l|mg|g|kg|hu|%)(?:\W|$))")
# The "-" of "-5", the "+" of "HER2+", of "HER2 (+)" and of "HER2 +" carry meaning, unlike the "-" of "x-ray".
_SIGN = r"(?<!\w)[+-](?=\.?\d)|(?<=\w)[+-](?=[\s,;.)]|$)|(?<=[\s(])[+-](?=\s*(?:\)|$))"
_SIGN_OR_PUNCTUATION = re.compile(rf"({_SIGN})|[;/\[\]\"{{}}()=+\\_\-@`,?!]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_PERIOD = re.compile(r"\.(?!\d)")  # a decimal point stays
_COMPARISON = re.compile(r"\s*([<>])\s*")

_LETTER = re.compile(r"[\s(\[*\"']*([a-z])[\s)\].:,*\"']*", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(r"[\s(\[*]*([a-z])\s*[)\].:]+\s*(\S.*)", re.IGNORECASE | re.DOTALL)


def normalise_answer(text: str) -> str:
    """The form in which two spellings of one answer are equal: lower case, no articles, no punctuation, digits.

    >>> normalise_answer("The  X-ray.")
    'x ray'
    >>> normalise_answer("Two nodules, 5mm")
    '2 nodules 5 mm'
    """
    text = text.translate(_TYPOGRAPHY).casefold().replace("'", "")
    text = _UNIT.sub(" ", _THOUSANDS.sub("", text))
    text = _PERIOD.sub("", _SIGN_OR_PUNCTUATION.sub(lambda match: match[1] or " ", text))
    words = _COMPARISON.sub(r" \1", text).split()
    last = len(words) - 1
    return " ".join(_NUMBERS.get(w, w) for i, w in enumerate(words) if w not in _ARTICLES or i == last)


def exact_match(prediction: str | None, answers: Sequence[str], choices: Sequence[str] = ()) -> bool:
    """Whether the whole prediction is one of the accepted answers, after `normalise_answer`.

    A sentence that merely contains the answer is not a match. With `choices` (the options A, B, C, ... in order) the
    prediction may be a letter ("B", "(B)", "b."), the option's text, or both when they agree ("B) left lung").

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
    predicted = normalise_answer(prediction)
    return predicted != "" and any(predicted == normalise_answer(answer) for answer in answers)


def chosen_option(prediction: str, choices: Sequence[str]) -> int | None:
    """Index of the option that the prediction names by letter, by text, or by both; None when it names none.

    A lone letter is always read as a letter, even where another option's text is that letter. A letter and a text
    that disagree ("A) left lung" where that is option B) name nothing, unless the whole is an option ("E. coli").
    """
    if letter := _LETTER.fullmatch(prediction):
        index = _index_of_letter(letter[1])
        if index < len(choices):
            return index
    if (literal := _only_index(prediction, choices, _literal)) is not None:
        return literal
    if both := _LETTER_AND_TEXT.fullmatch(prediction):
        index = _index_of_letter(both[1])
        if index < len(choices):
            return index if normalise_answer(both[2]) == normalise_answer(choices[index]) else None
    return _only_index(prediction, choices, normalise_answer)


def answer_options(answers: Sequence[str], choices: Sequence[str]) -> set[int]:
    """Indices of the options that the accepted answers name: by text first, since texts are what readers give.

    Raises:
        UserError: when they name none.
    """
    found: set[int] = set()
    for answer in answers:
        wanted = normalise_answer(answer)
        index = _only_index(answer, choices, _literal)
        matches = {index} if index is not None else {i for i, c in enumerate(choices) if normalise_answer(c) == wanted}
        letter = _LETTER.fullmatch(answer)
        if not matches and letter and _index_of_letter(letter[1]) < len(choices):
            matches = {_index_of_letter(letter[1])}
        found |= matches
    if not found:
        raise UserError(f"None of the answers {list(answers)} is among the choices {list(choices)}; mend the sample.")
    return found


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


def _overlap(prediction: str | None, answer: str) -> tuple[float, float]:
    """Recall and precision of the answer's words, counted with repetitions."""
    predicted, wanted = normalise_answer(prediction or "").split(), normalise_answer(answer).split()
    common = sum((Counter(predicted) & Counter(wanted)).values())
    return (common / len(wanted), common / len(predicted)) if common else (0.0, 0.0)


def _index_of_letter(letter: str) -> int:
    return ord(letter.upper()) - ord("A")


def _literal(text: str) -> str:
    """The text as written, but for case, white space and a full stop at the end."""
    return " ".join(text.casefold().split()).rstrip(".")


def _only_index(prediction: str, choices: Sequence[str], form: Callable[[str], str]) -> int | None:
    """Index of the one option equal to the prediction in this form; None when there is none, or more than one."""
    wanted = form(prediction)
    matches = [index for index, choice in enumerate(choices) if form(choice) == wanted]
    return matches[0] if wanted and len(matches) == 1 else None
