"""What an image is, in 16 bytes: equal for equal images, wherever they were read."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import numpy as np

from medvista.tools.per_array import PerArray
from medvista.types import MedicalImage

_KEPT_FROM = 4096  # bytes; smaller arrays are hashed each time, which is quicker than looking them up


def image_hash(image: MedicalImage) -> bytes:
    """Hash of all that an image holds: pixels, window, spacing, provenance.

    The pixels of an array are read once, however many images and calls refer to it.
    """
    _Hasher(buffer := io.BytesIO()).dump(image)
    return hashlib.blake2b(buffer.getbuffer(), digest_size=16).digest()


def _content(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).digest()


_kept_content = PerArray(_content)


class _Hasher(pickle.Pickler):
    """Pickles an image with the hashes of its arrays in their place."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.fast = True  # no memo: what is equal is written equally, be it one object or two

    def persistent_id(self, obj: Any) -> tuple[str, tuple[int, ...], bytes] | None:
        if not isinstance(obj, np.ndarray):
            return None
        content = _content(obj) if obj.nbytes < _KEPT_FROM else _kept_content(obj)
        return obj.dtype.str, obj.shape, content
