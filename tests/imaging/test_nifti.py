"""NIfTI files, by value against nibabel."""

import gzip

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation

from medvista.errors import UserError
from medvista.imaging import points_to_patient, read_image, take_slice
from medvista.imaging.nifti import OrientationWarning
from medvista.types import Slice, Window

VOXELS = np.random.default_rng(0).integers(-1000, 3000, (5, 6, 7)).astype(np.int16)
RAS = np.diag([2.0, 3.0, 4.0, 1.0])
RAS[:3, 3] = (-10, 20, 30)


def save(tmp_path, voxels=VOXELS, affine=RAS, name="image.nii.gz", kind=nibabel.Nifti1Image):
    nibabel.save(kind(voxels, affine), tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_voxels_stand_upright_and_keep_their_values(tmp_path, name, kind):
    image = read_image(save(tmp_path, name=name, kind=kind))
    # Right, front, head in the file; left, back, feet here.
    assert np.array_equal(image.volume.voxels, VOXELS[::-1, ::-1, ::-1].transpose(2, 1, 0))
    assert image.volume.spacing_mm == (4, 3, 2)
    assert image.volume.voxels.dtype == np.int16


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SAR", "PIL", "ASR"])
def test_any_orientation_of_the_file_gives_the_same_volume(tmp_path, codes):
    turn = nibabel.orientations.ornt_transform(io_orientation(RAS), axcodes2ornt(codes))
    turned = nibabel.orientations.apply_orientation(VOXELS, turn)
    image = read_image(save(tmp_path, turned, RAS @ inv_ornt_aff(turn, VOXELS.shape)))
    assert np.array_equal(image.volume.voxels, VOXELS[::-1, ::-1, ::-1].transpose(2, 1, 0))


def test_each_voxel_keeps_its_place_in_the_patient(tmp_path):
    tilt = np.eye(4)
    tilt[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    volume = read_image(save(tmp_path, affine=tilt @ RAS)).volume
    for i, j, k in [(0, 0, 0), (1, 2, 3), (4, 5, 6)]:
        right, front, head = (tilt @ RAS @ (i, j, k, 1))[:3]
        x, y, z, _ = np.linalg.inv(volume.to_patient) @ (-right, -front, head, 1)
        assert volume.voxels[int(z), int(y), int(x)] == VOXELS[i, j, k]
        shown = take_slice(volume, Slice(plane="sagittal", index=int(x)))
        assert points_to_patient(shown, [(int(y) + 0.5, int(z) + 0.5)])[0] == pytest.approx((-right, -front, head))


def test_the_patient_is_shown_in_the_radiological_convention(tmp_path):
    """A bright spot at the patient's front, right and head, seen in each plane."""
    voxels = np.zeros((9, 9, 9), np.int16)
    voxels[-1, -1, -1] = 1000
    volume = read_image(save(tmp_path, voxels, np.eye(4))).volume
    axial, coronal, sagittal = (take_slice(volume, Slice(plane=plane, index=0)).pixels for plane in volume.planes)
    assert axial[0, 0] == 1000  # the front up, the right on the left
    assert coronal[0, 0] == 1000  # the head up, the right on the left
    assert sagittal[0, 0] == 1000  # the head up, the front on the left


def test_scaled_integers_are_rescaled_and_a_ct_stays_in_16_bits(tmp_path):
    scaled = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), RAS)
    scaled.header.set_slope_inter(1, -1024)
    nibabel.save(scaled, tmp_path / "ct.nii")
    image = read_image(tmp_path / "ct.nii", modality="CT")
    assert image.pixels.dtype == np.int16
    assert image.volume.voxels.min() == nibabel.load(tmp_path / "ct.nii").get_fdata().min()
    assert image.window == Window(centre=40, width=400)


def test_fractions_are_float32_and_64_bit_integers_32(tmp_path):
    assert read_image(save(tmp_path, VOXELS / 7)).pixels.dtype == np.float32
    assert read_image(save(tmp_path, VOXELS.astype(np.int32))).pixels.dtype == np.int32


def test_one_window_serves_all_slices_and_a_file_may_give_it(tmp_path):
    volume = read_image(save(tmp_path)).volume
    low, high = np.percentile(VOXELS, (0.5, 99.5))
    assert (volume.window.centre, volume.window.width) == pytest.approx(((low + high) / 2, high - low))
    given = nibabel.Nifti1Image(VOXELS, RAS)
    given.header["cal_min"], given.header["cal_max"] = 0, 500
    nibabel.save(given, tmp_path / "given.nii")
    assert read_image(tmp_path / "given.nii").window == Window(centre=250, width=500)


def test_thick_slices_are_shown_first(tmp_path):
    assert read_image(save(tmp_path, affine=np.diag([6.0, 1.0, 1.0, 1.0]))).slice.plane == "sagittal"
    assert read_image(save(tmp_path, affine=np.eye(4))).slice.plane == "axial"


def test_colour_is_read(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    packed = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    volume = read_image(save(tmp_path, packed)).volume
    assert np.array_equal(volume.voxels, colours[::-1, ::-1, ::-1].transpose(2, 1, 0, 3))


def test_an_unknown_orientation_is_warned_of(tmp_path):
    unknown = nibabel.Nifti1Image(VOXELS, None)
    unknown.header.set_zooms((1, 1, 1))
    nibabel.save(unknown, tmp_path / "unknown.nii")
    with pytest.warns(OrientationWarning, match="left and right may be swapped"):
        read_image(tmp_path / "unknown.nii")


# -------------------------------------------------------------------------------------------------------- what is wrong


def test_a_file_of_nothing_but_nan_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="holds no finite value"):
        read_image(save(tmp_path, np.full((3, 4, 5), np.nan, np.float32)))


def test_some_missing_values_are_kept_as_such(tmp_path):
    voxels = VOXELS.astype(np.float32)
    voxels[0] = np.nan
    assert np.isnan(read_image(save(tmp_path, voxels)).volume.voxels).sum() == 6 * 7


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_one_sentence(tmp_path, name, kept):
    path = save(tmp_path, name=name)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UserError, match="is damaged"):
        read_image(path)


def test_a_header_that_promises_too_much_is_refused_before_reading(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((30000, 30000, 30000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, opener in (("bomb.nii", open), ("bomb.nii.gz", gzip.open)):
        with opener(tmp_path / name, "wb") as file:
            file.write(header.binaryblock + bytes(1000))
        with pytest.raises(UserError, match="too large"):
            read_image(tmp_path / name)


def test_several_volumes_in_a_file_are_not_silently_dropped(tmp_path):
    with pytest.raises(UserError, match="holds 3 volumes"):
        read_image(save(tmp_path, np.zeros((4, 4, 4, 3), np.int16)))
    assert read_image(save(tmp_path, VOXELS[..., None])).volume.voxels.shape == (7, 6, 5)


def test_a_sheared_affine_is_refused(tmp_path):
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    image = nibabel.Nifti1Image(VOXELS, sheared)
    image.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "sheared.nii")
    with pytest.raises(UserError, match="not 90"):
        read_image(tmp_path / "sheared.nii")
