"""A DICOM file: the tags that are read of it, and its pixels decoded.

Privacy by construction: only the tags below are ever read, so no name, birth date or identifier of the patient is in
memory, in an error message or in a warning of pydicom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, get_decoder, pixel_array
from pydicom.uid import UID

from medvista.errors import UserError
from medvista.imaging.decimal_commas import mend_decimal_commas
from medvista.imaging.limits import refuse_too_large
from medvista.imaging.pictures import grey_if_grey

_PALETTE = tuple(
    f"{c}PaletteColorLookupTable{part}" for c in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_SEGMENTED = tuple(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue"))
TAGS = (
    *("SOPClassUID", "ImageType", "Modality", "ConversionType", "BurnedInAnnotation"),
    "SeriesInstanceUID",  # tells the series of a folder apart, and goes no further
    *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor"),
    *("SequenceOfUltrasoundRegions", "ImagePositionPatient", "ImageOrientationPatient"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(*_PALETTE, *_SEGMENTED),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong with a damaged file into one sentence: parsers and decoders have errors of all kinds.

    Raises:
        UserError: the body raised.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a decoder in Rust panics with an exception that is no Exception
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged and cannot be read ({reason}); replace the file.") from None


def read_dataset(path: Path, *, pixels: bool = True, image: bool = True) -> pydicom.Dataset:
    """The `TAGS` of a file. Call it inside `reading`, as everything that uses the data set.

    Args:
        path: the file, with or without DICOM's preamble.
        pixels: False leaves the pixels where they are.
        image: False also takes a file that holds no image.

    Raises:
        UserError: it holds no image.
    """
    dataset = pydicom.dcmread(path, force=True, specific_tags=list(TAGS), stop_before_pixels=not pixels)
    mend_decimal_commas(dataset, path)
    if image and not all(dataset.get(tag) for tag in ("Rows", "Columns")):
        raise UserError(f"{path} holds no image, or is cut off before it; give a DICOM file with pixels.")
    return dataset


def decode(dataset: pydicom.Dataset, path: Path) -> np.ndarray:
    """The stored values: ``[N, H, W]`` grey as stored, or ``[N, H, W, 3]`` RGB in 8 bits.

    Raises:
        UserError: the pixels are too large, or no decoder for their compression is installed.
    """
    frames = int(dataset.get("NumberOfFrames", None) or 1)
    samples = int(dataset.get("SamplesPerPixel", 1))
    shape = (frames, int(dataset.Rows), int(dataset.Columns), samples)
    refuse_too_large(path, shape, max(int(dataset.get("BitsAllocated", 8)) // 8, 1))
    _refuse_without_decoder(dataset, path)
    values = pixel_array(dataset)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = _to_8_bits(apply_color_lut(values, dataset), 16)[..., :3]
        samples = 3
    elif samples == 3:
        values = _to_8_bits(values, int(dataset.BitsStored))
    if samples == 3:
        return grey_if_grey(values.reshape(*shape[:3], 3))
    return values.reshape(shape[:3])


def _refuse_without_decoder(dataset: pydicom.Dataset, path: Path) -> None:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if not isinstance(syntax, UID) or not syntax.is_compressed or not syntax.is_encapsulated:
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
