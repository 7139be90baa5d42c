"""Requests and replies as bytes, their large arrays beside them: what travels to a worker and back."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

APART_FROM = 64 * 1024  # bytes; smaller arrays are quicker within the pickle


def pack(value: Any) -> tuple[bytes, list[np.ndarray]]:
    """A picklable value as a pickle and the large arrays it refers to, each once, not copied."""
    packer = _Packer(buffer := io.BytesIO())
    packer.dump(value)
    return buffer.getvalue(), packer.arrays


def unpack(data: bytes, arrays: Sequence[np.ndarray]) -> Any:
    """The inverse of `pack`; the value holds the arrays as they are given."""
    return _Unpacker(io.BytesIO(data), arrays).load()


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays: list[np.ndarray] = []
        self._places: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        """The place of a large array in `arrays`; None for what stays in the pickle."""
        if not isinstance(obj, np.ndarray) or obj.nbytes < APART_FROM or obj.dtype.hasobject:
            return None
        if id(obj) not in self._places:
            self._places[id(obj)] = len(self.arrays)
            self.arrays.append(obj)
        return self._places[id(obj)]


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Sequence[np.ndarray]) -> None:
        super().__init__(file)
        self._arrays = arrays

    def persistent_load(self, pid: Any) -> np.ndarray:
        return self._arrays[pid]
