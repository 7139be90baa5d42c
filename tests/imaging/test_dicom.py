"""DICOM files, by value against pydicom."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from medvista.errors import UserError
from medvista.imaging import points_to_patient, read_image, to_display
from medvista.imaging.identifiers import BurnedInWarning
from medvista.types import Window

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
quiet = pytest.mark.filterwarnings("ignore::medvista.imaging.identifiers.BurnedInWarning")


def shown_by_pydicom(path):
    """The display in 8 bits as pydicom computes it."""
    dataset = pydicom.dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(float)
    low, high = shown.min(), shown.max()
    grey = (shown - low) / (high - low) * 255
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def test_a_rescaled_ct_has_hounsfield_units_in_16_bits(write_dicom):
    path = write_dicom(RAMP, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 500], WindowWidth=[400, 2000])
    image = read_image(path)
    assert image.pixels.dtype == np.int16
    assert np.array_equal(image.pixels, RAMP.astype(int) - 1024)
    assert image.window == Window(centre=40, width=400)
    assert image.modality == "CT"
    # DICOM's LINEAR counts half a grey value differently: 0.64 of 255 at this width, and half of one for rounding.
    assert np.abs(to_display(image) - shown_by_pydicom(path)).max() <= 1.15


def test_a_slope_that_is_not_whole_gives_floats(write_dicom):
    image = read_image(write_dicom(RAMP, Modality="PT", RescaleSlope=0.25, RescaleIntercept=0.5))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels, RAMP * np.float32(0.25) + np.float32(0.5))


def test_a_modality_look_up_table_is_applied(write_dicom):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 16])
    table.add_new("LUTData", "US", list(range(0, 8192, 2)))
    table.ModalityLUTType = "US"
    image = read_image(write_dicom(RAMP, Modality="CR", ModalityLUTSequence=[table]))
    assert np.array_equal(image.pixels, 2 * RAMP)


def test_monochrome_1_is_turned_around_with_its_window(write_dicom):
    tags = {"Modality": "DX", "BitsStored": 12, "HighBit": 11, "WindowCenter": 1000, "WindowWidth": 1500}
    path = write_dicom(RAMP, PhotometricInterpretation="MONOCHROME1", **tags)
    image = read_image(path)
    assert np.array_equal(image.pixels, 4095 - RAMP)
    assert image.window == Window(centre=3095, width=1500)
    assert np.abs(to_display(image) - shown_by_pydicom(path)).max() <= 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_voi_look_up_table_is_the_display_and_keeps_the_grey_values(write_dicom, photometric):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [1024, 512, 12])
    table.add_new("LUTData", "US", [round(4095 * (i / 1023) ** 2) for i in range(1024)])
    tags = {"Modality": "DX", "BitsStored": 12, "HighBit": 11, "VOILUTSequence": [table], "WindowCenter": 9}
    path = write_dicom(RAMP, PhotometricInterpretation=photometric, WindowWidth=9, **tags)
    image = read_image(path)
    assert np.array_equal(image.pixels, RAMP if photometric == "MONOCHROME2" else 4095 - RAMP)
    assert image.window is None
    assert np.abs(to_display(image) - shown_by_pydicom(path)).max() <= 1


def test_a_sigmoid_is_shown_as_one(write_dicom):
    path = write_dicom(RAMP, Modality="MG", WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")
    exact = 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))
    assert np.abs(to_display(read_image(path)) - exact).max() <= 1


def test_a_ct_that_names_no_window_is_shown_in_that_of_soft_tissue(write_dicom):
    assert read_image(write_dicom(RAMP, RescaleSlope=1, RescaleIntercept=-1024)).window == Window(centre=40, width=400)
    assert read_image(write_dicom(RAMP, Modality="MR")).window is None


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"PixelSpacing": [0.7, 0.5], "ImagerPixelSpacing": [0.2, 0.2]}, (0.7, 0.5)),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"ImagerPixelSpacing": [0.3, 0.3], "EstimatedRadiographicMagnificationFactor": 1.5}, (0.2, 0.2)),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1)),
        ({"PixelSpacing": [0, 0]}, None),
        ({}, None),
    ],
)
def test_spacing_is_that_of_the_patient_as_far_as_the_file_says(write_dicom, tags, spacing):
    assert read_image(write_dicom(RAMP, **tags)).spacing_mm == (None if spacing is None else pytest.approx(spacing))


@quiet
def test_the_spacing_of_an_ultrasound_image_is_that_of_its_region():
    path = get_testdata_file("examples_ybr_color.dcm")
    region = pydicom.dcmread(path).SequenceOfUltrasoundRegions[0]
    assert read_image(path).spacing_mm == pytest.approx((10 * region.PhysicalDeltaY, 10 * region.PhysicalDeltaX))


def test_a_single_slice_knows_its_place_in_the_patient():
    path = get_testdata_file("J2K_pixelrep_mismatch.dcm")  # a head, slices tilted by 22 degrees
    dataset, image = pydicom.dcmread(path), read_image(path)
    across, down = np.array(dataset.ImageOrientationPatient[:3]), np.array(dataset.ImageOrientationPatient[3:])
    row, column = 10, 20
    middle = (
        dataset.ImagePositionPatient + across * dataset.PixelSpacing[1] * column + down * dataset.PixelSpacing[0] * row
    )
    assert points_to_patient(image, [(column + 0.5, row + 0.5)])[0] == pytest.approx(middle)


@quiet
@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_bigendian.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "JPGExtended.dcm",
        "SC_rgb_rle.dcm",
    ],
)
def test_compressed_and_big_endian_files_hold_what_pydicom_decodes(name):
    path = get_testdata_file(name)
    pytest.importorskip("pylibjpeg")
    pixels = read_image(path).pixels
    assert pixels.dtype.isnative
    assert np.array_equal(pixels, pydicom.dcmread(path).pixel_array)


@quiet
def test_palette_colours_are_looked_up():
    pixels = read_image(get_testdata_file("examples_palette.dcm")).pixels
    dataset = pydicom.dcmread(get_testdata_file("examples_palette.dcm"))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset) >> 8)


@quiet
def test_a_film_is_frames_and_shown_by_its_middle_one():
    image = read_image(get_testdata_file("examples_ybr_color.dcm"))
    assert image.volume.voxels.shape == (30, 240, 320, 3)
    assert (image.slice.plane, image.slice.index) == ("frame", 15)
    assert np.array_equal(image.pixels, image.volume.voxels[15])


def test_an_enhanced_file_whose_frames_lie_in_a_row_is_a_volume(write_dicom):
    def functional(z):
        group, place, orientation, measures = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, z]
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing = [1, 1]
        group.PlanePositionSequence = [place]
        group.PlaneOrientationSequence = [orientation]
        group.PixelMeasuresSequence = [measures]
        return group

    voxels = np.random.default_rng(0).integers(0, 4000, (3, 4, 5)).astype(np.uint16)
    heights = [10, 30, 20]  # as stored, not in order
    path = write_dicom(voxels, Modality="MR", PerFrameFunctionalGroupsSequence=[functional(z) for z in heights])
    image = read_image(path)
    assert np.array_equal(image.volume.voxels, voxels[[1, 2, 0]])  # from head to feet
    assert image.volume.spacing_mm == (10, 1, 1)


# -------------------------------------------------------------------------------------------------------- what is wrong


def test_a_decoder_that_is_missing_is_named_with_how_to_install_it(monkeypatch):
    from pydicom.pixels import get_decoder

    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm")
    decoder = get_decoder(pydicom.dcmread(path).file_meta.TransferSyntaxUID)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(UserError, match=r"compressed as JPEG-LS Lossless.*pip install 'medvista\[dicom\]'"):
        read_image(path)


@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm"])
def test_a_truncated_file_is_one_sentence(tmp_path, name, kept):
    data = Path(get_testdata_file(name)).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError, match=r"cut\.dcm (is damaged|holds no image)") as error:
        read_image(tmp_path / "cut.dcm")
    assert "\n" not in str(error.value)


def test_a_header_that_promises_too_much_is_refused_before_decoding(write_dicom):
    path = write_dicom(RAMP, Rows=60000, Columns=60000)
    with pytest.raises(UserError, match="too large: 60000 x 60000"):
        read_image(path)
    path = write_dicom(RAMP, NumberOfFrames=10_000_000)
    with pytest.raises(UserError, match="too large"):
        read_image(path)


def test_a_report_holds_no_image():
    with pytest.raises(UserError, match="holds no image"):
        read_image(get_testdata_file("test-SR.dcm"))


def test_content_decides_what_a_file_is_and_not_its_name(write_dicom, tmp_path):
    path = write_dicom(RAMP, "image.png")
    assert read_image(path).modality == "CT"
    bare = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    with (tmp_path / "bare").open("wb") as file:  # a data set alone, as old archives have them
        pydicom.dcmwrite(file, bare, implicit_vr=True, little_endian=True, force_encoding=True)
    assert read_image(tmp_path / "bare").size == (128, 128)


# ------------------------------------------------------------------------------------------------ burned-in identifiers


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"BurnedInAnnotation": "YES"}, "Burned In Annotation says"),
        ({"Modality": "US"}, "ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"ConversionType": "DF"}, "secondary capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "saved screen"),
    ],
)
def test_an_image_that_may_show_a_name_is_warned_of(write_dicom, tags, said):
    with pytest.warns(BurnedInWarning, match=said):
        read_image(write_dicom(RAMP, **tags))


@pytest.mark.parametrize("tags", [{}, {"BurnedInAnnotation": "NO", "Modality": "US"}, {"Modality": "MR"}])
def test_an_image_without_risk_is_not_warned_of(write_dicom, tags):
    with warnings.catch_warnings():
        warnings.simplefilter("error", BurnedInWarning)
        read_image(write_dicom(RAMP, **tags))
