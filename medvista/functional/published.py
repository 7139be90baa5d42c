"""How published evaluations read a free response, for numbers that stand beside theirs.

They search a sentence for an answer, so "not B" is B and "no" is found in "normal": comparable, and more lenient than
`medvista.functional.text.exact_match`, which decides. Nothing here is a reward. Two things we do not follow: a lottery
among the options where nothing was found (MMMU; here that is wrong), and a mean without the wrong answers (LLaVA-Med).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from medvista.functional.options import option_letter
from medvista.functional.spelling import normalise_answer

_EDGES = ",.!?;:'"

_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_ECHOED = ("I understand", "A through J", "A through E", "A through D")


def llava_med_closed(prediction: str, answers: Sequence[str]) -> bool:
    """Whether a yes/no answer is found in the prediction, as LLaVA-Med counts closed questions.

    ``llava/eval/run_eval.py`` in github.com/microsoft/LLaVA-Med at ad758b6. As there, a prediction with neither "yes"
    nor "no" in it is wrong, whatever was asked. Other than there, a wrong "yes" or "no" counts as wrong: the script
    appends nothing in that case, so its mean is over the questions it found right or could not read.

    >>> llava_med_closed("Yes, it is.", ["yes"]), llava_med_closed("normal", ["no"]), llava_med_closed("CT", ["CT"])
    (True, True, False)
    """
    said = normalise_answer(prediction)
    return ("yes" in said or "no" in said) and any(normalise_answer(answer) in said for answer in answers)


def mmmu_option(response: str, choices: Sequence[str]) -> int | None:
    """Index of the option that MMMU reads from a response; None where it would draw one by lot.

    ``parse_multi_choice_response`` of ``eval/eval_utils.py`` in github.com/MMMU-Benchmark/MMMU at 44b45b5: letters in
    brackets, else letters between spaces, else (in responses of more than five words) option texts; the last one wins.

    >>> mmmu_option("It is not (A). The answer is (B).", ["heart", "lung"])
    1
    """
    return _mmmu_option(response, choices, bare_forms=(" {} ",))


def mmmu_pro_option(response: str, choices: Sequence[str]) -> int | None:
    """Index of the option that MMMU-Pro reads from a response; None where it would draw one by lot.

    ``parse_multi_choice_response`` of ``mmmu-pro/evaluate.py`` in the same repository at 56eede8: first the one letter
    behind the last "Answer:", then as in MMMU, with letters before a space or a full stop too.

    >>> mmmu_pro_option("A lung is seen. Answer: B", ["heart", "lung"])
    1
    """
    _, colon, tail = response.rpartition("Answer:")
    named = [index for index in range(len(choices)) if option_letter(index) in tail]
    if colon and len(named) == 1:
        return named[0]
    return _mmmu_option(response, choices, bare_forms=("{} ", "{}."))


def mmmu_open(response: str, answers: Sequence[str]) -> bool:
    """Whether MMMU finds an accepted answer in a response to an open question.

    ``parse_open_response`` and ``eval_open`` of the same file: what follows the last "is", "so", "answer", ... of each
    sentence, and the numbers in it; a text has to be contained, a number equal after rounding to two decimals.

    >>> mmmu_open("So the answer is 30.00 watts.", ["30"])
    True
    """
    parts = _key_parts(response)
    numbers = [number for part in parts for pattern in _NUMBERS for number in pattern.findall(part)]
    said = [form for text in (*parts, *numbers) for form in _mmmu_forms(text)]
    wanted = [form for answer in answers for form in _mmmu_forms(answer)]
    return any(
        any(isinstance(form, str) and form in text for form in wanted) if isinstance(text, str) else text in wanted
        for text in said
    )


def most_similar_option(prediction: str, choices: Sequence[str]) -> int | None:
    """Index of the option whose spelling is nearest, as PMC-VQA matches a generated text; None for no text.

    ``find_most_similar_index`` of ``src/MedVInT_TD/test.py`` in github.com/xiaoman-zhang/PMC-VQA at 1678ec2: the
    largest ``difflib.SequenceMatcher`` ratio, the first among equals.

    >>> most_similar_option("left lung opacity", ["right lung", "left lung"])
    1
    """
    ratios = [SequenceMatcher(None, choice, prediction).ratio() for choice in choices]
    best = max(ratios, default=0.0)
    return ratios.index(best) if best else None


def medxpertqa_option(response: str, choices: Sequence[str]) -> int | None:
    """Index of the first lone option letter of a response, as MedXpertQA cleans answers; None without one.

    The clean-up its authors describe in github.com/TsinghuaC3I/MedXpertQA/issues/3, after ``answer_cleansing`` of
    github.com/kojima-takeshi188/zero_shot_cot at 5ef330f, in the form OpenCompass took over
    (``opencompass/datasets/MedXpertQA.py``): echoes of the prompt go, then the first capital letter that stands alone.

    >>> medxpertqa_option("Among A through E, the answer is C.", ["a", "b", "c", "d", "e"])
    2
    """
    for echo in _ECHOED:
        response = response.replace(echo, "")
    letters = "".join(option_letter(index) for index in range(len(choices)))
    found = re.search(rf"\b([{letters}])\b", response) if letters else None
    return letters.index(found[1]) if found else None


def _mmmu_option(response: str, choices: Sequence[str], bare_forms: Sequence[str]) -> int | None:
    for character in _EDGES:
        response = response.strip(character)
    response = f" {response} "
    for form in ("({})", *bare_forms):
        found = [i for i in range(len(choices)) if form.format(option_letter(i)) in response]
        if found:  # of bare letters the scripts look for the last one between spaces
            place = form if form == "({})" else " {} "
            return max(found, key=lambda index: response.rfind(place.format(option_letter(index))))
    if len(response.split()) <= 5:
        return None
    return _last_found(response.lower(), [choice.lower() for choice in choices])


def _last_found(text: str, forms: Sequence[str]) -> int | None:
    """Index of the form that occurs last in the text; None when none does."""
    places = [text.rfind(form) for form in forms]
    last = max(places, default=-1)
    return places.index(last) if last >= 0 else None


def _key_parts(response: str) -> list[str]:
    sentences = response.strip().strip(".").lower().split("\n")  # lower case first, so the script splits at lines only
    parts = []
    for number, sentence in enumerate(sentences, start=1):
        indicators = (*_INDICATORS, "=") if number == len(sentences) else _INDICATORS
        shortest = ""
        for tail in [sentence.split(indicator)[-1].strip() for indicator in indicators if indicator in sentence]:
            if not shortest or len(tail) < len(shortest):  # an empty one gives way to the next
                shortest = tail
        if shortest and shortest not in _EDGES:
            parts.append(shortest)
    return parts or [response.strip().strip(".").lower()]


def _mmmu_forms(text: str) -> list[str | float]:
    """A number rounded to two decimals, or the text in lower case; a single letter only beside a space."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
        return [f" {text}", f"{text} "] if len(text) == 1 else [text]
