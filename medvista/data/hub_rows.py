"""The hub's parquet files, unpacked once by `python -m experiments.prepare`: rows as JSON lines, images as files.

A benchmark in this form is a folder ``unpacked`` with ``<split>.jsonl`` and ``images/<digest>.<extension>``. A row has
the columns of the parquet file, an image column holding the image's path inside ``unpacked``, and ``row``, its number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from medvista.data.benchmark_files import benchmark_folder, existing
from medvista.data.confined import confined
from medvista.data.json_fields import Fields
from medvista.data.rows import Row, read_json_lines
from medvista.errors import UserError

UNPACKED = "unpacked"

T = TypeVar("T")


def unpacked_folder(root: Path, name: str, benchmark: str) -> Path:
    """The folder of unpacked rows of a benchmark.

    Args:
        root: the data root.
        name: where the benchmark's hub form lies below it, for example ``"path_vqa/hub"``.
        benchmark: the name that `prepare` knows.

    Raises:
        UserError: there is none; it says what to do.
    """
    try:
        return benchmark_folder(root, name, marker=UNPACKED) / UNPACKED
    except UserError:
        raise UserError(
            f"there is no {benchmark} in {root}: set data.root=... or MEDVISTA_DATA to the folder that holds the "
            f"benchmarks, or let `python -m experiments.prepare {benchmark}` fetch it or say what to place where"
        ) from None


def read_hub_rows(folder: Path, split: str, build: Callable[[Row], T]) -> list[T]:
    """What `build` makes of each row of a split.

    Raises:
        UserError: the split is not there, or a row is malformed.
    """
    return read_json_lines(folder / f"{split}.jsonl", build)


def hub_image(folder: Path, row: Fields, column: str) -> Path:
    """The file of an image column.

    Raises:
        FieldError: the row has no such image, or names one outside of the folder.
        UserError: the file is missing.
    """
    return existing(confined(folder, row.read(column, str)))
