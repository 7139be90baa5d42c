"""PNG, JPEG, TIFF and other pictures to `MedicalImage`, through Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from medvista.errors import UserError
from medvista.imaging.display import with_label_window
from medvista.imaging.limits import MAX_PIXELS
from medvista.imaging.tiff import TiffPicture, is_tiff, true_values
from medvista.imaging.transparency import on_white, raw_mode, values_and_alpha
from medvista.notices import notice
from medvista.types import MedicalImage

_UNKNOWN_TIFF = ("unknown pixel mode", "unknown data organization")  # what Pillow says of a whole file it cannot read


def read_picture(path: Path, modality: str = "unknown") -> MedicalImage:
    """Read a PNG, JPEG, TIFF, GIF, WebP or other picture; its metadata is dropped.

    Grey pictures keep their 8, 16 or 32 bits; a grey picture stored as RGB is read as grey; colour becomes RGB in 8
    bits. What is transparent becomes white.

    Args:
        path: the file.
        modality: recorded with the image, as these formats do not say.

    Raises:
        UserError: the file is truncated, not an image, of several pages, or too large to decode safely.
    """
    try:
        with _opened(path) as picture:
            pixels = _pixels(picture, path)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(
            f"{path} is not an image file that can be read; give a PNG, JPEG, TIFF, DICOM or NIfTI file."
        ) from None
    except Image.DecompressionBombError:
        raise UserError(f"{path} is too large: more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and others
        if str(error) in _UNKNOWN_TIFF:
            raise UserError(f"{path} is a TIFF file of a kind that is not read; save it as grey or RGB.") from None
        raise UserError(f"{path} is damaged and cannot be decoded ({error}); replace the file.") from None
    return with_label_window(MedicalImage(pixels=pixels, modality=modality), str(path))


def grey_if_grey(colour: np.ndarray) -> np.ndarray:
    """RGB ``[..., 3]`` as it is, or ``[...]`` where all three channels are the same."""
    first = colour[..., 0]
    grey = np.array_equal(first, colour[..., 1]) and np.array_equal(first, colour[..., 2])
    return np.ascontiguousarray(first) if grey else colour


def _opened(path: Path) -> ImageFile:
    return TiffPicture(path) if is_tiff(path) else Image.open(path)


def _pixels(picture: ImageFile, path: Path) -> np.ndarray:
    """Grey or RGB, upright and on white; what was left out or guessed is counted."""
    if picture.width * picture.height > MAX_PIXELS:
        raise UserError(f"{path} is too large: {picture.width} x {picture.height}, more than {MAX_PIXELS:,} pixels.")
    _look_at_frames(picture, path)
    if raw_mode(picture).startswith(("RGB;16", "RGBA;16", "RGBa;16", "RGBX;16", "CMYK;16")):
        notice("colour of 16 bits was read in 8", str(path))
    if picture.mode == "CMYK":
        notice("CMYK pictures were turned into RGB without their colour profile", str(path))
    values, alpha = values_and_alpha(picture, path)
    if isinstance(picture, TiffPicture):
        values = true_values(picture, values, path)
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        notice("transparent pictures were shown on white", str(path))
        values = on_white(values, alpha)
    return grey_if_grey(values) if values.ndim == 3 else values


def _look_at_frames(picture: ImageFile, path: Path) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format == "TIFF":
        raise UserError(f"{path} holds {frames} pages; split it into one file a page.")
    if frames > 1:
        notice("of pictures with several frames only the first was read", str(path))
