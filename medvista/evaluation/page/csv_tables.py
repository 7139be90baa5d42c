"""Tables as CSV: a file beside the report, and the same text in a link of the report, which then needs no file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from medvista.data.atomic import replacing
from medvista.evaluation.tables.arm_tables import MISSING, Table

_WITH_INTERVAL = re.compile(r"^(\S+) \[(\S+), (\S+)\]$")  # "81.2 [78.0, 84.1]"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTable:
    """A table with the name of its file."""

    name: str  # "arms-phantom-greedy"
    table: Table

    @property
    def uri(self) -> str:
        """The CSV in a data URI."""
        return "data:text/csv;charset=utf-8," + quote(csv_text(self.table))


def csv_text(table: Table) -> str:
    """The table as CSV: an interval takes two columns of its own, a missing cell is empty, a minus is ASCII.

    >>> table = Table(title="", header=("arm", "all"), rows=(("sft", "81.2 [78.0, 84.1]"), ("lookup", "–")))
    >>> print(csv_text(table), end="")
    arm,all,all low,all high
    sft,81.2,78.0,84.1
    lookup,,,
    """
    columns = list(zip(*table.rows, strict=True)) if table.rows else [() for _ in table.header]
    header, cells = list[str](), list[list[str]]()
    for name, column in zip(table.header, columns, strict=True):
        if any(_WITH_INTERVAL.match(cell) for cell in column):
            header += [name, f"{name} low", f"{name} high"]
            cells += map(list, zip(*(_split(cell) for cell in column), strict=True))
        else:
            header.append(name)
            cells.append([_plain(cell) for cell in column])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*cells, strict=True))
    return text.getvalue()


def write_tables(folder: Path, tables: Iterable[NamedTable]) -> None:
    """Write ``<name>.csv`` of each table; without tables no folder is made."""
    for named in tables:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{named.name}.csv") as file:
            file.write(csv_text(named.table).encode())


def _split(cell: str) -> tuple[str, str, str]:
    """Value, low and high end."""
    found = _WITH_INTERVAL.match(cell)
    return (_plain(found[1]), _plain(found[2]), _plain(found[3])) if found else (_plain(cell), "", "")


def _plain(cell: str) -> str:
    return "" if cell == MISSING else cell.replace("−", "-")
