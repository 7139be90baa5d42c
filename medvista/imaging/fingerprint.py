"""What identifies a picture: its pixels exactly, and what it shows, so that copies are found whatever their file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dctn

from medvista.imaging.display import to_display
from medvista.types import MedicalImage

HASH_SIDE = 16  # frequencies a side that the hash keeps
HASH_BITS = HASH_SIDE * HASH_SIDE
_THUMBNAIL = 4 * HASH_SIDE  # pixels a side
_PAIRS_AT_ONCE = 2**22  # bounds the memory of a comparison to about 150 MB


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Two pictures with one `digest` have the same pixels; a small distance of their `code`s says they look alike."""

    digest: str  # SHA-256 of the decoded pixels, their size and depth
    code: tuple[int, ...]  # `perceptual_hash`, four words of 64 bits


def fingerprint(image: MedicalImage) -> Fingerprint:
    """The fingerprint of an image, as it is decoded and displayed."""
    pixels = np.ascontiguousarray(image.pixels)
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype}".encode())
    digest.update(pixels.tobytes())
    return Fingerprint(digest=digest.hexdigest(), code=tuple(int(word) for word in perceptual_hash(image)))


def perceptual_hash(image: MedicalImage) -> np.ndarray:
    """256 bits, ``[4]`` uint64, that stay nearly the same when a picture is resized, recompressed or brightened.

    The picture becomes 64 x 64 grey values; a bit says whether one of its 16 x 16 lowest frequencies (type-II cosine
    transform) is above their median. This is ``phash(image, hash_size=16)`` of the ImageHash package, whose usual 64
    bits do not tell radiographs of two patients apart. A picture turned, mirrored or cropped gives another hash.
    """
    grey = Image.fromarray(to_display(image)).convert("L")
    small = np.asarray(grey.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(small, type=2)[:HASH_SIDE, :HASH_SIDE]
    return np.packbits(low.ravel() > np.median(low)).view(np.uint64)


def nearest(queries_N4: np.ndarray, keys_M4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest key of each query, in bits that differ.

    Args:
        queries_N4: hashes, ``[N, 4]`` uint64.
        keys_M4: hashes, ``[M, 4]`` uint64, at least one.

    Returns:
        Indices into the keys, ``[N]`` (the first of equals), and distances, ``[N]``, 0 to 256.
    """
    indices, distances = [], []
    for queries in _chunks(queries_N4, len(keys_M4)):
        apart = hamming(queries, keys_M4)
        best = apart.argmin(axis=1)
        indices.append(best)
        distances.append(apart[np.arange(len(queries)), best])
    return _joined(indices), _joined(distances)


def near_pairs(codes_N4: np.ndarray, max_distance: int) -> list[tuple[int, int]]:
    """Pairs ``(i, j)`` with ``i < j`` of hashes, ``[N, 4]`` uint64, that differ in at most `max_distance` bits."""
    pairs: list[tuple[int, int]] = []
    start = 0
    for part in _chunks(codes_N4, len(codes_N4)):
        rows, columns = np.nonzero(hamming(part, codes_N4) <= max_distance)
        pairs += [(int(i) + start, int(j)) for i, j in zip(rows, columns, strict=True) if i + start < j]
        start += len(part)
    return pairs


def hamming(a_N4: np.ndarray, b_M4: np.ndarray) -> np.ndarray:
    """How many bits differ between each of `a` and each of `b`, ``[N, M]``."""
    return np.bitwise_count(a_N4[:, None] ^ b_M4[None]).sum(axis=-1, dtype=np.int64)


def _chunks(rows: np.ndarray, columns: int) -> list[np.ndarray]:
    size = max(_PAIRS_AT_ONCE // max(columns, 1), 1)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
