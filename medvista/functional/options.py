"""Which option of a multiple-choice question an answer names: by letter, by text, or by both when they agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from medvista.errors import UserError
from medvista.functional.spelling import bare_answer, normalise_answer, plain_characters

_LETTER = re.compile(r"[\s(\[{*\"'`]*([a-z])[\s)\]}.:,*\"'`]*", re.IGNORECASE | re.ASCII)
_LETTER_AND_TEXT = re.compile(r"[\s(\[{]*([a-z])(\s*(?:[)\]}.:,]+|-|\n)|\s)\s*(\S.*)", re.I | re.ASCII | re.DOTALL)
_TEXT_AND_LETTER = re.compile(r"\s*(\S.*?)\s*[(\[]([a-z])[)\]][\s.]*", re.IGNORECASE | re.ASCII | re.DOTALL)
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
    if both := _TEXT_AND_LETTER.fullmatch(text):
        index = _index_of_letter(both[2])
        if index < len(choices) and normalise_answer(both[1]) == normalise_answer(choices[index]):
            return index
    return by_text


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
