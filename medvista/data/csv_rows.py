"""Reading a CSV file strictly: a row that does not fit the header is refused, since its cells may have moved.

An unquoted comma, a quote that is never closed or another separator give no error in most readers, only other questions
and answers than were written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from medvista.data.benchmark_files import PLACE_AGAIN, existing
from medvista.data.rows import Row, build_rows, near_or_all
from medvista.errors import UserError
from medvista.notices import notice

T = TypeVar("T")

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


class _TableError(Exception):
    """The file is no table; the message begins with the line."""


def read_csv_rows(
    path: Path, build: Callable[[Row], T], *, columns: Sequence[str] = (), mend: str = PLACE_AGAIN
) -> list[T]:
    """What `build` makes of each row of a CSV file with a header; every value is a text, an empty cell an empty one.

    Lines without any content are passed over, and columns without a name are left out.

    Args:
        path: the file; ``.tsv`` is separated by tabs.
        build: called with each row.
        columns: that the header must name. Where it does only if separated by semicolons or tabs, the file is.
        mend: what messages advise.

    Raises:
        UserError: the file is missing, is not CSV in UTF-8, lacks a column, has two of one name, or a row is malformed;
            it names file, row and field.
    """
    lines = _lines(path, mend)
    try:
        separator, header = _layout(path, lines, columns)
        return build_rows(path, _rows(path, lines, separator, header), build, mend)
    except _TableError as error:
        raise UserError(f"{path}, {error}; {mend}") from None


def _lines(path: Path, mend: str) -> list[str]:
    content = existing(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")  # spreadsheets begin files with a mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}, is not text in UTF-8 ({error.reason}): save it as UTF-8; {mend}"
        ) from None
    if "\0" in text:
        raise UserError(f"{path} is not text in UTF-8 (it holds null characters): save it as UTF-8; {mend}")
    return list(io.StringIO(text, newline=""))


def _layout(path: Path, lines: Sequence[str], columns: Sequence[str]) -> tuple[str, list[str]]:
    """What separates the cells, and the names of the columns."""
    usual = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    for separator in dict.fromkeys((usual, *_SEPARATORS)):
        try:
            header = _header(lines, separator)
        except _TableError:  # quotes that only make sense with another separator
            continue
        if set(columns) <= set(header):
            return separator, _different(header)
    header = _header(lines, usual)
    lacking = next(column for column in columns if column not in header)
    raise _TableError(f'line 1: the column "{lacking}" is missing{near_or_all(lacking, header)}')


def _header(lines: Sequence[str], separator: str) -> list[str]:
    for _, _, cells in _records(lines, separator):
        return [cell.replace("\ufeff", "").strip() for cell in cells]
    raise _TableError("line 1: the file is empty, it needs a header")


def _different(header: list[str]) -> list[str]:
    twice = [name for index, name in enumerate(header) if name and name in header[:index]]
    if twice:
        raise _TableError(f'line 1: two columns are called "{twice[0]}": rename one')
    return header


def _rows(path: Path, lines: Sequence[str], separator: str, header: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row below the header: where it is, and its cells by the names of their columns."""
    records = _records(lines, separator)
    next(records)  # the header
    for number, (first, last, cells) in enumerate(records):
        place = f"line {first}, row {number} (from 0)"
        if len(cells) != len(header):
            raise _TableError(f"{place}: {_misfit(len(cells), len(header), separator)}")
        if _swallowed(lines[first - 1 : last], separator, len(header)):
            raise _TableError(
                f"{place}: a quote joins lines {first} to {last}, which look like rows: remove or double it"
            )
        if any(cell.strip() for name, cell in zip(header, cells, strict=True) if not name):
            notice("columns without a name were left out", str(path))
        yield place, {name: cell for name, cell in zip(header, cells, strict=True) if name}


def _records(lines: Sequence[str], separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line (from 1) and cells of all that is not blank."""
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    first = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _TableError(f"line {first}: a quote is not closed, or not doubled inside a cell ({error})") from None
        if any(cell.strip() for cell in cells):
            yield first, reader.line_num, cells
        first = reader.line_num + 1


def _misfit(cells: int, columns: int, separator: str) -> str:
    name = _SEPARATORS[separator]
    guess = f"put a cell that holds a {name} in quotes" if cells > columns else f"leave no {name} out"
    return f"it has {cells} cells, but the header has {columns} columns: {guess}"


def _swallowed(lines: Sequence[str], separator: str, columns: int) -> bool:
    """Whether one row is several, joined by a quote that one of them opens and another closes: each would be whole."""
    written = [line for line in lines if line.strip()]
    return len(written) > 1 and all(line.count(separator) >= columns - 1 for line in written)
