"""What is too large to read: a header of a few bytes can ask for all the memory of a machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from medvista.errors import UserError

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # of one picture; where Pillow, too, calls it a decompression bomb
MAX_VOLUME_BYTES = 4 * 2**30


def refuse_too_large(path: Path, shape: Sequence[int], itemsize: int) -> None:
    """Look at what a header says before anything is decoded.

    Args:
        path: the file, for the message.
        shape: frames or slices, rows, columns, and what else multiplies them.
        itemsize: bytes of one value.

    Raises:
        UserError: one picture has more than `MAX_PIXELS`, or all of it takes more than `MAX_VOLUME_BYTES`.
    """
    rows, columns = shape[1:3]
    if rows * columns > MAX_PIXELS:
        raise UserError(f"{path} is too large: {rows} x {columns} is more than {MAX_PIXELS:,} pixels.")
    size = math.prod(shape) * itemsize
    if size > MAX_VOLUME_BYTES:
        raise UserError(f"{path} is too large: {size / 2**30:.1f} GiB, more than {MAX_VOLUME_BYTES // 2**30}; crop it.")
