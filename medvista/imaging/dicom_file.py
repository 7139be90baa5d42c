"""A DICOM file: how it is known, and the tags that are read of it.

Privacy by construction: only the tags below are ever read, so no name, birth date or identifier of the patient is in
memory, in an error message or in a warning of pydicom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medvista.errors import UserError
from medvista.imaging.decimal_commas import mend_decimal_commas
from medvista.imaging.dicom_bombs import refuse_inflated
from medvista.notices import notice

_PALETTE = tuple(
    f"{c}PaletteColorLookupTable{part}" for c in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_SEGMENTED = tuple(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue"))
TAGS = (
    *("SOPClassUID", "ImageType", "Modality", "ConversionType", "BurnedInAnnotation"),
    "SeriesInstanceUID",  # tells the series of a folder apart, and goes no further
    *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *(f"{kind}PixelPadding{end}" for kind in ("", "Float", "DoubleFloat") for end in ("Value", "RangeLimit")),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor"),
    *("SequenceOfUltrasoundRegions", "ImagePositionPatient", "ImageOrientationPatient"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(*_PALETTE, *_SEGMENTED),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)

_NUMBERS = [Tag(keyword) for keyword in TAGS]  # looked up once: a series has many files
_BARE = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # the group that a data set begins with, in either byte order


def is_dicom(head: bytes) -> bool:
    """Whether the first 132 bytes of a file are those of DICOM, with its preamble or as a data set alone."""
    return head[128:132] == b"DICM" or head[:2] in _BARE


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
        UserError: it holds no image, does not say how that is compressed, or is deflated and becomes too large.
    """
    refuse_inflated(path)
    dataset = pydicom.dcmread(path, force=True, specific_tags=list(_NUMBERS), stop_before_pixels=not pixels)
    mend_decimal_commas(dataset, path)
    if image and not all(dataset.get(tag) for tag in ("Rows", "Columns")):
        raise UserError(f"{path} holds no image, or is cut off before it; give a DICOM file with pixels.")
    if image and "TransferSyntaxUID" not in dataset.file_meta:
        _guess_encoding(dataset, path)
    return dataset


def _guess_encoding(dataset: pydicom.Dataset, path: Path) -> None:
    """Writes down how pydicom found a data set to be encoded that has no group 2, and so does not say it."""
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise UserError(
            f"{path} is compressed, and does not say how, since it has no file meta information; export it again."
        )
    implicit, little = dataset.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    notice("DICOM data sets that do not name their encoding had it guessed by their first tag", str(path))
