"""A look-up table of a DICOM file, as it is meant: writers disagree on signs, on depth, and on how it is packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """What each input becomes; inputs before the first or beyond the last are treated like these."""

    first: int  # the input that ``entries[0]`` is of
    entries: np.ndarray  # [N] uint16
    declared_bits: int  # of an entry, as the descriptor says

    @property
    def bits(self) -> int:
        """Of the largest entry: what the table really uses."""
        return max(int(self.entries.max()).bit_length(), 1)

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """The entry ``[...]`` of each whole number ``[...]``."""
        wide = values.astype(np.promote_types(values.dtype, np.int32))
        return self.entries[np.clip(wide - self.first, 0, len(self.entries) - 1)]


def read_table(dataset: Dataset, descriptor: Any, data: Any, span: tuple[float, float]) -> Table | None:
    """The table of a descriptor (number of entries, first input, bits of an entry) and its data; None for half a one.

    Args:
        dataset: the data set that the table is in, however deep; it says how words are written.
        descriptor: three numbers, of which a file of implicit VR does not say whether they have a sign.
        data: the entries, as bytes or numbers.
        span: the smallest and the largest input that the table may meet.
    """
    if data is None or not isinstance(descriptor, Sequence) or len(descriptor) != 3:
        return None
    count, first, bits = (int(number) for number in descriptor)
    count = (count & 0xFFFF) or 2**16
    words = as_words(dataset, data)
    entries = (as_bytes(words) if _is_packed(len(words), count, bits) else words)[:count]
    if not entries.size:
        return None
    explicit = not dataset.original_encoding[0]
    start = first if first < 0 and explicit else _first_input(first, count, span)
    return Table(first=start, entries=entries.astype(np.uint16), declared_bits=bits)


def as_words(dataset: Dataset, data: Any) -> np.ndarray:
    """The 16-bit words ``[N]`` of an element of any VR, in the byte order of its file."""
    if not isinstance(data, bytes):
        return (np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF).astype(np.uint16)
    little = dataset.original_encoding[1]
    return np.frombuffer(data + b"\0" * (len(data) % 2), "<u2" if little else ">u2").astype(np.uint16)


def as_bytes(words: np.ndarray) -> np.ndarray:
    """The 8-bit entries ``[2 N]`` of words ``[N]`` that hold two each, the first of them in the lower half."""
    return words.astype("<u2").view(np.uint8)


def _is_packed(words: int, count: int, bits: int) -> bool:
    """Whether two entries share a word. The length of the data decides (note of PS3.3 C.7.6.3.1.5), not the depth."""
    return 2 * words <= count + count % 2 and not (bits > 8 and words >= count)


def _first_input(written: int, count: int, span: tuple[float, float]) -> int:
    """The first input with or without a sign, whichever makes the table cover more of what it may meet.

    Its sign is that of the input, which is rescaled (PS3.3 C.11.2.1.1), while the VR, and what a reader makes of one
    that is not written, follow the stored values.
    """
    unsigned = written & 0xFFFF
    signed = unsigned - 2**16 if unsigned >= 2**15 else unsigned

    def covered(first: int) -> tuple[float, bool]:
        return min(first + count - 1, span[1]) - max(first, span[0]), (first < 0) == (span[0] < 0)

    return max((unsigned, signed), key=covered)
