"""Files to `MedicalImage`, at their native bit depth."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from medvista.errors import UserError
from medvista.types import MedicalImage

CACHE_BYTES = 512 * 2**20

_GREY_MODES = {"1": np.uint8, "L": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32}


def open_image(image: MedicalImage | Path) -> MedicalImage:
    """The image itself, or the file read; files read lately are kept in memory, read-only.

    Raises:
        UserError: the file is missing or cannot be decoded.
    """
    return image if isinstance(image, MedicalImage) else _cache.get(Path(image))


def read_image(path: Path, modality: str = "unknown") -> MedicalImage:
    """Read a PNG, JPEG or TIFF file.

    Grey pictures keep their 8, 16 or 32 bits; a grey picture stored as RGB is read as grey; colour becomes RGB.

    Args:
        path: the file.
        modality: recorded with the image, as these formats do not say.

    Raises:
        UserError: the file is missing, truncated, not an image, or too large to decode safely.
    """
    if not path.is_file():
        raise UserError(f"There is no image file {path}; check the path and the data root.")
    try:
        with Image.open(path) as picture:
            pages = getattr(picture, "n_frames", 1)
            if picture.format == "TIFF" and pages > 1:
                raise UserError(f"{path} holds {pages} pages; split it into one file a page.")
            ImageOps.exif_transpose(picture, in_place=True)
            pixels = _to_array(picture)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{path} is not an image file that can be read; give a PNG, JPEG or TIFF.") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path} is too large: more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels.") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and others
        raise UserError(f"{path} is damaged and cannot be decoded ({error}); replace the file.") from None
    return MedicalImage(pixels=pixels, modality=modality)


def _to_array(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)  # native byte order, whatever the file's
    if picture.mode in _GREY_MODES:
        return np.array(picture.convert("L") if picture.mode == "1" else picture, dtype=_GREY_MODES[picture.mode])
    if picture.mode == "LA":
        return np.array(picture.convert("L"))
    colour = np.array(picture.convert("RGB"))
    first = colour[..., 0]
    grey = np.array_equal(first, colour[..., 1]) and np.array_equal(first, colour[..., 2])
    return np.ascontiguousarray(first) if grey else colour


class _ImageCache:
    """Least recently used files, bounded by their bytes and safe between threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._images: OrderedDict[tuple[Path, int], MedicalImage] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: Path) -> MedicalImage:
        key = (path, path.stat().st_mtime_ns if path.is_file() else 0)
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        image = read_image(path)  # outside the lock, so that threads decode side by side
        image.pixels.flags.writeable = False  # shared between episodes
        with self._lock:
            if key not in self._images:
                self._images[key] = image
                self._bytes += image.pixels.nbytes
            while self._bytes > self._limit and len(self._images) > 1:
                self._bytes -= self._images.popitem(last=False)[1].pixels.nbytes
        return image


_cache = _ImageCache(CACHE_BYTES)
