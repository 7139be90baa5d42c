"""``metrics.csv``: a stage's metrics, each row with a checksum as its last column, or, of older runs, without."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvista.errors import UserError

CHECKSUM = "crc32"
_MEND = "delete it, and the report does without this curve"


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a table, each with the cells that are not empty.

    Raises:
        UserError: a row is not as it was written, or the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: value for name, value in row.items() if name and value} for row in csv.DictReader(file)]
            for number, row in enumerate(rows, start=1):
                if row.pop(CHECKSUM, None) not in (None, row_checksum(row)):
                    raise UserError(f"{path} is damaged: row {number} is not the one that was written; {_MEND}.")
                int(row["step"])
                [float(value) for value in row.values()]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())[:100]}): {_MEND}.") from None
    return rows


def row_checksum(row: Mapping[str, Any]) -> str:
    """Of a row and the names of its columns; empty cells do not count."""
    cells = sorted((name, str(value)) for name, value in row.items() if str(value))
    return f"x{zlib.crc32(repr(cells).encode()):08x}"  # no number, which a spreadsheet would round
