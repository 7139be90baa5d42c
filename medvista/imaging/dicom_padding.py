"""Pixels that fill a DICOM picture up to its rectangle and show nothing of the patient (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

_FLOATS = {4: "FloatPixelPadding", 8: "DoubleFloatPixelPadding"}  # by the bytes of a value


def padding_mask(
    dataset: Dataset, words: np.ndarray, values: np.ndarray, span: tuple[float, float]
) -> np.ndarray | None:
    """Which pixels ``[...]`` are padding: those of the padding value, or between it and its limit; None for none.

    Args:
        dataset: the data set.
        words: what was decoded ``[...]``, with the bits beyond those stored.
        values: the stored values ``[...]`` that these are.
        span: the smallest and the largest that they may be.
    """
    keyword = _FLOATS[words.dtype.itemsize] if words.dtype.kind == "f" else "PixelPadding"
    value, limit = dataset.get(f"{keyword}Value"), dataset.get(f"{keyword}RangeLimit")
    if value is None:
        return None
    ends = value, value if limit is None else limit
    if words.dtype.kind == "f":
        found = _between(words, *(float(end) for end in ends))
    else:
        found = _of_integers(words, values, (_number(ends[0]), _number(ends[1])), span)
    return found if found.any() else None


def _of_integers(
    words: np.ndarray, values: np.ndarray, patterns: tuple[int, int], span: tuple[float, float]
) -> np.ndarray:
    """Where the padding is, by the 16 bits of its ends: their VR often has the wrong sign, stored values have not."""
    signed = values.dtype.kind == "i"
    first, last = (_extended(pattern, 16) if signed else pattern & 0xFFFF for pattern in patterns)
    if all(span[0] <= end <= span[1] for end in (first, last)):
        return _between(values, first, last)
    # No stored value: written into the whole word, beyond the stored bits, so that it cannot be one.
    found = _between(words, first, last)
    if signed and not found.any():  # or into the stored bits alone, its sign not extended
        bits = int(span[1] - span[0]).bit_length()
        return _between(values, _extended(first, bits), _extended(last, bits))
    return found


def _between(values: np.ndarray, one: float, other: float) -> np.ndarray:
    """The limit may be below the value as well as above it."""
    return (values >= min(one, other)) & (values <= max(one, other))


def _extended(pattern: int, bits: int) -> int:
    """The number that the lowest `bits` of a pattern are, with their sign.

    >>> _extended(0xF830, 16), _extended(0x830, 12)
    (-2000, -2000)
    """
    pattern &= 2**bits - 1
    return pattern - 2**bits if pattern >> (bits - 1) else pattern


def _number(value: object) -> int:
    return int.from_bytes(value, "little") if isinstance(value, bytes) else int(str(value))
