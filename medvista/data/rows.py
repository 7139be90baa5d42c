"""Reading the rows of a file, each of which knows its place, with errors a person can mend."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from medvista.data.bad_data import left_out
from medvista.data.benchmark_files import PLACE_AGAIN, existing, read_json
from medvista.data.json_fields import FieldError, Fields
from medvista.errors import UserError
from medvista.whole_text import may_hold_half, whole_texts

T = TypeVar("T")

_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")


class Row(Fields):
    """The fields of one row of a file."""

    __slots__ = ("file", "place")

    def __init__(self, values: Any, file: Path, place: str) -> None:
        super().__init__(values)
        self.file = file
        self.place = place  # in the file: "row 7 (from 0)"

    @property
    def where(self) -> str:
        """The row as messages and notices name it."""
        return f"{self.file}, {self.place}"


class RowIds:
    """The ids of rows, of one or several files: each may occur once, since an episode is kept by its question's id."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def once(self, id: str, row: Row) -> str:
        """The id, which no row before this one had.

        Raises:
            FieldError: one had it; "7" and "7.0" are one id.
        """
        whole = _WHOLE_NUMBER.fullmatch(id)
        earlier = self._rows.setdefault(whole[1] if whole else id, row)
        if earlier is not row:
            other = earlier.place if earlier.file == row.file else earlier.where
            raise FieldError(f"the id {id!r} is also that of {other}, and questions are told apart by it")
        return id


def read_rows(path: Path, build: Callable[[Row], T]) -> list[T]:
    """What `build` makes of each object of a JSON list.

    Raises:
        UserError: the file is missing, is not a JSON list, or a row is malformed; it names file, row and field.
    """
    return build_rows(path, enumerate_rows(read_json(path, list)), build)


def read_json_lines(
    path: Path, build: Callable[[Row], T], *, columns: Sequence[str] = (), mend: str = PLACE_AGAIN
) -> list[T]:
    """What `build` makes of each object of a file with one JSON object a line; empty lines are passed over.

    Args:
        path: the file.
        build: called with each row.
        columns: that some row must have.
        mend: what messages advise.

    Raises:
        UserError: the file is missing, a line is not JSON, no row has a column, or a row is malformed; it names file,
            row and field.
    """
    rows = list(_json_lines(path, mend))
    keys = dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row)
    if rows and (lacking := [column for column in columns if column not in keys]):
        raise UserError(f'{path}: the column "{lacking[0]}" is missing{near_or_all(lacking[0], [*keys])}; {mend}')
    return build_rows(path, enumerate_rows(rows), build, mend)


def build_rows(
    path: Path, rows: Iterable[tuple[str, Any]], build: Callable[[Row], T], mend: str = PLACE_AGAIN
) -> list[T]:
    """What `build` makes of each row read from `path`.

    Args:
        path: the file, for messages.
        rows: where in the file each row is ("row 7 (from 0)"), and its values.
        build: called with each row.
        mend: what messages advise.

    Raises:
        UserError: a row is malformed, and may not be left out; it names file, row and field.
    """
    built = []
    for place, values in rows:
        try:
            built.append(build(Row(values, path, place)))
        except FieldError as error:
            if not left_out(f"{path}, {place}", str(error)):
                raise UserError(f"{path}, {place}: {error}; {mend}") from None
        except UserError as error:  # a file that the row names
            if not left_out(f"{path}, {place}", str(error)):
                raise
    return built


def enumerate_rows(rows: Iterable[T]) -> Iterator[tuple[str, T]]:
    """Rows with their places, for `build_rows`."""
    for number, row in enumerate(rows):
        yield f"row {number} (from 0)", row


def near_or_all(name: str, names: Sequence[str]) -> str:
    """The end of a sentence on a column that is not there: which was meant, or which there are."""
    near = get_close_matches(name, names, n=1)
    return f' (did you mean "{near[0]}"?)' if near else f" (there is {', '.join(map(repr, names))})"


def _json_lines(path: Path, mend: str) -> Iterator[Any]:
    with existing(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line, object_pairs_hook=_each_key_once)
                yield whole_texts(values) if may_hold_half(line) else values
            except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8
                if not left_out(f"{path}, line {number}", f"it is not valid JSON: {error}"):
                    raise UserError(f"{path}, line {number} is not valid JSON ({error}); {mend}") from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" is there twice')
    return values
