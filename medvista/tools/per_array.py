"""What was computed of an array, kept while the array lives."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

Kept = TypeVar("Kept")


class PerArray(Generic[Kept]):
    """Computes something of an array once, and forgets it with the array. Safe to use from several threads.

    Pixels of images are never changed in place here, so the identity of an array stands for its content.

    Args:
        compute: what is kept of an array.
        max_bytes: of the arrays it was computed of; beyond that, what was used longest ago is forgotten.
        max_count: of arrays, likewise.
    """

    def __init__(
        self,
        compute: Callable[[np.ndarray], Kept],
        *,
        max_bytes: float = float("inf"),
        max_count: float = float("inf"),
    ) -> None:
        self._compute = compute
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._bytes = 0
        self._kept: OrderedDict[int, tuple[weakref.ref[np.ndarray], int, Kept]] = OrderedDict()
        # Reentrant: an array may be collected, and forgotten, while this very thread is in here.
        self._lock = threading.RLock()

    def __call__(self, array: np.ndarray) -> Kept:
        """What was computed of the array, now or before."""
        key = id(array)
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0]() is array:
                self._kept.move_to_end(key)
                return known[2]
        computed = self._compute(array)  # unlocked: other arrays need not wait
        with self._lock:
            self._forget(key)
            self._kept[key] = (weakref.ref(array, lambda gone: self._forget(key, gone)), array.nbytes, computed)
            self._bytes += array.nbytes
            while len(self._kept) > 1 and (self._bytes > self._max_bytes or len(self._kept) > self._max_count):
                self._forget(next(iter(self._kept)))
        return computed

    def __len__(self) -> int:
        return len(self._kept)

    def _forget(self, key: int, gone: weakref.ref[np.ndarray] | None = None) -> None:
        with self._lock:
            known = self._kept.get(key)
            if known is None or gone not in (None, known[0]):  # another array lives where the dead one did
                return
            del self._kept[key]
            self._bytes -= known[1]
