"""The files of a folder: which are the slices of its series, and what is said of the others."""

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medvista.errors import UserError
from medvista.imaging import read_image
from medvista.notices import NOTICES

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
LAST = "005.dcm"
LOCALIZER = {"SeriesInstanceUID": "1.2.3", "PixelSpacing": [1, 1], "ImagePositionPatient": [0, 0, 0]}
LOCALIZER |= {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}


@pytest.fixture(autouse=True)
def nothing_said():
    NOTICES.clear()


def said():
    return {notice.what: notice.count for notice in NOTICES.collected()}


@pytest.mark.parametrize("encoding", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("name", ["image.dcm", "image", "image.png"])
def test_a_data_set_without_group_2_is_read_in_any_encoding(write_dicom, re_encode, encoding, name):
    path = re_encode(write_dicom(VOXELS[0]), encoding, bare=True).rename(write_dicom(VOXELS[0]).parent / name)
    assert np.array_equal(read_image(path).pixels, VOXELS[0])
    assert list(said().values()) == [1]


@pytest.mark.parametrize("name", [LAST, "no_suffix"])
@pytest.mark.parametrize("encoding", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_such_a_data_set_is_a_slice_of_its_series(write_series, re_encode, encoding, name):
    folder = write_series(VOXELS)
    bare = re_encode(folder / LAST, encoding, bare=True)
    (folder / LAST).unlink()
    bare.rename(folder / name)
    assert np.array_equal(read_image(folder).volume.voxels, VOXELS[::-1])
    assert list(said().values()) == [1]


def test_compressed_pixels_without_a_name_for_their_compression_are_refused(write_dicom, re_encode):
    import pydicom
    from pydicom.uid import RLELossless

    path = write_dicom(VOXELS[0])
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    with pytest.raises(UserError, match="compressed, and does not say how"):
        read_image(re_encode(path, ExplicitVRLittleEndian, bare=True))


@pytest.mark.parametrize("content", [b"", b"not DICOM" * 99, b"\x08\x00\x05\x00CS"])
def test_files_without_an_image_are_left_out_and_counted(write_series, content):
    folder = write_series(VOXELS)
    (folder / "bad.dcm").write_bytes(content)
    (folder / "notes.txt").write_text("a report")
    (folder / ".hidden").write_text("of the file manager")
    assert read_image(folder).volume.voxels.shape == VOXELS.shape
    (notice,) = NOTICES.collected()
    assert "hold no DICOM image" in notice.what
    assert notice.count == 2


def test_a_slice_whose_header_is_cut_off_is_said_to_be_left_out(write_series):
    folder = write_series(VOXELS)
    (folder / LAST).write_bytes((folder / LAST).read_bytes()[:300])
    assert len(read_image(folder).volume.voxels) == 5
    assert NOTICES.collected()[0].examples == (str(folder / LAST),)


def test_a_gap_that_a_left_out_file_makes_is_told_with_it(write_series):
    folder = write_series(VOXELS)
    (folder / "003.dcm").write_bytes((folder / "003.dcm").read_bytes()[:300])
    with pytest.raises(UserError, match=r"5\.00 mm apart.*1 held no slice and did not count \(003\.dcm\)"):
        read_image(folder)


# ----------------------------------------------------------------------------------------------------------- localizers


@pytest.mark.parametrize(
    "tags",
    [
        {**LOCALIZER, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesInstanceUID": "1.2.3", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},  # without a position
        LOCALIZER,  # known by its direction
    ],
)
def test_a_localizer_is_left_out_and_said(write_series, write_dicom, tags):
    folder = write_series(VOXELS)
    write_dicom(np.zeros((20, 30), np.int16), "series/localizer.dcm", **tags)
    assert np.array_equal(read_image(folder).volume.voxels, VOXELS[::-1])
    assert said() == {"localizers were left out of a series": 1}


def test_a_series_of_localizers_is_read(write_series):
    folder = write_series(VOXELS, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert read_image(folder).volume.voxels.shape == VOXELS.shape
    assert said() == {}


def test_images_of_three_directions_are_no_volume_with_localizers(write_series, write_dicom):
    folder = write_series(VOXELS)
    for index in range(3):
        place = {**LOCALIZER, "ImagePositionPatient": [0, index, 0]}
        write_dicom(VOXELS[0], f"series/coronal{index}.dcm", **place)
    with pytest.raises(UserError, match="differ in orientation"):
        read_image(folder)
    assert said() == {}


# ------------------------------------------------------------------------------------------------------ slices unlike


def test_files_of_several_frames_are_not_read_by_their_first(write_series):
    with pytest.raises(UserError, match="holds 2 frames and is not alone"):
        read_image(write_series(np.stack([VOXELS, VOXELS], axis=1)))


def test_a_slice_of_colours_that_are_all_grey_stays_in_its_series(write_series):
    colours = np.random.default_rng(0).integers(0, 255, (4, 7, 8, 3)).astype(np.uint8)
    colours[1] = 9
    tags = {"Modality": "OT", "BurnedInAnnotation": "NO", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    folder = write_series(colours, Rows=7, Columns=8, NumberOfFrames=1, PhotometricInterpretation="RGB", **tags)
    assert np.array_equal(read_image(folder).volume.voxels, colours[::-1])


def test_slices_turned_around_within_their_own_ranges_are_put_into_one(write_dicom):
    pixels = np.arange(56, dtype=np.uint16).reshape(7, 8)
    tags = {"Modality": "PT", "SeriesInstanceUID": "1.2.3", "PixelSpacing": [1, 1], "RescaleIntercept": 0}
    tags |= {"PhotometricInterpretation": "MONOCHROME1", "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    for index, slope in enumerate((0.5, 1.0, 2.0)):
        place = [0, 0, 5 * index]
        path = write_dicom(pixels, f"series/{index}.dcm", RescaleSlope=slope, ImagePositionPatient=place, **tags)
    voxels = read_image(path.parent).volume.voxels
    assert np.ptp(voxels[:, 0, 0]) == 0  # the same activity, none, in each slice
    assert (voxels[::-1, 0, 0] - voxels[::-1, 6, 7]).tolist() == [27.5, 55, 110]
