"""Where the files of a benchmark are, and reading them row by row with errors a person can mend."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from medvista.data.json_fields import FieldError, Fields
from medvista.errors import UserError

T = TypeVar("T")

_MEND = "set data.root=... or MEDVISTA_DATA to the folder that holds the benchmarks"


def data_root(explicit: str | Path | None = None) -> Path:
    """The folder that holds the benchmarks: `explicit`, else the environment variable ``MEDVISTA_DATA``.

    Raises:
        UserError: neither is given, or the folder is not there.
    """
    given = explicit or os.environ.get("MEDVISTA_DATA")
    if not given:
        raise UserError(f"no data root is given: {_MEND}")
    root = Path(given).expanduser()
    if not root.is_dir():
        raise UserError(f"there is no data root {root}: {_MEND}")
    return root


def benchmark_folder(root: Path, name: str, marker: str) -> Path:
    """The folder of one benchmark, at ``root/name`` or at any tail of that path below `root`, down to `root` itself.

    Args:
        root: what the user pointed at.
        name: where the benchmark lies below the data root, for example ``"slake/Slake1.0"``.
        marker: a file or folder that is only found there.
    """
    parts = Path(name).parts
    candidates = [Path(root).joinpath(*parts[start:]) for start in range(len(parts) + 1)]
    for folder in candidates:
        if (folder / marker).exists():
            return folder
    raise UserError(f"there is no {name} in {root} (no {candidates[0] / marker}): {_MEND}")


def existing(path: Path) -> Path:
    """The path, which must be a file.

    Raises:
        UserError: it is missing.
    """
    if not path.is_file():
        raise UserError(f"the file {path} is missing: place the benchmark's complete official files there, or {_MEND}")
    return path


def read_rows(path: Path, build: Callable[[Fields], T]) -> list[T]:
    """What `build` makes of each object of a JSON list.

    Raises:
        UserError: the file is missing, is not a JSON list, or a row is malformed; it names file, row and field.
    """
    return build_rows(path, read_json(path, list), build)


def read_json_lines(path: Path, build: Callable[[Fields], T]) -> list[T]:
    """What `build` makes of each object of a file with one JSON object a line; empty lines are passed over.

    Raises:
        UserError: the file is missing, a line is not JSON, or a row is malformed; it names file, row and field.
    """
    return build_rows(path, _json_lines(path), build)


def read_csv_rows(path: Path, build: Callable[[Fields], T]) -> list[T]:
    """What `build` makes of each row of a CSV file with a header; every value is a text, an empty cell an empty one.

    Raises:
        UserError: the file is missing, is not CSV in UTF-8, or a row is malformed; it names file, row and field.
    """
    try:
        with existing(path).open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin files with a mark
            return build_rows(path, csv.DictReader(file), build)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}); place the official file again") from None


def build_rows(path: Path, rows: Iterable[Any], build: Callable[[Fields], T]) -> list[T]:
    """What `build` makes of each row read from `path`.

    Raises:
        UserError: a row is malformed; it names file, row and field.
    """
    built = []
    for number, row in enumerate(rows):
        try:
            built.append(build(Fields(row)))
        except FieldError as error:
            raise UserError(f"{path}, row {number} (from 0): {error}; place the official file again") from None
    return built


def _json_lines(path: Path) -> Iterator[Any]:
    with existing(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except ValueError as error:  # also bytes that are not UTF-8
                raise UserError(f"{path}, line {number} is not valid JSON ({error}); place the file again") from None


def read_json(path: Path, kind: type[T]) -> T:
    """The content of a JSON file, whose outermost value is a `kind`.

    Raises:
        UserError: the file is missing, is not JSON, or holds something else.
    """
    try:
        content: Any = json.loads(existing(path).read_text(encoding="utf-8"))
    except ValueError as error:  # also bytes that are not UTF-8
        raise UserError(f"{path} is not valid JSON ({error}); place the official file again") from None
    if not isinstance(content, kind):
        raise UserError(f"{path} must hold a JSON {kind.__name__}; place the official file again")
    return content
