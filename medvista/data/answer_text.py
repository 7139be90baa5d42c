"""What the readers of several benchmarks do alike with questions, answers and options."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal

from medvista.data.json_fields import FieldError

_YES_NO = frozenset({"yes", "no"})


def closed_or_open(answer: str) -> Literal["closed", "open"]:
    """``"closed"`` for yes or no, where a benchmark does not say which of its questions are closed."""
    return "closed" if answer.strip().rstrip(".").lower() in _YES_NO else "open"


def letter_index(letter: str, choices: Sequence[str], path: str) -> int:
    """The index of the option that a letter names.

    Raises:
        FieldError: it names none.

    >>> letter_index(" B ", ["heart", "lung"], "answer")
    1
    """
    index = ascii_uppercase.find(letter.strip().upper()) if len(letter.strip()) == 1 else -1
    if not 0 <= index < len(choices):
        raise FieldError(f'"{path}" must be a letter of one of {len(choices)} options, not {letter!r}')
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
