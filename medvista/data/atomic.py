"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file, opened for writing, that takes the place of `path` in one move when the block ends.

    When the block raises, `path` keeps what it had and nothing is left beside it. The folder must exist.

    Args:
        path: of the file.
        sync: have it on the disk, and its name too, before this returns, so that it outlives a loss of power; False
            for the many small files that can be made again.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp keeps a file to its owner; what a run leaves behind is to be shared
        os.replace(name, path)
        if sync:
            _sync_folder(path.parent)
    except BaseException:  # also when interrupted from the keyboard
        Path(name).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file in one move: `path` has what it had, or all of `content`."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folder
        return
    try:
        os.fsync(handle)
    except OSError:  # a file system that has no such thing
        pass
    finally:
        os.close(handle)
