"""The pixels of a DICOM file: decoded, without the bits that are not theirs, and which of them are padding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import UID, RLELossless

from medvista.errors import UserError
from medvista.imaging.dicom_bombs import refuse_larger_codestreams, start_of_frame
from medvista.imaging.dicom_padding import padding_mask
from medvista.imaging.dicom_palette import palette_colours
from medvista.imaging.limits import refuse_too_large
from medvista.imaging.pictures import grey_if_grey
from medvista.notices import notice

_UNREAD = {"HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420"}  # pydicom gives them out as if they were RGB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """The stored values of all frames."""

    values: np.ndarray  # [N, H, W] grey, or [N, H, W, 3] RGB in 8 bits
    padding: np.ndarray | None = None  # [N, H, W] bool, of grey: pixels that show nothing


def decode(dataset: Dataset, path: Path) -> Stored:
    """The stored values of a file; call it inside `reading`.

    Raises:
        UserError: the pixels are too large, in colours of a retired kind, or no decoder for their compression is
            installed.
    """
    frames = int(dataset.get("NumberOfFrames", None) or 1)
    samples = int(dataset.get("SamplesPerPixel", 1))
    shape = (frames, int(dataset.Rows), int(dataset.Columns), samples)
    refuse_too_large(path, shape, max(int(dataset.get("BitsAllocated", 8)) // 8, 1))
    _refuse_without_decoder(dataset, path)
    refuse_larger_codestreams(dataset, _compression(dataset), path)
    if dataset.PhotometricInterpretation in _UNREAD:
        raise UserError(
            f"{path} holds colours as {dataset.PhotometricInterpretation}, which is not read; convert to RGB."
        )
    words = pixel_array(dataset, correct_unused_bits=False)
    words = words.astype(words.dtype.newbyteorder("="), copy=False)
    values = words if words.dtype.kind == "f" or dataset.BitsAllocated == 1 else _stored(dataset, words, path)
    if samples == 3:
        return Stored(values=grey_if_grey(_to_8_bits(values, stored_bits(dataset)).reshape(shape)))
    values, words = values.reshape(shape[:3]), words.reshape(shape[:3])
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return Stored(values=grey_if_grey(palette_colours(dataset, values, stored_range(dataset, values))))
    padding = padding_mask(dataset, words, values, stored_range(dataset, values))
    if values.dtype.kind == "f":
        values = values.astype(np.float32)
    return Stored(values=values, padding=padding)


def stored_bits(dataset: Dataset) -> int:
    """How many bits a stored whole number has."""
    return int(dataset.get("BitsStored") or dataset.BitsAllocated)


def stored_range(dataset: Dataset, stored: np.ndarray) -> tuple[float, float]:
    """The smallest and largest value that could be stored, or, of floats, that is."""
    if stored.dtype.kind == "f":
        finite = stored[np.isfinite(stored)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    bits = stored_bits(dataset)
    if stored.dtype.kind == "i":
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1


def _stored(dataset: Dataset, words: np.ndarray, path: Path) -> np.ndarray:
    """The stored bits of words ``[...]``, sign extended, without what lies above and below them, as overlays do."""
    word = 8 * words.itemsize
    bits = min(stored_bits(dataset), word)
    highest = _highest_bit(dataset, words, bits, path)
    signed = bool(dataset.get("PixelRepresentation", 0))
    values = words.astype(np.dtype(f"{'i' if signed else 'u'}{words.itemsize}"), copy=False)
    if bits == word:
        return values
    if "PixelPaddingValue" in dataset:
        values = values.copy()  # padding may lie beyond the stored bits, so the words are still needed
    np.left_shift(values, word - 1 - highest, out=values)
    return np.right_shift(values, word - bits, out=values)


def _highest_bit(dataset: Dataset, words: np.ndarray, bits: int, path: Path) -> int:
    """The last of the stored bits of a decoded word: High Bit, which old files have elsewhere than Bits Stored - 1."""
    lowest, written = bits - 1, int(dataset.get("HighBit", bits - 1))
    if not lowest < written < 8 * words.itemsize or _is_compressed_to(dataset, bits):
        return lowest
    below = words & ((1 << (written - lowest)) - 1)
    low, high = stored_range(dataset, words)
    if below.any() and low <= words.min() and words.max() <= high:
        notice("pixels that do not lie where their tag High Bit says were read from the lowest bits", str(path))
        return lowest
    return written


def _is_compressed_to(dataset: Dataset, bits: int) -> bool:
    """Whether a codestream holds no more than the stored bits; decoded, these are the lowest ones."""
    if _compression(dataset) in (None, RLELossless):
        return False
    depth = _depth(get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))
    return depth is not None and depth <= bits


def _depth(codestream: bytes) -> int | None:
    """Bits of a value, as a JPEG, JPEG-LS or JPEG 2000 codestream says."""
    if parameters := get_j2k_parameters(codestream):
        return int(parameters["precision"])
    at = start_of_frame(codestream)
    return None if at is None else codestream[at + 4]


def _compression(dataset: Dataset) -> UID | None:
    """The transfer syntax of compressed pixels."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    compressed = isinstance(syntax, UID) and syntax.is_compressed and syntax.is_encapsulated
    return syntax if compressed else None


def _refuse_without_decoder(dataset: Dataset, path: Path) -> None:
    syntax = _compression(dataset)
    if syntax is None:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise UserError(f"{path} is compressed as {syntax.name}, which pydicom cannot decode; convert it.") from None
    if not available:
        raise UserError(
            f"{path} is compressed as {syntax.name}, and no decoder for it is installed: pip install 'medvista[dicom]'."
        )


def _to_8_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return values if values.dtype == np.uint8 else (values >> max(bits - 8, 0)).astype(np.uint8)
