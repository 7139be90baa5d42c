"""SIGTERM ends a run soon: training saves the step it has just finished, and nothing that was done is done again."""

from __future__ import annotations

import copy
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from medvista.app.commands.run import main
from medvista.app.sigterm import after_this_step, ending_on_sigterm
from medvista.app.training.checkpoint_io import CheckedCheckpointIO
from medvista.app.training.checkpoints import newest_checkpoint
from medvista.app.training.save_and_end import SaveAndEnd
from medvista.app.training.trainer import fit
from medvista.callbacks import PolicyCheckpoint
from medvista.datamodules import SFTDataModule
from medvista.errors import Terminated
from medvista.modules import OptimiserConfig, SFTModule
from medvista.policies import VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory


class Scheduler(lightning.Callback):
    """Wants the machine back while a step is computed."""

    def __init__(self, step: int, times: int = 1) -> None:
        self.step, self.times = step, times

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def train(
    nano: VLMPolicy,
    demonstrations: list[Trajectory],
    always_uneven: Callable[[VLMPolicy], RolloutCollector],
    make_trainer: Callable[..., lightning.Trainer],
) -> Callable[..., VLMPolicy]:
    """Trains five steps into a folder, or goes on there."""
    streams = [episode.stream for episode in demonstrations]

    def run(folder: Path, *callbacks: lightning.Callback) -> VLMPolicy:
        module = SFTModule(copy.deepcopy(nano), OptimiserConfig(learning_rate=1e-2), total_steps=5)
        data = SFTDataModule(streams, always_uneven, {}, batch_size=3, seed=0, max_new_tokens=8)
        checkpoint = PolicyCheckpoint(folder, every_n_steps=100)
        own = [*callbacks, SaveAndEnd(), checkpoint]
        trainer = make_trainer(max_steps=5, callbacks=own, plugins=[CheckedCheckpointIO()])
        with ending_on_sigterm(), after_this_step():
            fit(trainer, module, datamodule=data, ckpt_path=newest_checkpoint(folder), weights_only=True)
        trained: VLMPolicy = module.policy
        return trained

    return run


def test_training_saves_the_step_and_goes_on_behind_it(train: Callable[..., VLMPolicy], tmp_path: Path) -> None:
    with pytest.raises(Terminated):
        train(tmp_path / "ended", Scheduler(step=2))
    assert [path.name for path in (tmp_path / "ended").glob("step=*")] == ["step=3.ckpt"]
    resumed, straight = train(tmp_path / "ended"), train(tmp_path / "straight")
    for one, other in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_second_sigterm_ends_at_once(train: Callable[..., VLMPolicy], tmp_path: Path) -> None:
    with pytest.raises(Terminated):
        train(tmp_path / "ended", Scheduler(step=2, times=2))
    assert newest_checkpoint(tmp_path / "ended") is None


def test_outside_of_training_it_ends_at_once_with_143(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def long_work(config: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("medvista.app.train_and_compare.run_arms", long_work)
    start = time.monotonic()
    assert main(["experiment=smoke", f"output_dir={tmp_path / 'run'}", f"cache_dir={tmp_path}"]) == 143
    assert time.monotonic() - start < 30
    assert "resume=true" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "a/log"), PermissionError(13, "Permission denied")]
)
def test_a_full_or_forbidden_disk_is_a_sentence(
    error: OSError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: object) -> None:
        raise error

    monkeypatch.setattr("medvista.app.train_and_compare.run_arms", fail)
    assert main(["experiment=smoke", f"output_dir={tmp_path / 'run'}", f"cache_dir={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert f"{error.strerror}; what was saved before is whole" in said
