"""The real files of ``formats/``, by value against pydicom, nibabel and Pillow."""

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from medvista.imaging import points_to_patient, read_image, take_slice, to_display
from medvista.imaging.identifiers import BurnedInWarning
from medvista.types import Slice, Window

pytestmark = pytest.mark.data


@pytest.fixture
def formats(data_root):
    return data_root / "formats"


def test_the_chest_ct_has_its_hounsfield_units_window_spacing_and_place(formats):
    path = formats / "CT_lung_nodule.dcm"
    dataset, image = pydicom.dcmread(path), read_image(path)
    units = apply_modality_lut(dataset.pixel_array, dataset)
    assert image.pixels.dtype == np.int16
    assert np.array_equal(image.pixels, units)
    assert image.modality == "CT"
    assert image.window == Window(centre=-400, width=1600)  # the first of two
    assert image.spacing_mm == tuple(dataset.PixelSpacing)
    first = points_to_patient(image, [(0.5, 0.5)])[0]
    assert first == pytest.approx(np.array(dataset.ImagePositionPatient, dtype=float))
    shown = apply_voi_lut(units, dataset)
    low, high = -1024.0, 4095.0 - 1024.0  # of 12 bits
    assert np.abs(to_display(image) - (shown - low) / (high - low) * 255).max() <= 1


def test_the_chest_radiograph_is_read_as_it_is_and_warned_of(formats):
    path = formats / "cxr" / "cr_1024.dcm"
    with pytest.warns(BurnedInWarning, match="secondary capture"):
        image = read_image(path)
    assert image.pixels.dtype == np.uint8
    assert np.array_equal(image.pixels, pydicom.dcmread(path).pixel_array)
    assert np.array_equal(to_display(image), image.pixels)
    assert (image.modality, image.spacing_mm) == ("CR", (0.168, 0.168))


def test_the_brain_stands_upright(formats):
    path = formats / "anatomical.nii"
    volume = read_image(path).volume
    right_front_head = nibabel.as_closest_canonical(nibabel.load(path))
    data = np.asarray(right_front_head.dataobj)
    assert np.array_equal(volume.voxels, data[::-1, ::-1, ::-1].transpose(2, 1, 0))
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == (2, 2, 2)
    i, j, k = 5, 30, 20  # of the canonical array
    right, front, head, _ = right_front_head.affine @ (i, j, k, 1)
    nx, ny, nz = data.shape
    axial = take_slice(volume, Slice(plane="axial", index=nz - 1 - k))
    x, y = nx - 1 - i, ny - 1 - j
    assert axial.pixels[y, x] == data[i, j, k]
    assert points_to_patient(axial, [(x + 0.5, y + 0.5)])[0] == pytest.approx((-right, -front, head))


@pytest.mark.parametrize("name", ["ihc.png", "retina.jpg"])
def test_colour_pictures_are_rgb(formats, name):
    assert np.array_equal(read_image(formats / name).pixels, np.array(Image.open(formats / name).convert("RGB")))
