"""The logs of a stage as they were at its checkpoint: what a killed process logged behind it is logged again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.pytorch.loggers import TensorBoardLogger

from medvista.app.training.metrics_log import MetricsLog
from medvista.notices import notice
from medvista.ranks import leads


class StageLogs(lightning.Callback):
    """Keeps in each checkpoint the table and how long every other log is, and goes back to that on resume.

    Args:
        metrics: the table.
        board: folder of the stage's TensorBoard files.
        episodes: folder of the episodes that are logged.
    """

    def __init__(self, metrics: MetricsLog, board: Path, episodes: Path) -> None:
        self._metrics, self._folders = metrics, {"board": board, "episodes": episodes}
        self._found = dict(self._files())  # before this process writes its own
        self._boards: list[TensorBoardLogger] = []
        self._trainer: Any = None
        self._to_log: tuple[dict[str, float], int] | None = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Notes the trainer and its loggers."""
        self._trainer = trainer
        self._boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]

    def begin(self) -> None:
        """For a stage that has no checkpoint and begins anew: forgets what was logged before."""
        self._go_on_with([], {})

    def state_dict(self) -> dict[str, Any]:
        """The table, how long the other logs are on disk, and what Lightning will log of the step only after this."""
        pending = self._pending()
        if not leads():
            return {}
        self._metrics.write()
        for board in self._boards:
            board.experiment.flush()
        sizes = {name: _size(path) for name, path in self._files()}
        return {"rows": [dict(row) for row in self._metrics.rows], "files": sizes, "pending": pending}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Cuts them back to that."""
        if state_dict:
            self._go_on_with(state_dict["rows"], state_dict["files"])
            self._to_log = state_dict["pending"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Logs what the process that saved the checkpoint may not have come to."""
        if self._to_log and leads():
            metrics, step = self._to_log
            for logger in trainer.loggers:
                logger.log_metrics(dict(metrics), step=step)
        self._to_log = None

    def _pending(self) -> tuple[dict[str, float], int] | None:
        """The metrics of the training step that has just ended, and the step by which Lightning counts."""
        trainer = self._trainer
        if trainer is None or not trainer.training or trainer.state.fn != "fit":
            return None
        connector = trainer._logger_connector
        if not connector.should_update_logs:
            return None
        found: dict[str, float] = convert_tensors_to_scalars(connector.metrics["log"])
        if not found:
            return None
        return {**found, "epoch": trainer.current_epoch}, trainer.fit_loop.epoch_loop._batches_that_stepped

    def _go_on_with(self, rows: list[dict[str, Any]], sizes: dict[str, int]) -> None:
        if not leads():
            return
        self._metrics.go_on_with(rows)
        for name in sizes:
            if name not in self._found or _size(self._found[name]) < sizes[name]:
                notice("logs are shorter than at the checkpoint that training goes on from; metrics.csv is whole", name)
        for name, path in self._found.items():
            if name not in sizes:
                path.unlink(missing_ok=True)
            elif path.exists() and _size(path) > sizes[name]:
                os.truncate(path, sizes[name])

    def _files(self) -> Iterator[tuple[str, Path]]:
        for kind, pattern in (("board", "events.*"), ("episodes", "*.jsonl")):
            for path in sorted(self._folders[kind].glob(pattern)):
                yield f"{kind}/{path.name}", path


def _size(path: Path) -> int:
    return path.stat().st_size
