"""Masks: their outline box, and the run-length code that files keep them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvista.types import Box


def mask_box(mask: np.ndarray) -> Box | None:
    """The smallest box around a mask ``[H, W]`` in its own pixels; None for an empty one.

    >>> mask_box(np.array([[False, False, False], [False, True, True]]))
    (1.0, 1.0, 3.0, 2.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_to_rle(mask: np.ndarray) -> dict[str, list[int]]:
    """COCO's uncompressed run-length code: lengths of runs, column by column, the first of them False.

    Args:
        mask: ``[H, W]`` bool.

    >>> mask_to_rle(np.array([[False, True], [False, True]]))
    {'size': [2, 2], 'counts': [2, 2]}
    """
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    starts_true = bool(flat.size) and bool(flat[0])
    return {"size": [int(side) for side in mask.shape], "counts": [0, *counts] if starts_true else counts}


def mask_from_rle(rle: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """The mask ``[H, W]`` that `mask_to_rle` wrote.

    Raises:
        ValueError: the runs do not fill the size.
    """
    height, width = (int(side) for side in rle["size"])
    counts = np.array(rle["counts"], dtype=np.int64)
    # Checked before anything of that size is made: the file may come from elsewhere.
    if min(height, width) < 0 or (counts < 0).any() or counts.sum() != height * width:
        raise ValueError(f"its runs cover {counts.sum()} pixels, its size is {height} x {width}")
    values = np.arange(counts.size) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")
