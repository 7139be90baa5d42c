"""A question set of your own, described by one YAML file: which file, which columns, where the images are.

    name: ward_chest                # how results call it
    questions: questions.csv        # .csv or .tsv with a header, or .jsonl; or per split: {train: a.csv, test: b.csv}
    images: images                  # folder of the image files
    columns:
      question: question
      answer: answer                # an option's text or letter, where there are options
      image: file                   # one file, or several separated by `separator`, or a JSON list
      id: id                        # optional, as all below; each once; default: the row's number
      split: split                  # train, validation or test (also: val, dev, eval)
      group: patient                # what is independent of other groups: intervals are clustered on it
      choices: [a, b, c, d]         # columns of the options, in the order of their letters; or one that holds them all
      slices: [modality, ward]      # columns that reports slice by
    separator: "|"                  # between several images, answers or options in one cell
    shares: {train: 0.7, validation: 0.1, test: 0.2}   # without a split column: whole groups are assigned

Paths are relative to the YAML file, and stay in its folder or in the data root. See docs/benchmarks.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import yaml

from medvista.data.benchmark_files import existing
from medvista.data.cells import needed_text
from medvista.data.confined import confined
from medvista.data.csv_rows import read_csv_rows
from medvista.data.json_fields import FieldError, Fields
from medvista.data.own_rows import Columns, RowReader
from medvista.data.rows import Row, RowIds, read_json_lines
from medvista.errors import UserError
from medvista.types import Split, VQASample

T = TypeVar("T")

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
_CSV, _JSON_LINES = (".csv", ".tsv", ".tab", ".txt"), (".jsonl", ".ndjson")
_MEND = "mend the table"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBenchmark:
    """What the YAML file says."""

    name: str
    columns: Columns
    files: Mapping[Split, Path]  # of each split; the same file for all where a column tells them apart
    images: Path
    folder: Path  # of the YAML file
    separator: str = "|"
    shares: Mapping[Split, float] = field(default_factory=dict)  # where no column and no file gives the split

    def read(self, split: Split, root: str | Path | None = None) -> list[VQASample]:
        """The questions of one split, in the order of the file.

        Args:
            split: which split.
            root: the data root, where there is one: tables and images may be there instead of beside the YAML file.

        Raises:
            UserError: there is no such split, a file or an image is missing or outside of both folders, or a row is
                malformed.
        """
        if split not in self.files:
            raise UserError(f"{self.name} has no {split} split: give it a file, or a `split` column or `shares`")
        roots = (self.folder, *([Path(root).expanduser()] if root else []))
        table, images = self._inside(self.files[split], roots), self._inside(self.images, roots)
        numbers, ids = count(), RowIds()
        reader = RowReader(
            benchmark=self.name,
            columns=self.columns,
            images=images,
            roots=roots,
            separator=self.separator,
        )

        def build(row: Row) -> VQASample | None:
            number, name = next(numbers), self.columns.id
            # The ids of all rows, since `data.resplit` may move questions of other splits here.
            id = ids.once(needed_text(row.value(name), name), row) if name else str(number)
            return reader.sample(row, id, split) if self._in_split(row, reader.group(row), split) else None

        return [sample for sample in self._rows(table, build) if sample is not None]

    def _rows(self, path: Path, build: Callable[[Row], T]) -> list[T]:
        kind, names = path.suffix.lower(), self.columns.named()
        existing(path, f"`questions` of {self.name} names it; give the path from the folder of the YAML file")
        if kind in _CSV:
            return read_csv_rows(path, build, columns=names, mend=_MEND)
        if kind not in _JSON_LINES:
            raise UserError(
                f"{path} is not a table that can be read: save it as one of {', '.join(_CSV + _JSON_LINES)}"
            )
        return read_json_lines(path, build, columns=names, mend=_MEND)

    def _inside(self, path: Path, roots: Sequence[Path]) -> Path:
        try:
            return confined(Path(), str(path), roots)
        except FieldError as error:
            raise UserError(f"{self.name}: {error}; put it there, or set data.root=... to a folder around it") from None

    def _in_split(self, row: Row, group: str, split: Split) -> bool:
        name = self.columns.split
        if name:
            said = needed_text(row.value(name), name).lower()
            if said not in _SPLITS:
                raise FieldError(f'"{name}" must be one of {", ".join(_SPLITS)}, not {said!r}')
            return _SPLITS[said] == split
        return not self.shares or _assigned(group, self.shares) == split


def load_own_benchmark(path: Path) -> OwnBenchmark:
    """Read the description of a question set.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown (the nearest is given), missing or of a wrong kind.
    """
    try:
        content = yaml.safe_load(existing(path, "give the path of your YAML file").read_text(encoding="utf-8"))
        _known(content if isinstance(content, dict) else {}, _KEYS, "")
        return _built(Fields(content), path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except FieldError as error:
        raise UserError(f"{path}: {error}; see docs/benchmarks.md for an example") from None


def _built(content: Fields, path: Path) -> OwnBenchmark:
    columns = _columns(content.object("columns"))
    questions, folder = content.value("questions"), path.parent
    if isinstance(questions, dict):
        files = _by_split((name, folder / str(file)) for name, file in questions.items())
        shares: dict[Split, float] = {}
    else:
        given = content.floats("shares") or _SHARES
        file = folder / content.read("questions", str)
        shares = {} if columns.split else _by_split(given.items())
        files = dict.fromkeys(shares or _SPLITS.values(), file)
    name = content.get("name", str, path.stem)
    if not name or set(name) & set("/\\"):  # files of a run are called after it
        raise FieldError(f'"name" must be a text without slashes, not "{name}"')
    return OwnBenchmark(
        name=name,
        columns=columns,
        files=files,
        images=folder / content.get("images", str, "."),
        folder=folder,
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


def _by_split(entries: Iterable[tuple[str, T]]) -> dict[Split, T]:
    """What is given for each split, which may go by several names but only by one at a time."""
    found: dict[Split, T] = {}
    for name, entry in entries:
        if name not in _SPLITS:
            raise FieldError(f'a split must be one of {", ".join(_SPLITS)}, not "{name}"')
        if _SPLITS[name] in found:
            raise FieldError(f'the {_SPLITS[name]} split is given twice, the second time as "{name}"')
        found[_SPLITS[name]] = entry
    return found


def _assigned(group: str, shares: Mapping[Split, float]) -> Split:
    """The split a whole group goes to: by a hash, so that it stays there when questions are added."""
    place = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10**9 / 10**9 * sum(shares.values())
    for split, share in shares.items():
        place -= share
        if place < 0:
            return split
    return split
