"""The form in which two spellings of one answer are equal.

The normalisation is that of the official VQA evaluation script (``processPunctuation`` and ``processDigitArticle`` of
``PythonEvaluationTools/vqaEvaluation/vqaEval.py`` in github.com/GT-Vision-Lab/VQA), which the medical benchmarks took
over (``normalize_word`` of ``llava/eval/eval_metrics/glossary.py`` in github.com/microsoft/LLaVA-Med at 356ba55).
It departs from it only where the script would let two *different* medical answers meet, or keep two spellings of
the same one apart:

* ``<``, ``>``, ``≤``, ``≥``, ``≠``, a sign before a number and a sign behind a word stay: "< 5 mm" is not "> 5 mm",
  "HER2+" is not "HER2-"; so do the dash of a range and the stroke of a fraction: "1/2" is neither "12" nor "1-2";
* an article goes only where something follows it: "hepatitis A" is not "hepatitis", and option "A" is not empty;
* apostrophes go, in place of the script's list of contractions: "Crohn's" is "Crohns", "isn't" is "isnt";
* a number and its unit are parted, and the unit may be written out: "5mm" and "5 millimetres" are "5 mm";
* numbers are equal by value ("2.0" is "2", "twelve" is "12");
* typography, accents, invisible characters and full-width letters do not count (Unicode NFKC).

No plural is stripped, no synonym known, no unit converted.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_NUMBERS = {word: str(n) for n, word in enumerate(_NUMBER_WORDS)} | {"none": "0"}  # "none" as in the official script
_ARTICLES = frozenset({"a", "an", "the"})
_UNIT_WORDS = {"percent": "%"}
for _prefix, _short in {"milli": "m", "centi": "c", "micro": "μ", "": ""}.items():
    for _unit, _symbol in {"meter": "m", "metre": "m", "liter": "l", "litre": "l", "gram": "g"}.items():
        _UNIT_WORDS |= {f"{_prefix}{_unit}{plural}": _short + _symbol for plural in ("", "s")}

# Dashes and quotes; the times sign; and the Chinese comma and full stop, which NFKC leaves alone.
_TYPOGRAPHY = str.maketrans(
    "\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u201c\u201d\u2044×、。", "------''\"\"/x,."
)
_ACCENTS = re.compile("[\u0300-\u0333\u0339-\u036f]")  # not the strokes that make "=" into "≠"
_VULGAR_FRACTION = re.compile("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e\u2189])")  # 1½ is not 11/2
_EXPONENT = re.compile("(?<=\\d)(?=[\u00b2\u00b3\u00b9\u2070\u2074-\u2079])")  # of a number: 10² is not 102
_UNIT = re.compile(r"(?<=\d)(?=(?:mm|cm|m|μm|ml|l|μg|mg|g|kg|hu|mmhg|t|°c|%)[23]?(?:\W|$))")
_TIMES = re.compile(r"(?<=\d)\s*x\s*(?=\d)")
_RANGE = re.compile(r"(?<=\d)(\s*)-\1(?=\d)")
# The "-" of "-5" and "ER-/PR+", the "+" of "CD3+CD20-", of "HER2 (+)" and of "HER2 +" carry meaning, unlike the "-" of
# "x-ray".
_SIGN = (
    r"(?<!\w)[+-](?=\.?\d)|(?<=\d)[-/](?=\d)|(?<=\w)\+|(?<=\w)-(?=[\s,;:.?!/)\]}]|$)"
    r"|(?:^|(?<=[\s(<>≤≥≠]))[+-](?=\s*(?:\)|$))"
)
_SIGN_OR_PUNCTUATION = re.compile(rf"({_SIGN})|[;/\[\]\"{{}}()=+\\_\-@`,?!]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_DECIMAL = re.compile(r"(?<![\w.])(\d*)\.(\d+)(?![\d.])")
_PERIOD = re.compile(r"\.(?!\d)")  # a decimal point stays
_COMPARISON = re.compile(r"\s*([<>≤≥≠])\s*")


@lru_cache(maxsize=100_000)  # a benchmark asks for the same answers again and again
def normalise_answer(text: str) -> str:
    """The form in which two spellings of one answer are equal: lower case, no articles, no punctuation, digits.

    >>> normalise_answer("The  X-ray.")
    'x ray'
    >>> normalise_answer("Two nodules, 5mm")
    '2 nodules 5 mm'
    """
    text = plain_characters(text).casefold().replace("'", "")
    text = text.replace(">=", "≥").replace("<=", "≤").replace("!=", "≠")
    text = _UNIT.sub(" ", _THOUSANDS.sub("", text))
    text = _TIMES.sub(" x ", _DECIMAL.sub(_shortest_decimal, _RANGE.sub("-", text)))
    text = _PERIOD.sub("", _SIGN_OR_PUNCTUATION.sub(lambda match: match[1] or " ", text))
    words = [_NUMBERS.get(word, word) for word in _COMPARISON.sub(r" \1", text).split()]
    last = len(words) - 1
    words = [word for i, word in enumerate(words) if word not in _ARTICLES or i == last]
    units = [_UNIT_WORDS.get(word, word) if i and words[i - 1][-1].isdigit() else word for i, word in enumerate(words)]
    return " ".join(units)


def plain_characters(text: str) -> str:
    """The text in the characters a keyboard has, as far as they mean the same; case and words stay as they are."""
    text = unicodedata.normalize("NFKC", _VULGAR_FRACTION.sub(" ", _EXPONENT.sub("^", text)))
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    text = unicodedata.normalize("NFC", text).translate(_TYPOGRAPHY)
    return "".join(character for character in text if unicodedata.category(character) != "Cf")  # invisible ones


def _shortest_decimal(match: re.Match[str]) -> str:
    """A decimal number without zeros that do not change it: ".50" is "0.5", "2.0" is "2"."""
    fraction = match[2].rstrip("0")
    return (match[1] or "0") + (f".{fraction}" if fraction else "")
