"""Room on the disk: looked at before a stage, and kept in reserve for the checkpoint that a full disk would refuse."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from medvista.errors import UserError
from medvista.notices import notice

RESERVE = "reserve.tmp"  # beside the checkpoints of a stage under way
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ADAM_BYTES = 8  # of an optimiser's two averages, per trained weight


class DiskReserve:
    """As much room as a checkpoint takes, held by a file while a stage is trained.

    Args:
        folder: of the stage.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESERVE

    def hold(self, size: int) -> None:
        """Takes the room, unless it is taken or the disk has no more: then nothing is kept in reserve."""
        if self.path.exists() and self.path.stat().st_size >= size:
            return
        try:
            with self.path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            self.release()
            notice("no room could be kept in reserve for a last checkpoint", str(self.path.parent))

    def release(self) -> bool:
        """Gives the room back; whether there was any."""
        held = self.path.exists()
        self.path.unlink(missing_ok=True)
        return held

    def saving(self, save: Callable[[], None], path: Path) -> None:
        """Saves a checkpoint; where the disk is full, from the reserve, and that is the last one.

        Raises:
            UserError: the disk is full; the sentence says what is saved.
        """
        try:
            save()
        except OSError as error:
            if error.errno not in _FULL or not self.release():
                raise
            save()
            raise UserError(
                f"the disk of {path.parent} is full: this step was saved in the room that was kept in reserve, in "
                f"{path.name}; make room, and the same command with resume=true goes on."
            ) from None
        self.hold(path.stat().st_size)

    def __enter__(self) -> DiskReserve:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def check_space(folder: Path, *, weights: int, trained: int, keep: int) -> None:
    """Whether the disk has room for the checkpoints of a stage and its policy, before it begins.

    Args:
        folder: of the stage.
        weights: bytes of the policy's weights.
        trained: how many weights are trained.
        keep: checkpoints that stay; one more is written before an old one goes, and one is kept in reserve.

    Raises:
        UserError: there is less room than one checkpoint and the policy need. Less than they all need is a notice.
    """
    checkpoint = weights + trained * _ADAM_BYTES
    present = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    free = shutil.disk_usage(_existing(folder)).free + present
    least, wanted = checkpoint + weights, (keep + 2) * checkpoint + weights
    if free < least:
        raise UserError(
            f"the disk of {folder} has {_mib(free)} left, and this stage writes at least {_mib(least)}: make room, or "
            "give another output_dir."
        )
    if free < wanted:
        what = f"a stage that may write {_mib(wanted)} has less room on its disk"
        notice(what, f"{folder}: {_mib(free)}")


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
