"""TIFF files whose smallest value is white: Pillow turns 8 bits around, and does not read all of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from medvista.notices import notice

_SIGNED = 2  # a value of SampleFormat
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


class TiffPicture(TiffImageFile):
    """A TIFF file read as if its smallest value were black, which knows whether it is white."""

    min_is_white = False

    def _setup(self) -> None:
        if self.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
            self.min_is_white = True
            self.tag_v2[PHOTOMETRIC_INTERPRETATION] = 1
        super()._setup()
        if self.use_load_libtiff:  # which gives values in the machine's byte order, as Pillow knows of some kinds only
            self.tile = [tile._replace(args=_in_native_order(tile.args)) for tile in self.tile]

    def load_seek(self, pos: int) -> None:
        """As for any file; its being here keeps Pillow from mapping the file, which garbles one that lies sideways."""
        assert self.fp is not None
        self.fp.seek(pos)


def _in_native_order(layout: Any) -> tuple[Any, ...]:
    kind, *rest = layout
    return (_NATIVE.get(kind, kind), *rest)


def is_tiff(path: Path) -> bool:
    """By its first bytes."""
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def true_values(picture: TiffPicture, values: np.ndarray, path: Path) -> np.ndarray:
    """The grey values of a TIFF file as it means them: signed where they are, and larger is brighter.

    Integers of up to 16 bits are turned around within the range of their bits. Floats and 32 bits are turned within
    the range found, since nothing says where theirs ends.

    Args:
        picture: the file, decoded.
        values: ``[H, W]`` or ``[H, W, 3]`` as Pillow reads it.
        path: of the file.
    """
    bits, signed = _of_samples(picture)
    if bits == 8 and signed and values.ndim == 2:
        values = values.view(np.int8)
    elif bits == 32 and not signed and values.dtype == np.int32 and values.min() < 0:
        values = values.view(np.uint32)
    if not picture.min_is_white:
        return values
    if bits == 32:
        notice("TIFF files of 32 bits whose smallest value is white were turned around in their own range", str(path))
        return _turned(values)
    top = -1 if signed else 2**bits - 1 if bits > 8 else 255  # fewer than 8 bits are spread over 8
    return (top - values.astype(np.int32)).astype(values.dtype)


def _of_samples(picture: TiffPicture) -> tuple[int, bool]:
    """Bits of a sample, and whether they are signed integers."""
    bits, kind = picture.tag_v2.get(BITSPERSAMPLE, (1,)), picture.tag_v2.get(SAMPLEFORMAT, (1,))
    return int(bits[0]), int(kind[0]) == _SIGNED


def _turned(values: np.ndarray) -> np.ndarray:
    """Small becomes large, between the smallest and the largest that is finite."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return values
    low, high = finite.min(), finite.max()
    if values.dtype.kind == "f":
        return (float(low) + float(high) - values).astype(values.dtype)
    return (int(low) + int(high) - values.astype(np.int64)).astype(values.dtype)
