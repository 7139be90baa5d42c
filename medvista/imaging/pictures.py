"""PNG, JPEG and TIFF files to `MedicalImage`, through Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from medvista.errors import UserError
from medvista.imaging.limits import MAX_PIXELS
from medvista.types import MedicalImage

_GREY_MODES = {"1": np.uint8, "L": np.uint8, "I;16": np.uint16, "I": np.int32, "F": np.float32}


def read_picture(path: Path, modality: str = "unknown") -> MedicalImage:
    """Read a PNG, JPEG or TIFF file; its metadata is dropped.

    Grey pictures keep their 8, 16 or 32 bits; a grey picture stored as RGB is read as grey; colour becomes RGB.

    Args:
        path: the file.
        modality: recorded with the image, as these formats do not say.

    Raises:
        UserError: the file is truncated, not an image, or too large to decode safely.
    """
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
        raise UserError(
            f"{path} is not an image file that can be read; give a PNG, JPEG, TIFF, DICOM or NIfTI file."
        ) from None
    except Image.DecompressionBombError:
        raise UserError(f"{path} is too large: more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and others
        raise UserError(f"{path} is damaged and cannot be decoded ({error}); replace the file.") from None
    return MedicalImage(pixels=pixels, modality=modality)


def grey_if_grey(colour: np.ndarray) -> np.ndarray:
    """RGB ``[..., 3]`` as it is, or ``[...]`` where all three channels are the same."""
    first = colour[..., 0]
    grey = np.array_equal(first, colour[..., 1]) and np.array_equal(first, colour[..., 2])
    return np.ascontiguousarray(first) if grey else colour


def _to_array(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)  # native byte order, whatever the file's
    if picture.mode in _GREY_MODES:
        return np.array(picture.convert("L") if picture.mode == "1" else picture, dtype=_GREY_MODES[picture.mode])
    if picture.mode == "LA":
        return np.array(picture.convert("L"))
    return grey_if_grey(np.array(picture.convert("RGB")))
