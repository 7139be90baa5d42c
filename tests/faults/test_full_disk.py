"""A disk that fills up: a stage has room for its last checkpoint, ends in a sentence, and goes on later."""

from __future__ import annotations

import copy
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from medvista.app.training import checkpoint_io, disk_space
from medvista.app.training.checkpoint_io import CheckedCheckpointIO, damage
from medvista.app.training.checkpoints import newest_checkpoint
from medvista.app.training.disk_space import RESERVE, DiskReserve, check_space
from medvista.callbacks import PolicyCheckpoint
from medvista.circuit_breaker import CircuitBreaker
from medvista.data.atomic import write_whole
from medvista.data.line_log import LineLog
from medvista.datamodules import SFTDataModule
from medvista.errors import UserError
from medvista.modules import OptimiserConfig, SFTModule
from medvista.notices import NOTICES
from medvista.policies import VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory

pytestmark = pytest.mark.faults
MIB = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB, where one may mount it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Takes all that is left of a disk."""
    path = folder / "other"
    with path.open("ab", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return path


def test_the_last_checkpoint_is_written_into_the_room_kept_for_it(small_disk: Path) -> None:
    state = {"weights": torch.arange(MIB // 8, dtype=torch.float32)}  # half a MiB
    with DiskReserve(small_disk) as reserve:
        writer = CheckedCheckpointIO(reserve)
        writer.save_checkpoint(state, small_disk / "step=1.ckpt")
        assert (small_disk / RESERVE).stat().st_size == (small_disk / "step=1.ckpt").stat().st_size
        fill(small_disk)
        with pytest.raises(UserError, match=r"disk of .* is full: this step was saved .* in step=2\.ckpt; make room"):
            writer.save_checkpoint(state | {"step": 2}, small_disk / "step=2.ckpt")
        assert damage(small_disk / "step=2.ckpt") == damage(small_disk / "step=1.ckpt") == ""
        with pytest.raises(OSError, match="No space"):  # nothing is left in reserve, and nothing is lost
            writer.save_checkpoint(state, small_disk / "step=1.ckpt")
        assert newest_checkpoint(small_disk) == small_disk / "step=2.ckpt"
    assert sorted(path.name for path in small_disk.iterdir()) == ["other", "step=1.ckpt", "step=2.ckpt"]


def test_files_and_logs_on_a_full_disk_keep_what_they_had(small_disk: Path) -> None:
    write_whole(small_disk / "done.json", b"{}")
    with LineLog(small_disk / "log") as log:
        log.write(b'{"line": 1}\n')
        other = fill(small_disk)
        with pytest.raises(OSError, match="No space"):
            log.write(b'{"line": 2, "text": "%s"}\n' % (b"x" * 2**14))
        with pytest.raises(OSError, match="No space"):
            write_whole(small_disk / "done.json", b"x" * 2**14)
        assert (small_disk / "log").read_bytes() == b'{"line": 1}\n'
        assert (small_disk / "done.json").read_bytes() == b"{}"
        other.unlink()
        log.write(b'{"line": 2}\n')
    assert (small_disk / "log").read_bytes() == b'{"line": 1}\n{"line": 2}\n'


def test_training_ends_in_a_sentence_and_goes_on_to_the_same_weights(
    nano: VLMPolicy,
    demonstrations: list[Trajectory],
    always_uneven: Callable[[VLMPolicy], RolloutCollector],
    make_trainer: Callable[..., lightning.Trainer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = [False]
    write = torch.save

    def save(state: Any, file: Any) -> None:
        if full[0] and (tmp_path / "ended" / RESERVE).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(state, file)

    class FillsUp(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            full[0] = trainer.global_step == 3

    def run(folder: Path, *callbacks: lightning.Callback) -> VLMPolicy:
        module = SFTModule(copy.deepcopy(nano), OptimiserConfig(learning_rate=1e-2), total_steps=5)
        streams = [episode.stream for episode in demonstrations]
        data = SFTDataModule(streams, always_uneven, {}, batch_size=3, seed=0, max_new_tokens=8)
        with DiskReserve(folder) as reserve:
            kept = [*callbacks, PolicyCheckpoint(folder, every_n_steps=1, keep=2)]
            trainer = make_trainer(max_steps=5, callbacks=kept, plugins=[CheckedCheckpointIO(reserve)])
            trainer.fit(module, datamodule=data, ckpt_path=newest_checkpoint(folder), weights_only=True)
        return module.policy  # type: ignore[no-any-return]

    monkeypatch.setattr(checkpoint_io.torch, "save", save)
    with pytest.raises(UserError, match=r"is full: this step was saved"):
        run(tmp_path / "ended", FillsUp())
    assert newest_checkpoint(tmp_path / "ended") == tmp_path / "ended" / "step=4.ckpt"
    full[0] = False
    resumed, straight = run(tmp_path / "ended"), run(tmp_path / "straight")
    for one, other in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(one, other)


def test_room_is_looked_at_before_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 100 * MIB})()
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda folder: usage)
    stage = tmp_path / "not" / "yet"
    NOTICES.clear()
    check_space(stage, weights=4 * MIB, trained=MIB, keep=2)  # 4 x 12 MiB and 4
    assert not NOTICES.collected()
    check_space(stage, weights=20 * MIB, trained=5 * MIB, keep=2)  # at least 60 and 20, at most 4 x 60 and 20
    assert "260 MiB has less room" in NOTICES.collected()[0].what
    with pytest.raises(UserError, match=r"has 100 MiB left, and this stage writes at least 160 MiB"):
        check_space(stage, weights=40 * MIB, trained=10 * MIB, keep=2)
    stage.mkdir(parents=True)
    (stage / "step=1.ckpt").write_bytes(bytes(60 * MIB))  # of the run that goes on: it will be replaced
    check_space(stage, weights=40 * MIB, trained=10 * MIB, keep=2)
    NOTICES.clear()


def test_a_clock_that_is_set_back_or_forward_opens_and_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = CircuitBreaker(1, 60.0)
    breaker.failed()
    for jump in (-(10**6), 10**6):
        monkeypatch.setattr(time, "time", lambda jump=jump: 1.8e9 + jump)
        assert not breaker.allows()


def test_checkpoints_are_taken_in_the_order_of_their_steps_when_the_clock_was_set_back(tmp_path: Path) -> None:
    writer = CheckedCheckpointIO()
    for step, moment in ((1, 2_000_000_000), (2, 1_000_000_000)):
        writer.save_checkpoint({"step": step}, tmp_path / f"step={step}.ckpt")
        os.utime(tmp_path / f"step={step}.ckpt", (moment, moment))
    assert newest_checkpoint(tmp_path) == tmp_path / "step=2.ckpt"
