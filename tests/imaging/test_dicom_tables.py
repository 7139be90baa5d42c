"""Look-up tables and palettes of DICOM files, in every form in which they are written."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medvista.imaging import read_image, to_display
from medvista.notices import NOTICES

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
ENCODINGS = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
CT = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": 1, "RescaleIntercept": -1024}
quiet = pytest.mark.filterwarnings("ignore::medvista.imaging.identifiers.BurnedInWarning")


def table(entries, first, bits, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries) & 0xFFFF, first, bits])
    item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
    return item


def power(count, largest):
    return np.rint(largest * np.linspace(0, 1, count) ** 1.5).astype(int)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_table_that_starts_below_zero_starts_there_whatever_its_vr(write_dicom, re_encode, encoding, vr, photometric):
    entries = power(1024, 4095)
    voi = table(entries, -500 if vr == "SS" else 65036, 12, vr)
    path = write_dicom(RAMP, VOILUTSequence=[voi], PhotometricInterpretation=photometric, **CT)
    image = read_image(re_encode(path, encoding))
    wanted = entries[np.clip(RAMP.astype(int) - 1024 + 500, 0, 1023)] * 255 / 4095
    assert np.abs(to_display(image) - (255 - wanted if photometric == "MONOCHROME1" else wanted)).max() <= 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_table_that_starts_at_40000_starts_there_where_no_value_is_negative(write_dicom, re_encode, encoding):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = write_dicom(values, Modality="DX", VOILUTSequence=[table(power(1000, 4095), 40000, 12)])
    wanted = power(1000, 4095)[np.clip(values.astype(int) - 40000, 0, 999)] * 255 / 4095
    assert np.abs(to_display(read_image(re_encode(path, encoding))) - wanted).max() <= 1


@pytest.mark.parametrize(("declared", "used"), [(16, 12), (16, 10), (10, 12), (8, 16), (12, 12)])
def test_a_table_is_shown_by_the_bits_that_its_entries_use(write_dicom, declared, used):
    NOTICES.clear()
    entries = power(4096, 2**used - 1)
    image = read_image(write_dicom(RAMP, Modality="CR", VOILUTSequence=[table(entries, 0, declared)]))
    assert np.abs(to_display(image) - entries[RAMP] * 255 / (2**used - 1)).max() <= 1
    assert len(NOTICES.collected()) == (declared != used)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("declared", "largest"), [(16, 65535), (12, 4095), (16, 4095), (8, 255)])
def test_a_modality_table_of_any_depth_and_sign_is_applied(write_dicom, re_encode, encoding, declared, largest):
    values = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    entries = power(4000, largest)
    path = write_dicom(values, Modality="CR", ModalityLUTSequence=[table(entries, 65536 - 2000, declared)])
    pixels = read_image(re_encode(path, encoding)).pixels
    assert np.array_equal(pixels, entries[np.clip(values.astype(int) + 2000, 0, 3999)])


# ------------------------------------------------------------------------------------------------------------- palettes


def palette(channels, first, bits, form):
    """Tags of a palette; the form is 8-bit entries two in a word, in the low or the high half of one, or in both."""
    tags = {"PhotometricInterpretation": "PALETTE COLOR", "BurnedInAnnotation": "NO"}
    for colour, entries in zip(("Red", "Green", "Blue"), channels, strict=True):
        packed = np.append(entries, [0] * (len(entries) % 2)).astype(np.uint8)
        words = (entries * {"low": 1, "high": 256, "both": 257}.get(form, 0)).astype("<u2")
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [len(entries) & 0xFFFF, first, bits]
        tags[f"{colour}PaletteColorLookupTableData"] = (packed if form == "packed" else words).tobytes()
    return tags


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("form", "bits"), [("packed", 8), ("low", 8), ("low", 16), ("high", 16), ("both", 16)])
@pytest.mark.parametrize(
    ("count", "first", "kind"),
    [(256, 0, np.uint8), (101, 5, np.uint8), (256, -128, np.int8), (4096, 0, np.uint16), (65536, 0, np.uint16)],
)
def test_a_palette_is_looked_up_however_its_entries_are_packed(
    write_dicom, re_encode, encoding, form, bits, count, first, kind
):
    rng = np.random.default_rng(count)
    channels = [rng.integers(0, 256, count) for _ in range(3)]
    channels[2] //= 8  # one that is dark: the depth is that of all three
    limits = np.iinfo(kind)
    values = rng.integers(max(limits.min, first - 9), min(limits.max, first + count + 9) + 1, (20, 30)).astype(kind)
    image = read_image(re_encode(write_dicom(values, **palette(channels, first, bits, form)), encoding))
    index = np.clip(values.astype(int) - first, 0, count - 1)
    assert np.array_equal(image.pixels, np.stack([entries[index] for entries in channels], axis=-1))


SEGMENTS = [0, 3, 0, 100, 250, 1, 5, 25, 0, 2, 40, 9, 2, 2, 5]  # the last repeats two segments, from the sixth element
EXPANDED = [0, 100, 250, 205, 160, 115, 70, 25, 40, 9, 12, 15, 19, 22, 25, 40, 9]  # lines from 250, and from 9, to 25


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_in_segments_is_expanded(write_dicom, re_encode, encoding, bits):
    if bits == 8:  # a repetition begins at a byte, counted in four bytes or two words
        data = np.array([*SEGMENTS, 0, 0, 0], np.uint8).tobytes()
    else:
        scaled = [value << 8 if index in {2, 3, 4, 7, 10, 11} else value for index, value in enumerate(SEGMENTS)]
        data = np.array([*scaled[:14], 10, 0], "<u2").tobytes()
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [len(EXPANDED), 0, bits]
        tags[f"Segmented{colour}PaletteColorLookupTableData"] = data
    values = np.arange(20, dtype=np.uint8).reshape(4, 5)
    pixels = read_image(re_encode(write_dicom(values, **tags), encoding)).pixels
    wanted = np.array(EXPANDED)[np.clip(values, 0, len(EXPANDED) - 1)]
    assert np.abs(pixels.astype(int) - wanted).max() <= (bits == 16)  # in 16 bits a line is rounded later
