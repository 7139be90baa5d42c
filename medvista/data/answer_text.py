"""What the readers of several benchmarks do alike with answers and options, and what they say of it."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal

from medvista.data.json_fields import FieldError
from medvista.data.rows import Row
from medvista.notices import notice
from medvista.types import VQASample

_YES_NO = frozenset({"yes", "no"})


def closed_or_open(answer: str) -> Literal["closed", "open"]:
    """``"closed"`` for yes or no, where a benchmark does not say which of its questions are closed."""
    return "closed" if answer.strip().rstrip(".").lower() in _YES_NO else "open"


def stated_type(row: Row) -> Literal["closed", "open"]:
    """What a row's ``answer_type`` says.

    Raises:
        FieldError: it is neither CLOSED nor OPEN.
    """
    text = row.read("answer_type", str)
    kind = text.strip().lower()
    if kind not in ("closed", "open"):
        raise FieldError(f'"{row.path("answer_type")}" must be CLOSED or OPEN, not {text!r}')
    if text != text.strip():
        notice("an answer type was read without the white space around it", row.where)
    return "closed" if kind == "closed" else "open"


def with_answers(samples: Sequence[VQASample]) -> list[VQASample]:
    """The questions that something can be learnt from: one whose answer is empty is left out (SLAKE has one)."""
    for sample in samples:
        if not sample.answers[0]:
            notice(
                "questions without an answer were left out of training",
                f"{sample.benchmark}, {sample.split} question {sample.id}",
            )
    return [sample for sample in samples if sample.answers[0]]


def letter_index(letter: str, choices: Sequence[str], path: str) -> int:
    """The index of the option that a letter names.

    Raises:
        FieldError: it names none, or one that is empty.

    >>> letter_index(" B ", ["heart", "lung"], "answer")
    1
    """
    index = ascii_uppercase.find(letter.strip().upper()) if len(letter.strip()) == 1 else -1
    if not 0 <= index < len(choices):
        raise FieldError(f'"{path}" must be a letter of one of {len(choices)} options, not {letter!r}')
    if not choices[index]:
        raise FieldError(f'"{path}" names option {ascii_uppercase[index]}, which is empty')
    return index


def told_apart(choices: Sequence[str]) -> tuple[str, ...]:
    """The options, with those that are themselves letters spelt so that no letter means two things.

    Where "C" is the text of option A, as in questions about labelled figures, an answer "C" could mean either; letters
    are always read as the letters of options, so the texts become "letter C".

    >>> told_apart(["C", "A", "None of them"]), told_apart(["heart", "lung"])
    (('letter C', 'letter A', 'None of them'), ('heart', 'lung'))
    """
    letters = ascii_uppercase[: len(choices)]
    lone = [(choice.upper(), own) for choice, own in zip(choices, letters, strict=False) if len(choice) == 1]
    ambiguous = any(choice in letters and choice != own for choice, own in lone)
    if not ambiguous:
        return tuple(choices)
    return tuple(f"letter {choice}" if len(choice) == 1 and choice.isalpha() else choice for choice in choices)


def official_options(texts: Sequence[str | None], row: Row) -> tuple[str, ...]:
    """The options of an official row, each in the place that its letter gives it.

    Empty ones at the end are no options. One before them stays, empty, since the letters of the others would shift.

    Args:
        texts: A, B, C, ..., None where there is nothing.
        row: they are from, for notices.
    """
    written = list(texts)
    while written and written[-1] is None:
        written.pop()
    if None in written:
        notice("an empty option was kept in its place, so that no letter shifts", row.where)
    filled = [text or "" for text in written]
    if len(set(filled) - {""}) < len([text for text in filled if text]):
        notice("two options read the same, so that the letter of either is right", row.where)
    return shown_options(filled, row)


def shown_options(written: Sequence[str], row: Row) -> tuple[str, ...]:
    """The options as they are shown; see `told_apart`."""
    shown = told_apart(written)
    if shown != tuple(written):
        notice('options that are letters are shown as "letter C", so that no letter means two things', row.where)
    return shown
