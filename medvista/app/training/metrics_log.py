"""The numbers of a stage as one table, ``logs/metrics.csv``, which a stage that goes on continues.

Lightning's CSV logger deletes what an interrupted process has logged, and appends what it repeats. The last column is a
checksum of its row and of the names of the columns; a table without it is read, too.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from medvista.data.atomic import write_whole
from medvista.data.metrics_table import CHECKSUM, row_checksum

_PERIOD_S = 10.0  # between two writes; also whenever a checkpoint is saved, and at the end


class MetricsLog(Logger):
    """Rows of metrics, as Lightning's CSV logger lays them out; the file is replaced in one move.

    Args:
        folder: of the file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        self.rows: list[Mapping[str, Any]] = []
        self._saved = 0
        self._written = 0.0

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.stem

    @property
    def version(self) -> str:
        """There is one."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Adds a row."""
        values = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
        self.rows.append({**values, "step": len(self.rows) if step is None else step})

    def log_hyperparams(self, params: Any, *args: Any, **options: Any) -> None:
        """They are in ``config.yaml``."""

    @rank_zero_only
    def save(self) -> None:
        """Writes the rows now and then, for who looks at a run: Lightning calls this for each of them."""
        if time.monotonic() - self._written > _PERIOD_S:
            self.write()

    @rank_zero_only
    def write(self) -> None:
        """Writes all rows, where there are new ones."""
        self._written = time.monotonic()
        if len(self.rows) == self._saved:
            return
        text = io.StringIO(newline="")
        names = sorted({name for row in self.rows for name in row})
        writer = csv.DictWriter(text, fieldnames=[*names, CHECKSUM])
        writer.writeheader()
        writer.writerows({**row, CHECKSUM: row_checksum(row)} for row in self.rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, text.getvalue())
        self._saved = len(self.rows)

    def finalize(self, status: str) -> None:
        """Writes what is left."""
        self.write()

    @rank_zero_only
    def go_on_with(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Puts the rows of a checkpoint in the place of what is there: the others will be logged again."""
        self.rows = list(rows)
        self._saved = -1
        self.write()
