"""Arrays in memory that another process may map: a file without a name, which ends with the last who holds it."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """What turns bytes back into an array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the array."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class SharedArray:
    """A copy of an array in shared memory, until this object is collected and all who map it have ended.

    Being without a name, it cannot be left behind by a process that is killed.
    """

    def __init__(self, array: np.ndarray) -> None:
        contiguous = np.ascontiguousarray(array)
        self.form = ArrayForm(contiguous.dtype, array.shape)
        self.fd = _nameless_file()
        # Written, not mapped and copied: the kernel then fills the pages without a fault for each.
        rest = contiguous.reshape(-1).view(np.uint8).data
        while rest:
            rest = rest[os.write(self.fd, rest) :]

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # not made, or the interpreter is ending
            os.close(self.fd)


def map_array(fd: int, form: ArrayForm) -> np.ndarray:
    """The shared array, read-only and without a copy; closes the descriptor."""
    try:
        pages = mmap.mmap(fd, form.nbytes, prot=mmap.PROT_READ)
    finally:
        os.close(fd)
    return np.frombuffer(pages, dtype=form.dtype).reshape(form.shape)


def read_array(fd: int, form: ArrayForm) -> np.ndarray:
    """A copy of the shared array, which holds no descriptor open; closes the descriptor."""
    try:
        array = np.empty(form.shape, form.dtype)
        rest, offset = array.reshape(-1).view(np.uint8).data, 0
        while rest:
            count = os.preadv(fd, [rest], offset)
            if count == 0:
                raise EOFError("a shared array is shorter than it should be")
            rest, offset = rest[count:], offset + count
    finally:
        os.close(fd)
    return array


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("medvista")
    with tempfile.TemporaryFile() as file:  # already unlinked
        return os.dup(file.fileno())
