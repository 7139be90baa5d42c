"""Stored bits of DICOM values: where they lie in a word, what lies beside them, and words that are floats."""

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import compress
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from medvista.errors import UserError
from medvista.imaging import read_image, to_display
from medvista.notices import NOTICES
from medvista.types import Window

ENCODINGS = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
RNG = np.random.default_rng(0)


def words_of(values, bits, highest, junk):
    """Values in the bits of a word that end at the highest one, with zeros or anything beside them."""
    mask = ((1 << bits) - 1) << (highest - bits + 1)
    words = (values << (highest - bits + 1)) & mask
    return (words | (RNG.integers(0, 2**16, values.shape) & ~mask if junk else 0)).astype(np.uint16)


def values_of(bits, signed):
    low = -(1 << (bits - 1)) if signed else 0
    return RNG.integers(low, low + (1 << bits), (64, 64))


@pytest.mark.parametrize("encoding", [*ENCODINGS, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("bits", "highest"), [(12, 11), (12, 15), (10, 11)])
@pytest.mark.parametrize("junk", [False, True])
def test_a_value_is_its_stored_bits(write_dicom, re_encode, encoding, signed, bits, highest, junk):
    if encoding == JPEG2000Lossless:
        pytest.importorskip("openjpeg")
    values = values_of(bits, signed)
    path = write_dicom(words_of(values, bits, highest, junk), Modality="MR")
    if encoding.is_encapsulated:  # as whole words, as encoders do that do not look at what they hold
        dataset = pydicom.dcmread(path)
        compress(dataset, encoding, generate_instance_uid=False)
        dataset.save_as(path)
    dataset = pydicom.dcmread(path)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, highest, signed
    dataset.save_as(path)
    if not encoding.is_encapsulated:
        path = re_encode(path, encoding)
    assert np.array_equal(read_image(path).pixels, values)


def test_a_codestream_of_as_many_bits_as_are_stored_is_not_shifted(tmp_path):
    pytest.importorskip("libjpeg")
    dataset = pydicom.dcmread(get_testdata_file("JPGExtended.dcm"))
    decoded = dataset.pixel_array
    dataset.HighBit = 15
    dataset.save_as(tmp_path / "high.dcm")
    assert np.array_equal(read_image(tmp_path / "high.dcm").pixels, decoded)


def test_colours_of_12_bits_are_shown_without_what_lies_beside_them(write_dicom):
    values = RNG.integers(0, 4096, (8, 9, 3))
    path = write_dicom(
        words_of(values, 12, 15, junk=True), Rows=8, Columns=9, SamplesPerPixel=3, PlanarConfiguration=0, BitsStored=12
    )
    dataset = pydicom.dcmread(path)
    del dataset.NumberOfFrames
    dataset.PhotometricInterpretation = "RGB"
    dataset.save_as(path)
    assert np.array_equal(read_image(path).pixels, values >> 4)


def test_a_high_bit_that_the_values_contradict_is_not_believed(write_dicom):
    NOTICES.clear()
    values = values_of(12, signed=False)
    image = read_image(write_dicom(values.astype(np.uint16), Modality="MR", BitsStored=12, HighBit=15))
    assert np.array_equal(image.pixels, values)
    assert "High Bit" in NOTICES.collected()[0].what


def test_values_of_few_bits_in_8_are_not_shown_dark(write_dicom, write_series):
    values = RNG.integers(0, 5, (6, 8, 9)).astype(np.uint8)
    tags = {"Modality": "MR", "BitsStored": 3, "HighBit": 2}
    wanted = [0, 64, 128, 191, 255]
    assert np.unique(to_display(read_image(write_dicom(values[0], **tags)))).tolist() == wanted
    assert np.unique(to_display(read_image(write_series(values, **tags)))).tolist() == wanted


# --------------------------------------------------------------------------------------------------------------- floats


def write_floats(path, values, **tags):
    """The values in place of the pixels of a file."""
    dataset = pydicom.dcmread(path)
    for tag in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(dataset, tag)
    keyword, vr = ("FloatPixelData", "OF") if values.dtype.itemsize == 4 else ("DoubleFloatPixelData", "OD")
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.add_new(keyword, vr, values.tobytes())
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "OT"])
@pytest.mark.filterwarnings("ignore::medvista.imaging.identifiers.BurnedInWarning")
def test_floats_are_read_and_rescaled_as_floats(write_dicom, kind, modality):
    values = RNG.normal(0, 100, (8, 9)).astype(kind)
    path = write_floats(write_dicom(np.zeros((8, 9), np.int16), Modality=modality), values)
    image = read_image(path)
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels, values.astype(np.float32))
    assert image.window == (Window(centre=40, width=400) if modality == "CT" else None)
    rescaled = read_image(
        write_floats(write_dicom(np.zeros((8, 9), np.int16)), values, RescaleSlope=1, RescaleIntercept=-5)
    )
    assert np.allclose(rescaled.pixels, values - 5, atol=1e-4)


def test_frames_of_floats_are_a_film(write_dicom):
    values = RNG.normal(0, 100, (3, 8, 9)).astype(np.float32)
    path = write_floats(write_dicom(np.zeros((3, 8, 9), np.int16)), values)
    assert np.array_equal(read_image(path).volume.voxels, values)


# ----------------------------------------------------------------------------------------------------- what is not read


@pytest.mark.parametrize("photometric", ["HSV", "CMYK", "YBR_PARTIAL_422"])
def test_colours_of_a_retired_kind_are_refused_and_not_taken_for_rgb(write_dicom, photometric):
    path = write_dicom(np.zeros((8, 9), np.uint8), PhotometricInterpretation=photometric)
    with pytest.raises(UserError, match=f"colours as {photometric}"):
        read_image(path)


@pytest.mark.parametrize(
    ("tags", "low"),
    [({"RescaleIntercept": -1024}, -1024), ({"RescaleSlope": 0, "RescaleIntercept": -9}, -9), ({"RescaleSlope": 2}, 0)],
)
def test_half_a_rescale_is_completed_and_said(write_dicom, tags, low):
    NOTICES.clear()
    values = np.arange(72, dtype=np.uint16).reshape(8, 9)
    assert np.array_equal(
        read_image(write_dicom(values, **tags)).pixels, values * (tags.get("RescaleSlope") or 1.0) + low
    )
    assert "rescale" in NOTICES.collected()[0].what
