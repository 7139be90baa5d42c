"""After a kill and a resume, every curve has each of its points once."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from medvista.app.training.checkpoint_io import CheckedCheckpointIO
from medvista.app.training.checkpoints import newest_checkpoint
from medvista.app.training.metrics_log import MetricsLog
from medvista.app.training.stage_logs import StageLogs
from medvista.callbacks import BenchmarkValidation, PolicyCheckpoint, TrajectoryLogger
from medvista.data.metrics_table import read_metrics
from medvista.data.trajectories import read_trajectories
from medvista.datamodules import SFTDataModule
from medvista.errors import UserError
from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory, VQASample


class Killed(BaseException):
    """What a lost machine looks like from inside."""


class Kill(lightning.Callback):
    """At a step, or in the middle of its validation; nothing gets to write its logs."""

    def __init__(self, step: int, metrics: MetricsLog, *, validating: bool = False) -> None:
        self.step, self.metrics, self.validating = step, metrics, validating

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        self._kill(trainer, self.validating)

    def on_validation_batch_start(self, trainer: Any, *_: Any) -> None:
        self._kill(trainer, not self.validating)

    def _kill(self, trainer: Any, elsewhere: bool) -> None:
        if trainer.global_step == self.step and not elsewhere:
            self.metrics.write = lambda: None  # type: ignore[method-assign]
            raise Killed


@pytest.fixture
def train(
    nano: VLMPolicy,
    questions: list[VQASample],
    demonstrations: list[Trajectory],
    always_uneven: Callable[[VLMPolicy], RolloutCollector],
    make_trainer: Callable[..., lightning.Trainer],
) -> Callable[..., None]:
    """Trains six steps with a validation every second one into a folder, or goes on there."""
    streams = [episode.stream for episode in demonstrations]

    def run(folder: Path, kill: int = -1, validating: bool = False) -> None:
        module = SFTModule(copy.deepcopy(nano), OptimiserConfig(learning_rate=1e-2), total_steps=6)
        held_out = {"phantom": questions[:2]}
        data = SFTDataModule(streams, always_uneven, held_out, batch_size=3, seed=0, max_new_tokens=4)
        metrics = MetricsLog(folder / "logs")
        logs = StageLogs(metrics, folder / "board", folder / "episodes")
        own = [
            logs,
            Kill(kill, metrics, validating=validating),
            BenchmarkValidation(),
            TrajectoryLogger(folder / "episodes"),
        ]
        trainer = make_trainer(
            max_steps=6,
            callbacks=[*own, PolicyCheckpoint(folder, every_n_steps=1)],
            plugins=[CheckedCheckpointIO()],
            logger=[TensorBoardLogger(folder, name="board", version=""), metrics],
            log_every_n_steps=1,
            limit_val_batches=1.0,
            val_check_interval=2,
            check_val_every_n_epoch=None,
        )
        last = newest_checkpoint(folder)
        if last is None:
            logs.begin()
        trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)

    return run


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "logs" / "metrics.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "crc32"} for row in csv.DictReader(file)]
        # How fast it went is another matter each time.
        return [
            {name: value if "speed/" not in name else str(bool(value)) for name, value in row.items()} for row in rows
        ]


def points(folder: Path) -> list[tuple[str, int, float]]:
    events = [event for path in (folder / "board").glob("events.*") for event in EventFileLoader(str(path)).Load()]
    return sorted(
        (value.tag, event.step, value.tensor.float_val[0] if "speed/" not in value.tag else 0.0)
        for event in events
        for value in event.summary.value
        if value.tensor.float_val and value.tag != "epoch"  # which Lightning logs with each kind of metrics
    )


_KILLS = [
    (4, False),
    (4, True),
    *(pytest.param(*kill, marks=pytest.mark.slow) for kill in ((0, False), (3, False), (5, False), (6, True))),
]


@pytest.mark.parametrize(("step", "validating"), _KILLS)
def test_every_point_is_there_once(train: Callable[..., None], tmp_path: Path, step: int, validating: bool) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "killed", step, validating)
    train(tmp_path / "killed")
    train(tmp_path / "straight")
    assert table(tmp_path / "killed") == table(tmp_path / "straight")
    assert points(tmp_path / "killed") == points(tmp_path / "straight")
    assert len({(tag, at) for tag, at, _ in points(tmp_path / "killed")}) == len(points(tmp_path / "killed"))
    logged = [
        list(read_trajectories(tmp_path / run / "episodes" / "validation.jsonl")) for run in ("killed", "straight")
    ]
    assert [episode.answer for episode in logged[0]] == [episode.answer for episode in logged[1]]


def test_a_table_that_is_continued_keeps_its_rows_and_gets_new_columns(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.log_metrics({"loss": 1.0}, step=0)
    log.write()
    log.log_metrics({"loss": 9.0}, step=1)  # behind the checkpoint
    log.write()
    log = MetricsLog(tmp_path)
    log.go_on_with([{"loss": 1.0, "step": 0}])
    log.log_metrics({"accuracy": 0.5}, step=1)
    log.finalize("success")
    assert read_metrics(log.path) == [{"loss": "1.0", "step": "0"}, {"accuracy": "0.5", "step": "1"}]
    with log.path.open() as file:
        rows = list(csv.DictReader(file))
    assert [list(row)[:3] for row in rows] == [["accuracy", "loss", "step"]] * 2


@pytest.mark.parametrize("byte", [2, 20, 32, 44, 60])
def test_a_table_with_a_flipped_bit_is_named(tmp_path: Path, byte: int) -> None:
    log = MetricsLog(tmp_path)
    for step in range(3):
        log.log_metrics({"train/loss": 1.25 + step, "train/kl": 0.5}, step=step)
    log.finalize("success")
    assert [row["train/loss"] for row in read_metrics(log.path)] == ["1.25", "2.25", "3.25"]
    content = bytearray(log.path.read_bytes())
    content[byte] ^= 1
    log.path.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv is damaged"):
        read_metrics(log.path)


def test_a_table_without_checksums_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("loss,step\n1.5,0\n")
    assert read_metrics(tmp_path / "metrics.csv") == [{"loss": "1.5", "step": "0"}]
