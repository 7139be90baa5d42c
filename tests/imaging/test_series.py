"""DICOM series put together to volumes."""

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.imaging import open_image, points_to_patient, read_image, take_slice
from medvista.types import Slice

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
ORIENTATIONS = {  # rows and columns run along; the plane that is
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
}


@pytest.mark.parametrize("plane", ORIENTATIONS)
def test_slices_of_any_plane_are_sorted_and_shown_as_they_were_acquired(write_series, plane):
    image = read_image(write_series(VOXELS, ORIENTATIONS[plane]))
    assert image.slice.plane == plane
    seen = [take_slice(image.volume, Slice(plane=plane, index=index)).pixels for index in range(6)]
    # Radiological numbering runs from head, front and right; the normal of these orientations to head, front and left.
    normal = np.cross(ORIENTATIONS[plane][:3], ORIENTATIONS[plane][3:])
    forwards = normal.sum() * {"axial": -1, "coronal": 1, "sagittal": 1}[plane] > 0
    assert np.array_equal(seen, VOXELS if forwards else VOXELS[::-1])
    assert image.spacing_mm == (0.5, 0.25)


@pytest.mark.parametrize("orientation", [*ORIENTATIONS.values(), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.6, 0.8, 0)])
def test_each_voxel_keeps_its_place_in_the_patient(write_series, orientation):
    image = read_image(write_series(VOXELS, orientation))
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    for slice_index, row, column in [(0, 0, 0), (2, 3, 4), (5, 6, 7)]:
        wanted = np.array([-10, -20, 30]) + slice_index * 2.5 * np.cross(across, down)
        wanted = wanted + across * 0.25 * column + down * 0.5 * row
        x, y, z, _ = np.linalg.inv(image.volume.to_patient) @ (*wanted, 1)
        assert image.volume.voxels[int(z), int(y), int(x)] == VOXELS[slice_index, row, column]
        shown = take_slice(image.volume, Slice(plane="axial", index=int(z)))
        assert points_to_patient(shown, [(int(x) + 0.5, int(y) + 0.5)])[0] == pytest.approx(wanted, abs=1e-6)


def test_the_window_of_the_series_holds_for_every_plane(write_series):
    image = read_image(write_series(VOXELS, WindowCenter=-600, WindowWidth=1500))
    for plane in image.volume.planes:
        assert take_slice(image.volume, Slice(plane=plane, index=0)).window.width == 1500


def test_a_series_whose_slices_have_their_own_slopes_is_one_volume(write_series, write_dicom):
    folder = write_series(VOXELS, Modality="PT", RescaleSlope=0.5, RescaleIntercept=0)
    assert read_image(folder).volume.voxels.dtype == np.float32


def test_a_missing_slice_is_named(write_series):
    with pytest.raises(UserError, match=r"slices 1 and 2 are 5\.00 mm apart, others 2\.50 mm"):
        read_image(write_series(VOXELS, skip=(2,)))


def test_a_gantry_tilt_is_refused(write_series):
    with pytest.raises(UserError, match=r"tilt of 11\.3 degrees"):
        read_image(write_series(VOXELS, step=(0.0, 0.5, 2.5)))


def test_slices_at_the_same_place_are_refused(write_series):
    with pytest.raises(UserError, match="lie at the same place"):
        read_image(write_series(VOXELS, step=0.0))


def test_images_without_a_position_are_refused(write_series):
    with pytest.raises(UserError, match="without a position"):
        read_image(write_series(VOXELS, ImagePositionPatient=None))


def test_slices_of_different_sizes_are_refused(write_series, write_dicom):
    folder = write_series(VOXELS)
    tags = {"SeriesInstanceUID": "1.2.3", "PixelSpacing": [0.5, 0.25]}
    tags |= {"ImagePositionPatient": [-10, -20, 99], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    write_dicom(np.zeros((9, 9), np.int16), "series/other.dcm", **tags)
    with pytest.raises(UserError, match="different sizes"):
        read_image(folder)


def test_two_series_in_a_folder_are_told_apart(write_series, write_dicom):
    folder = write_series(VOXELS)
    write_dicom(VOXELS[0], "series/other.dcm", SeriesInstanceUID="9.9.9", Modality="PT")
    with pytest.raises(UserError, match=r"2 series \(6 CT, 1 PT images\)"):
        read_image(folder)


def test_what_is_no_image_is_passed_over_and_nothing_left_is_said(write_series, tmp_path):
    folder = write_series(VOXELS)
    (folder / "notes.txt").write_text("not DICOM")
    assert read_image(folder).volume.voxels.shape == VOXELS.shape
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no DICOM images"):
        read_image(tmp_path / "empty")


def test_a_folder_with_one_file_is_that_image(write_dicom):
    assert read_image(write_dicom(VOXELS[0], "one/only.dcm").parent).volume is None


def test_an_opened_series_is_kept_read_only(write_series):
    folder = write_series(VOXELS)
    image = open_image(folder)
    assert open_image(folder) is image
    assert not image.volume.voxels.flags.writeable
    assert not take_slice(image.volume, Slice(plane="sagittal", index=0)).pixels.flags.writeable
