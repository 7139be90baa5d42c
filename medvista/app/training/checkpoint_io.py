"""Checkpoints on disk: whole or not there, known to be undamaged, and read without executing anything.

A checkpoint is a file of `torch.save`, which is a zip archive, with a checksum of its bytes as the archive's comment:
any reader of such files still takes it. It is written beside its place, synced and renamed, without a copy in memory or
in the temporary folder.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from medvista.app.training.disk_space import DiskReserve
from medvista.data.atomic import replacing
from medvista.errors import UserError

_MARK = b"medvista sha256 "
_COMMENT = len(_MARK) + 64  # bytes, with the hexadecimal digest
_LENGTH = 2  # bytes at the end of an archive without a comment, which say that its length is 0
_TAIL = _COMMENT.to_bytes(_LENGTH, "little") + _MARK
_AT_ONCE = 2**20


class CheckedCheckpointIO(CheckpointIO):
    """Writes checkpoints with their checksum, and refuses to read those that are damaged or would execute something.

    Args:
        reserve: room for the last one, where the disk is full; None keeps none.
    """

    def __init__(self, reserve: DiskReserve | None = None) -> None:
        self._reserve = reserve

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint in the place of what was there, in one move.

        Raises:
            UserError: the disk is full; see `DiskReserve.saving`.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._reserve is None:
            self._write(checkpoint, path)
        else:
            self._reserve.saving(lambda: self._write(checkpoint, path), path)

    @staticmethod
    def _write(checkpoint: dict[str, Any], path: Path) -> None:
        with replacing(path) as file:
            hashing = _HashingWriter(file)
            torch.save(checkpoint, cast(IO[bytes], hashing))
            file.seek(-_LENGTH, io.SEEK_END)
            file.write(_TAIL + hashing.digest.hexdigest().encode())

    def load_checkpoint(
        self, path: Any, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """What was saved; `weights_only` is always true, since a run's folder may come from a stranger.

        Raises:
            UserError: the file is damaged, or holds more than tensors and plain values.
        """
        path = Path(path)
        if problem := damage(path):
            raise UserError(f"the checkpoint {path} {problem}: delete it to go on from an earlier one")
        try:
            loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # an unpickler raises whatever the bytes make it raise
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UserError(
                f"the checkpoint {path} holds more than tensors and plain values, or is none ({reason}); nothing of it "
                "was executed: delete it if you do not know where it comes from"
            ) from None
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        """Deletes a checkpoint, where it is there; that of several processes may be a folder."""
        path = Path(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def damage(path: Path) -> str:
    """What is wrong with a checkpoint, as a sentence says it; empty where it is whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(size - _LENGTH - _COMMENT, 0))
            tail = file.read()
            if not tail.startswith(_TAIL):
                return "is cut off" if size else "is empty"
            digest = _digest(file, size - _LENGTH - _COMMENT)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "" if tail == _TAIL + digest.encode() else "is damaged: its bytes are not those that were written"


def _digest(file: BinaryIO, size: int) -> str:
    """Of the archive as it was before the comment was put behind it: these bytes, and a length of 0."""
    found = hashlib.sha256()
    file.seek(0)
    left = size
    while left > 0 and (data := file.read(min(_AT_ONCE, left))):
        found.update(data)
        left -= len(data)
    found.update(bytes(_LENGTH))
    return found.hexdigest()


class _HashingWriter(io.RawIOBase):
    """Hands on what is written, and hashes it."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """All of it."""
        self.digest.update(data)
        self._file.write(data)
        return len(data)
