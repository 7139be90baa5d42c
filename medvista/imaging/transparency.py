"""Pictures that let something show through: what they hold, and how it looks on white paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

GREY_MODES = {"1": np.uint8, "L": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32}
_AT_ONCE = 2**20  # numbers that are mixed at a time
_KEYED_MODES = ("1", "L", "RGB", "I;16", "I;16B")  # in which a PNG may name one colour that is transparent


def values_and_alpha(picture: ImageFile, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The upright values of an opened picture, and how opaque each pixel is, None where the format cannot say.

    Alpha may be a channel, a table or an index of a palette, or one colour that counts as transparent. Where it was
    multiplied into the colour it is divided out.

    Args:
        picture: opened, not yet decoded.
        path: its file, decoded again where Pillow keeps half of a 16-bit colour.

    Returns:
        ``[H, W]`` grey at its depth or ``[H, W, 3]`` uint8, and ``[H, W]`` of the same range, 0 where nothing is drawn.
    """
    layout = raw_mode(picture)
    if layout == "LA;16B":
        return _grey_and_alpha_16(picture)
    picture.load()  # first: a TIFF is turned by this, and a PNG's orientation may stand behind its pixels
    ImageOps.exif_transpose(picture, in_place=True)
    key = picture.info.get("transparency")
    if key is not None and picture.mode in _KEYED_MODES:
        values = _values(picture)
        return values, _alpha_of_key(values, key, layout, path)
    if not picture.has_transparency_data:
        return _values(picture), None
    rgba = np.array((picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA"))
    return rgba[..., :3], rgba[..., 3]


def raw_mode(picture: ImageFile) -> str:
    """How a file lays its values out, in Pillow's words, such as ``"RGB;16B"``; empty once it is decoded."""
    layout: Any = picture.tile[0].args if picture.tile else ""
    if isinstance(layout, tuple):
        layout = layout[0] if layout else ""
    return layout if isinstance(layout, str) else ""


def on_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Unsigned values ``[...]`` or ``[..., 3]`` over white, which is their largest number, rounded.

    Args:
        values: of the picture.
        alpha: ``[...]``, unsigned; its largest number is opaque.

    >>> on_white(np.array([[0, 100, 7]], np.uint8), np.array([[128, 255, 0]], np.uint8))
    array([[127, 100, 255]], dtype=uint8)
    """
    white, opaque = (int(np.iinfo(array.dtype).max) for array in (values, alpha))
    shown = np.empty_like(values)
    rows = max(_AT_ONCE * len(values) // max(values.size, 1), 1)
    for start in range(0, len(values), rows):  # eight bytes for each number, so not for all of a picture at a time
        strip = slice(start, start + rows)
        share = alpha[strip].astype(np.uint64)
        if values.ndim > alpha.ndim:
            share = share[..., None]
        mixed = values[strip].astype(np.uint64) * share + white * (opaque - share)
        shown[strip] = (mixed + opaque // 2) // opaque
    return shown


def _values(picture: Image.Image) -> np.ndarray:
    """Grey at its depth, anything else as RGB."""
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)  # native byte order, whatever the file's
    if picture.mode in GREY_MODES:
        return np.array(picture.convert("L") if picture.mode == "1" else picture, dtype=GREY_MODES[picture.mode])
    return np.array(picture.convert("RGB"))


def _grey_and_alpha_16(picture: ImageFile) -> tuple[np.ndarray, np.ndarray]:
    """Both at 16 bits. Pillow knows them in 8; read as four channels of a byte each they are whole."""
    picture.tile = [picture.tile[0]._replace(args="RGBA")]
    picture._mode = "RGBA"
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    both = np.array(picture).view(">u2").astype(np.uint16)  # [H, W, 2]
    return both[..., 0], both[..., 1]


def _alpha_of_key(values: np.ndarray, key: int | tuple[int, ...], layout: str, path: Path) -> np.ndarray:
    """0 where a pixel has the transparent colour, which a file gives in its own bits and not in those decoded."""
    wanted = np.array(key)
    if layout in ("L;2", "L;4"):
        wanted = wanted * (255 // (2 ** int(layout[-1]) - 1))
    elif layout == "RGB;16B":
        values = values.astype(np.uint16) << 8 | _low_bytes(path)
    elif values.dtype == np.uint8:
        wanted = wanted & 255
    hit = values == wanted
    if values.ndim == 3:
        hit = hit.all(axis=-1)
    return np.where(hit, 0, 255).astype(np.uint8)


def _low_bytes(path: Path) -> np.ndarray:
    """Of 16-bit colour that is stored with its high bytes first, the low ones."""
    with Image.open(path) as picture:
        picture.tile = [picture.tile[0]._replace(args="RGB;16L")]  # takes the second byte
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return np.array(picture)
