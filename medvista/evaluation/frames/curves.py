"""What training logged, step by step."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvista.evaluation.frames.dataframe import data_frame
from medvista.evaluation.frames.folders import COLUMNS, find_runs

if TYPE_CHECKING:
    import pandas as pd

_POINT = ("stage", "metric", "step", "value")
_NO_METRIC = ("step", "epoch")


def curves(folder: Path | str) -> pd.DataFrame:
    """One row per run, stage of training, metric and step.

    Columns: ``stage`` such as ``sft_rl``; ``metric`` as in TensorBoard, ``rollout/accuracy`` or ``val/...``; ``step``,
    the optimiser steps made before; ``value``.
    """
    rows = (
        run.row | {"stage": str(log.parent.parent.relative_to(run.folder / "checkpoints"))} | point
        for run in find_runs(folder)
        for log in sorted((run.folder / "checkpoints").glob("**/logs/metrics.csv"))
        for point in _points(log)
    )
    return data_frame(rows, (*COLUMNS, *_POINT))


def _points(log: Path) -> Iterator[dict[str, Any]]:
    with log.open() as file:
        for row in csv.DictReader(file):
            for metric, value in row.items():
                if value and metric not in _NO_METRIC:
                    yield {"metric": metric, "step": int(row["step"]), "value": float(value)}
