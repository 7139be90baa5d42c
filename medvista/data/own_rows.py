"""A row of your own table -> a question: what a cell may hold, and what is refused because its meaning is in doubt.

A wrong gold answer is worse than a refused table, so nothing is guessed about options and answers: a row that can be
read in two ways is answered by a sentence that says how to write it. docs/benchmarks.md has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any

from medvista.data.answer_text import closed_or_open, letter_index, shown_options
from medvista.data.cells import cell_text, needed_text
from medvista.data.confined import confined
from medvista.data.json_fields import FieldError
from medvista.data.rows import Row
from medvista.errors import UserError
from medvista.functional.options import answer_options
from medvista.notices import notice
from medvista.types import Split, VQASample

_LONE_LETTER = re.compile(r"[\s(\[]*([A-Za-z])[\s)\].:]*", re.ASCII)  # "B", "(b)", "B."; not the blood group "A+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The names of a table's columns; empty where there is none."""

    question: str
    answer: str
    image: str
    id: str = ""
    split: str = ""
    group: str = ""
    choices: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    def named(self) -> tuple[str, ...]:
        """All of them."""
        single = (self.question, self.answer, self.image, self.id, self.split, self.group)
        return tuple(name for name in (*single, *self.choices, *self.slices) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReader:
    """Reads the cells of rows."""

    benchmark: str
    columns: Columns
    images: Path  # folder
    roots: tuple[Path, ...]  # folders of which one has to hold each image
    separator: str  # between several values in one cell

    def sample(self, row: Row, id: str, split: Split) -> VQASample:
        """The question of a row.

        Raises:
            FieldError: a cell is empty, of a wrong kind or in doubt, or an image is missing.
        """
        names = self.columns
        images = self.image_names(row)
        choices, answers = self._options_and_answers(row)
        kind = "choice" if choices else closed_or_open(answers[0])
        slices = {name: cell_text(row.get(name, object, None), name) or "" for name in names.slices}
        return VQASample(
            id=id,
            benchmark=self.benchmark,
            split=split,
            question=needed_text(row.value(names.question), names.question),
            answers=answers,
            images=tuple(self._image(name, row) for name in images),
            group_id=self.group(row),
            choices=choices,
            answer_type=kind,
            metadata=MappingProxyType({"family": kind, **slices, "slices": names.slices}),
        )

    def group(self, row: Row) -> str:
        """What a row's question is clustered by: its own column, or else its first image."""
        name = self.columns.group
        return needed_text(row.value(name), name) if name else self.image_names(row)[0]

    def image_names(self, row: Row) -> list[str]:
        """The files of a row, in order, since questions name images by their place."""
        name = self.columns.image
        files = _without_empty_end(self._entries(row.value(name), name))
        if not files:
            raise FieldError(f'"{name}" is empty: a question needs an image')
        if None in files:
            raise FieldError(f'"{name}" has an empty entry between its images: take it out')
        return [file for file in files if file is not None]

    def _options_and_answers(self, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
        name, written = self.columns.answer, self._options(row)
        answers = self._answers(row, whole=bool(written))
        if written:
            if len(answers) > 1:
                raise FieldError(f'"{name}" gives {len(answers)} answers to a question with options: give one')
            shown, chosen = shown_options(written, row), _chosen(answers[0], written, name)
            _only(answer_options([shown[chosen]], shown), answers[0], name)  # no other option is scored as right
            return shown, (shown[chosen],)
        if self.columns.choices and _LONE_LETTER.fullmatch(answers[0]):
            raise FieldError(
                f'"{name}" is the letter {answers[0]!r}, but all options are empty: fill them in, or keep questions '
                "without options in a table of their own"
            )
        return (), answers

    def _options(self, row: Row) -> tuple[str, ...]:
        """The options in the order of their letters; empty ones behind the last are none."""
        names = self.columns.choices
        if len(names) == 1:
            cells = self._entries(row.get(names[0], object, None), names[0])
            labels = [f'option {letter} in "{names[0]}"' for letter in ascii_uppercase]
        else:
            cells = [cell_text(row.get(name, object, None), name) for name in names]
            labels = [f'"{name}"' for name in names]
        options = _without_empty_end(cells)
        if len(options) == 1 or len(options) > len(ascii_uppercase):
            how = f", separated by {self.separator!r}" if len(names) == 1 else ""
            raise FieldError(f"options must be 2 to 26{how}, not {len(options)}, the last {options[-1]!r}")
        if None in options:
            empty = labels[options.index(None)]
            raise FieldError(
                f"{empty} is empty before other options, whose letters would shift: fill it or close the gap"
            )
        return tuple(option for option in options if option is not None)

    def _answers(self, row: Row, whole: bool) -> tuple[str, ...]:
        """The accepted answers; with `whole`, a text is one answer whatever it holds."""
        name = self.columns.answer
        value = row.value(name)
        entries = [cell_text(value, name)] if whole and not isinstance(value, list) else self._entries(value, name)
        texts = tuple(text for text in entries if text is not None)
        if not texts:
            raise FieldError(f'"{name}" is empty: a question needs an answer')
        if len(texts) < len(entries):
            notice("empty answers among several were left out", row.where)
        return texts

    def _entries(self, value: Any, name: str) -> list[str | None]:
        """The texts of a cell that may hold several, None for each that says nothing."""
        if isinstance(value, str):
            value = value.split(self.separator)
        return [cell_text(entry, name) for entry in (value if isinstance(value, list) else [value])]

    def _image(self, name: str, row: Row) -> Path:
        column = self.columns.image
        if "://" in name:
            raise FieldError(f'"{column}" is the address {name}: download the image and give the name of its file')
        path = confined(self.images, name, self.roots)
        if path.is_file():
            return path
        slashed = confined(self.images, name.replace("\\", "/"), self.roots)
        if slashed.is_file():
            notice("backslashes in the names of images were read as slashes", row.where)
            return slashed
        raise FieldError(f'"{column}" is {name!r}, but the file {path} is missing{_other_case(slashed)}')


def _chosen(answer: str, options: Sequence[str], name: str) -> int:
    """The index of the one option that an answer names, by its text or its letter."""
    try:
        named = set(answer_options([answer], options))
        if letter := _LONE_LETTER.fullmatch(answer):
            named |= {ascii_uppercase.index(letter[1].upper())} & set(range(len(options)))
    except UserError:
        try:
            return letter_index(answer, options, name)
        except FieldError as error:
            raise FieldError(f"{error}, or the text of one") from None
    return _only(named, answer, name)


def _only(named: set[int], answer: str, name: str) -> int:
    if len(named) > 1:
        either = " or ".join(f"option {ascii_uppercase[index]}" for index in sorted(named))
        raise FieldError(
            f'"{name}" is {answer!r}, which may be {either}: write options that differ, and no lone letters'
        )
    return next(iter(named))


def _without_empty_end(entries: Sequence[str | None]) -> list[str | None]:
    kept = list(entries)
    while kept and kept[-1] is None:
        kept.pop()
    return kept


def _other_case(path: Path) -> str:
    """A hint at a file whose name differs only in upper and lower case."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    near = next((file.name for file in beside if file.name.lower() == path.name.lower()), None)
    return f", though there is {near!r}: mind upper and lower case" if near else ""
