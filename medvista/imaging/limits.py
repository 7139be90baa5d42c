"""What is too large to read: a header of a few bytes can ask for all the memory of a machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from medvista.errors import UserError

MAX_PIXELS = 9459**2  # of one picture; beyond it, Pillow warns of a decompression bomb. Reading takes 1.3 GiB then
MAX_VOLUME_BYTES = 4 * 2**30
MAX_PEAK_BYTES = 8 * 2**30  # while a volume is read: its values as stored, scaled, turned upright


def refuse_too_large(path: Path, shape: Sequence[int], itemsize: int, peak: float = 0.0) -> None:
    """Look at what a header says before anything is decoded.

    Args:
        path: the file, for the message.
        shape: frames or slices, rows, columns, and what else multiplies them.
        itemsize: bytes of one value.
        peak: bytes for each value while all of them are read, where that was measured.

    Raises:
        UserError: one picture has more than `MAX_PIXELS`, or all of it takes more than `MAX_VOLUME_BYTES`, or than
            `MAX_PEAK_BYTES` while it is read.
    """
    rows, columns = shape[1:3]
    if rows * columns > MAX_PIXELS:
        raise UserError(f"{path} is too large: {rows} x {columns} is more than {MAX_PIXELS:,} pixels.")
    size = math.prod(shape) * itemsize
    if size > MAX_VOLUME_BYTES:
        raise UserError(f"{path} is too large: {size / 2**30:.1f} GiB, more than {MAX_VOLUME_BYTES // 2**30}; crop it.")
    if (needed := math.prod(shape) * peak) > MAX_PEAK_BYTES:
        raise UserError(
            f"{path} is too large: reading it takes {needed / 2**30:.1f} GiB, more than {MAX_PEAK_BYTES // 2**30}; "
            "crop it."
        )
