"""One run in a folder at a time: a second one would move the first one's folder aside, or write into its logs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medvista.errors import UserError
from medvista.notices import notice

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds a run's folder until the block ends, or the process does, however it ends.

    The lock is the system's, on a file ``.<name>.lock`` beside the folder, which may be moved meanwhile; what a dead
    process left behind is simply taken over.

    Raises:
        UserError: another process holds it; which one is told.
    """
    path, handle = _opened(folder.absolute())
    try:
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _opened(folder: Path) -> tuple[Path, int]:
    """The lock file and its handle, which holds the lock."""
    path = folder.with_name(f".{folder.name}.lock")
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            if path.parent == folder:
                raise
            path = folder / ".lock"  # the folder is a mount point, and beside it nothing can be written
            continue
        try:
            _take(handle, folder)
        except BaseException:
            os.close(handle)
            raise
        if path.exists() and os.path.samestat(os.stat(path), os.fstat(handle)):
            return path, handle
        os.close(handle)  # whoever held it has removed it meanwhile


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise UserError(
                f"output_dir={folder} is in use by another run{_holder(handle)}: wait for it, or give another "
                "output_dir."
            ) from None
        notice("folders of runs were not locked, since their file system has no locks", str(folder))


def _holder(handle: int) -> str:
    try:
        held = json.loads(os.pread(handle, 1000, 0))
        return f" (process {held['process']} on {held['host']})"
    except (ValueError, TypeError, KeyError):
        return ""
