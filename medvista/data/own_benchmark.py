"""A question set of your own, described by one YAML file: which file, which columns, where the images are.

    name: ward_chest                # how results call it
    questions: questions.csv        # CSV with a header, or JSON lines; or one file a split: {train: a.csv, test: b.csv}
    images: images                  # folder of the image files
    columns:
      question: question
      answer: answer                # an option's text or letter, where there are options
      image: file                   # one file, or several separated by `separator`, or a JSON list
      id: id                        # optional, as all below; default: the row's number
      split: split                  # train, validation or test (also: val, dev, eval)
      group: patient                # what is independent of other groups: intervals are clustered on it
      choices: [a, b, c, d]         # columns of the options, or one column that holds them
      slices: [modality, ward]      # columns that reports slice by
    separator: "|"                  # between several images, answers or options in one cell
    shares: {train: 0.7, validation: 0.1, test: 0.2}   # without a split column: whole groups are dealt out

Paths are relative to the YAML file. See docs/benchmarks.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml

from medvista.data.answer_text import closed_or_open, letter_index, told_apart
from medvista.data.benchmark_files import existing, read_csv_rows, read_json_lines
from medvista.data.json_fields import FieldError, Fields
from medvista.errors import UserError
from medvista.types import Split, VQASample

_SPLITS: Mapping[str, Split] = {  # as tables may call them
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "eval": "test",
}
_KEYS = ("name", "questions", "images", "columns", "separator", "shares")
_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBenchmark:
    """What the YAML file says."""

    name: str
    columns: Columns
    files: Mapping[Split, Path]  # of each split; the same file for all where a column tells them apart
    images: Path
    separator: str = "|"
    shares: Mapping[Split, float] = field(default_factory=dict)  # where no column and no file gives the split

    def read(self, split: Split) -> list[VQASample]:
        """The questions of one split, in the order of the file.

        Raises:
            UserError: there is no such split, a file or an image is missing, or a row is malformed.
        """
        if split not in self.files:
            raise UserError(f"{self.name} has no {split} split: give it a file, or a `split` column or `shares`")
        path, numbers = self.files[split], count()
        read = read_json_lines if path.suffix in (".jsonl", ".ndjson") else read_csv_rows
        rows = read(path, lambda row: self._sample(row, next(numbers), split))
        return [sample for sample in rows if sample is not None]

    def _sample(self, row: Fields, number: int, split: Split) -> VQASample | None:
        names = self.columns
        images = self._many(row, names.image)
        id = _text(row, names.id) if names.id else str(number)
        group = _text(row, names.group) if names.group else images[0]
        if not self._in_split(row, group, split):
            return None
        written = self._choices(row)
        choices = told_apart(written)
        answers = (choices[_chosen(_text(row, names.answer), written)],) if written else self._many(row, names.answer)
        kind = "choice" if choices else closed_or_open(answers[0])
        return VQASample(
            id=id,
            benchmark=self.name,
            split=split,
            question=_text(row, names.question),
            answers=answers,
            images=tuple(existing(self.images / name) for name in images),
            group_id=group,
            choices=choices,
            answer_type=cast(Any, kind),
            metadata=MappingProxyType(
                {"family": kind, **{name: _text(row, name, "") for name in names.slices}, "slices": names.slices}
            ),
        )

    def _in_split(self, row: Fields, group: str, split: Split) -> bool:
        if self.columns.split:
            said = _text(row, self.columns.split).lower()
            if said not in _SPLITS:
                raise FieldError(f'"{self.columns.split}" must be one of {", ".join(_SPLITS)}, not {said!r}')
            return _SPLITS[said] == split
        return not self.shares or _dealt(group, self.shares) == split

    def _choices(self, row: Fields) -> tuple[str, ...]:
        columns = self.columns.choices
        if len(columns) == 1:
            return self._many(row, columns[0], needed=False)
        return tuple(text for column in columns if (text := _text(row, column, "")))

    def _many(self, row: Fields, column: str, needed: bool = True) -> tuple[str, ...]:
        """The texts of a cell that may hold several."""
        value = row.value(column)
        parts = value if isinstance(value, list) else _text(row, column, "").split(self.separator)
        texts = tuple(str(part).strip() for part in parts if str(part).strip())
        if needed and not texts:
            raise FieldError(f'"{column}" is empty')
        return texts


def load_own_benchmark(path: Path) -> OwnBenchmark:
    """Read the description of a question set.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown (the nearest is given), missing or of a wrong kind.
    """
    try:
        content = yaml.safe_load(existing(path).read_text(encoding="utf-8"))
        _known(content if isinstance(content, dict) else {}, _KEYS, "")
        return _built(Fields(content), path)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except FieldError as error:
        raise UserError(f"{path}: {error}; see docs/benchmarks.md for an example") from None


def _built(content: Fields, path: Path) -> OwnBenchmark:
    columns = _columns(content.object("columns"))
    questions, folder = content.value("questions"), path.parent
    if isinstance(questions, dict):
        files = {_split(name): folder / str(file) for name, file in questions.items()}
        shares: dict[Split, float] = {}
    else:
        given = content.floats("shares") or _SHARES
        file = folder / content.read("questions", str)
        shares = {} if columns.split else {_split(name): share for name, share in given.items()}
        files = dict.fromkeys(shares or _SPLITS.values(), file)
    return OwnBenchmark(
        name=content.get("name", str, path.stem),
        columns=columns,
        files=files,
        images=folder / content.get("images", str, "."),
        separator=content.get("separator", str, "|"),
        shares=shares,
    )


def _columns(content: Fields) -> Columns:
    names = tuple(entry.name for entry in fields(Columns))
    _known(dict.fromkeys(content), names, "columns.")
    return Columns(
        question=content.read("question", str),
        answer=content.read("answer", str),
        image=content.read("image", str),
        choices=_names(content, "choices"),
        slices=_names(content, "slices"),
        **{name: content.get(name, str, "") for name in ("id", "split", "group")},
    )


def _names(content: Fields, key: str) -> tuple[str, ...]:
    """One column or a list of them."""
    return (content.read(key, str),) if isinstance(content.get(key, object, None), str) else content.texts(key)


def _known(content: Mapping[str, Any], names: Sequence[str], path: str) -> None:
    for key in content:
        if key not in names:
            near = get_close_matches(str(key), names, n=1)
            raise FieldError(f'unknown key "{path}{key}"' + (f', did you mean "{path}{near[0]}"?' if near else ""))


def _split(name: str) -> Split:
    if name not in _SPLITS:
        raise FieldError(f'a split must be one of {", ".join(_SPLITS)}, not "{name}"')
    return _SPLITS[name]


def _dealt(group: str, shares: Mapping[Split, float]) -> Split:
    """The split a whole group goes to: by a hash, so that it stays there when questions are added."""
    place = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10**9 / 10**9 * sum(shares.values())
    for split, share in shares.items():
        place -= share
        if place < 0:
            return split
    return split


def _text(row: Fields, column: str, default: str | None = None) -> str:
    """A cell that is a text or a number."""
    value = row.value(column) if default is None or column in row else default
    if isinstance(value, bool) or not isinstance(value, str | int | float) or (default is None and value == ""):
        raise FieldError(f'"{column}" must be a text or a number, not {value!r}')
    return str(value).strip()


def _chosen(answer: str, choices: Sequence[str]) -> int:
    """The index of the option that an answer names, by its text or else by its letter."""
    return choices.index(answer) if answer in choices else letter_index(answer, choices, "answer")
