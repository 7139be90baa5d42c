"""Checkpoints are whole or known not to be, and reading one executes nothing."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from medvista.app.training.checkpoint_io import CheckedCheckpointIO, damage
from medvista.app.training.checkpoints import has_checkpoint, newest_checkpoint
from medvista.errors import UserError

STATE = {"state_dict": {"w": torch.arange(1000.0)}, "global_step": 7, "loops": {"done": [True, None, "x"]}}


def save(path: Path, state: dict[str, Any] = STATE) -> Path:
    CheckedCheckpointIO().save_checkpoint(state, path)
    return path


class Evil:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_what_was_saved_comes_back_and_any_reader_takes_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "deep" / "last.ckpt")
    for loaded in (CheckedCheckpointIO().load_checkpoint(path), torch.load(path, weights_only=True)):
        assert torch.equal(loaded.pop("state_dict")["w"], torch.arange(1000.0))
        assert loaded == {"global_step": 7, "loops": {"done": [True, None, "x"]}}


def test_nothing_passes_through_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    save(tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_the_last_checkpoint_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "last.ckpt")
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"global_step": 8})
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("kept", [0, 10, 2000, -90, -60, -1])
def test_a_torn_file_is_known(kept: int, tmp_path: Path) -> None:
    path = save(tmp_path / "last.ckpt")
    path.write_bytes(path.read_bytes()[:kept])
    assert damage(path) == ("is empty" if kept == 0 else "is cut off")
    with pytest.raises(UserError, match=r"last\.ckpt is (empty|cut off): delete it"):
        CheckedCheckpointIO().load_checkpoint(path)


def test_a_flipped_bit_is_known_wherever_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "last.ckpt")
    content = path.read_bytes()
    for at in [*range(0, len(content), 97), len(content) - 81, len(content) - 1]:
        flipped = bytearray(content)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        assert damage(path), at
    path.write_bytes(content)
    assert not damage(path)


def test_a_pickle_of_foreign_origin_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    save(tmp_path / "last.ckpt", {"state_dict": {}, "callbacks": Evil(mark)})
    with pytest.raises(UserError, match="nothing of it was executed") as raised:
        CheckedCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(UserError, match="is cut off"):
        CheckedCheckpointIO().load_checkpoint(tmp_path / "bare.ckpt")
    assert not mark.exists()
    assert "\n" not in str(raised.value)


# ----------------------------------------------------------------------------------------------------- the newest
def test_the_newest_whole_checkpoint_is_found_and_the_damaged_one_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = save(tmp_path / "step=1.ckpt"), save(tmp_path / "step=2.ckpt")
    (tmp_path / "last.ckpt").symlink_to(second.name)
    assert newest_checkpoint(tmp_path) == second
    second.write_bytes(second.read_bytes()[:100])
    assert newest_checkpoint(tmp_path) == first
    assert "step=2.ckpt is cut off; training goes on from an earlier one" in caplog.text
    assert sorted(path.name for path in tmp_path.glob("step*")) == ["step=1.ckpt", "step=2.ckpt.damaged"]


def test_a_torn_last_beside_a_whole_best_is_no_end(tmp_path: Path) -> None:
    best = save(tmp_path / "best-40.ckpt")
    (tmp_path / "last.ckpt").write_bytes(b"")
    assert newest_checkpoint(tmp_path) == best


def test_a_kill_between_remove_and_link_loses_nothing(tmp_path: Path) -> None:
    newest = save(tmp_path / "step=4.ckpt")
    (tmp_path / "last.ckpt").symlink_to("step=2.ckpt")  # removed before the link was renewed
    assert newest_checkpoint(tmp_path) == newest
    assert has_checkpoint(tmp_path)


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".step=4.ckpt.x1y2z3").write_bytes(b"half")
    assert newest_checkpoint(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_never_saved_begins(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    assert not has_checkpoint(tmp_path / "none")
