"""Which option of a multiple-choice question an answer names: by letter, by text, or by both when they agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from medvista.errors import UserError
from medvista.functional.spelling import normalise_answer, plain_characters
from medvista.functional.wrapping import bare_answer

_LETTER = re.compile(r"[\s(\[{*\"'`]*([a-z])[\s)\]}.:,;!*\"'`]*", re.IGNORECASE | re.ASCII)
_LETTER_AND_TEXT = re.compile(r"[\s(\[{]*([a-z])(\s*(?:[)\]}.:,]+|-|\n)|\s)\s*(\S.*)", re.I | re.ASCII | re.DOTALL)
_TEXT_AND_LETTER = (
    re.compile(r"\s*(\S.*?)\s*[(\[{]\s*([a-z])\s*[)\]}][\s.]*", re.IGNORECASE | re.ASCII | re.DOTALL),
    re.compile(r"\s*(\S.*?)(?:\s*[.,:;\n]\s*|\s+-\s+)([A-Z])[\s.]*", re.ASCII | re.DOTALL),
    # With nothing between them, only where the letter cannot be a part of the text: not "hepatitis B", not "5 C".
    re.compile(r"\s*(\S.*?(?:(?<=[^\W\d_]{3})|(?<=[\u3400-\u9fff])))\s+([A-Z])[\s.]*", re.DOTALL),
)
_SPACE = re.compile(r"\s+")
_TAKES_A_LETTER = frozenset(
    "hepatitis vitamin influenza flu type subtype group grade stage class category level factor protein hemophilia "  # noqa: SIM905
    "haemophilia immunoglobulin apolipoprotein strep streptococcus streptococci virus antigen toxin cell cells line "
    "lines chain wave zone region area segment part phase view panel figure image structure lesion arrow label point "
    "tube sample specimen patient case plan letter choice option answer 维生素".split()
)
_STARTS_WITH_A = re.compile(r"\W*a\b", re.IGNORECASE)


def chosen_option(prediction: str, choices: Sequence[str]) -> int | None:
    """Index of the option that the prediction names by letter, by text, or by both; None when it names none.

    A lone letter is always read as a letter, even where another option's text is that letter. A letter and a text
    that disagree ("A) left lung" where that is option B) name nothing, unless the whole is an option ("E. coli").

    >>> chosen_option("The answer is (B) left lung.", ["heart", "left lung"])
    1
    """
    whole = plain_characters(prediction)
    for text in dict.fromkeys((whole, bare_answer(whole))):
        if (index := _named(text, choices)) is not None:
            return index
    return None


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


def option_letter(index: int) -> str:
    """The letter of an option: A for 0, B for 1."""
    return chr(ord("A") + index)


def _named(text: str, choices: Sequence[str]) -> int | None:
    if letter := _LETTER.fullmatch(text):
        index = _index_of_letter(letter[1])
        if index < len(choices):
            return index
    if (literal := _only_index(text, choices, _literal)) is not None:
        return literal
    by_text = _only_index(text, choices, normalise_answer)
    if by_text is not None and not _STARTS_WITH_A.match(text):
        return by_text
    if both := _LETTER_AND_TEXT.fullmatch(text):
        index = _index_of_letter(both[1])
        if index < len(choices):
            if normalise_answer(both[3]) == normalise_answer(choices[index]):
                return index
            if both[2].strip(" "):  # a sign parts letter and text, so this "a" is no article
                return None
    behind = _text_and_letter(text, choices)
    return by_text if behind is None else behind


def _text_and_letter(text: str, choices: Sequence[str]) -> int | None:
    """The option whose text and letter these are: "left lung (B)", "left lung, B", "left lung B"."""
    text = _SPACE.sub(lambda space: "\n" if "\n" in space[0] else " ", text)
    for pattern in _TEXT_AND_LETTER:
        if both := pattern.fullmatch(text):
            index, said = _index_of_letter(both[2]), normalise_answer(both[1])
            parted = pattern is not _TEXT_AND_LETTER[-1] or said.rpartition(" ")[2] not in _TAKES_A_LETTER
            if parted and index < len(choices) and said == normalise_answer(choices[index]):
                return index
    return None


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
