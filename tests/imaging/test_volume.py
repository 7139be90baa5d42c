"""Slices of a volume, which way up they are, and the way back to voxels and the patient."""

import numpy as np
import pytest

from medvista.imaging import (
    box_to_voxels,
    crop,
    first_slice,
    fit,
    points_to_patient,
    points_to_voxels,
    source_image,
    take_slice,
)
from medvista.imaging.volume import describe_slice, describe_volume, obliqueness
from medvista.types import MedicalImage, Slice, Volume, Window

# 4 mm between slices that count to the feet, 2 mm between rows, 1 mm between columns.
TO_PATIENT = np.array([[1.0, 0, 0, -20], [0, 2.0, 0, -10], [0, 0, -4.0, 100], [0, 0, 0, 1]])


def numbered(depth=4, height=5, width=6):
    """Voxels that name their place: 100 z + 10 y + x."""
    z, y, x = np.mgrid[:depth, :height, :width]
    return Volume(
        voxels=(100 * z + 10 * y + x).astype(np.int16), spacing_mm=(4.0, 2.0, 1.0), to_patient=TO_PATIENT, modality="CT"
    )


@pytest.mark.parametrize(
    ("plane", "index", "top_left", "right_of_it", "below_it", "spacing"),
    [
        ("axial", 3, 300, 301, 310, (2.0, 1.0)),
        ("coronal", 2, 20, 21, 120, (4.0, 1.0)),
        ("sagittal", 5, 5, 15, 105, (4.0, 2.0)),
    ],
)
def test_a_slice_lies_as_it_is_shown(plane, index, top_left, right_of_it, below_it, spacing):
    image = take_slice(numbered(), Slice(plane=plane, index=index))
    assert (image.pixels[0, 0], image.pixels[0, 1], image.pixels[1, 0]) == (top_left, right_of_it, below_it)
    assert image.spacing_mm == spacing
    assert image.modality == "CT"


@pytest.mark.parametrize(("plane", "index"), [("axial", 3), ("coronal", 2), ("sagittal", 5)])
def test_each_pixel_knows_its_voxel(plane, index):
    volume = numbered()
    part = crop(take_slice(volume, Slice(plane=plane, index=index)), (1, 2, 4, 4))
    for row in range(part.size[1]):
        for column in range(part.size[0]):
            ((x, y, z),) = points_to_voxels(part, [(column + 0.5, row + 0.5)])
            assert volume.voxels[int(z), int(y), int(x)] == part.pixels[row, column]
            x1, y1, z1, x2, y2, z2 = box_to_voxels(part, (column, row, column + 1, row + 1))
            assert (
                volume.voxels[int(z1) : int(z2), int(y1) : int(y2), int(x1) : int(x2)].item()
                == part.pixels[row, column]
            )


def test_all_planes_agree_where_a_voxel_lies_in_the_patient():
    volume = numbered()
    x, y, z = 5, 2, 3
    seen = [("axial", z, (x, y)), ("coronal", y, (x, z)), ("sagittal", x, (y, z))]
    for plane, index, (column, row) in seen:
        image = take_slice(volume, Slice(plane=plane, index=index))
        (point,) = points_to_patient(image, [(column + 0.5, row + 0.5)])
        assert point == pytest.approx((-20 + 5.5, -10 + 2 * 2.5, 100 - 4 * 3.5))


def test_a_picture_has_no_voxels():
    picture = MedicalImage(pixels=np.zeros((4, 4)))
    assert points_to_patient(picture, [(0, 0)]) is None
    with pytest.raises(ValueError, match="no voxels"):
        points_to_voxels(picture, [(0, 0)])
    with pytest.raises(ValueError, match="no voxels"):
        box_to_voxels(picture, (0, 0, 1, 1))


def test_a_volume_is_first_shown_by_its_middle_and_derived_images_let_it_go():
    image = first_slice(numbered())
    assert image.slice == Slice(plane="axial", index=2)
    assert image.volume is not None
    assert fit(image, 8).volume is None
    assert crop(image, (0, 0, 3, 3)).volume is None
    assert fit(image, 8).slice == image.slice


def test_the_source_of_an_image_is_its_whole_slice_at_native_resolution():
    image = first_slice(numbered())
    coronal = take_slice(image.volume, Slice(plane="coronal", index=1))
    source = source_image([image], fit(crop(coronal, (1, 1, 3, 3)), 32))
    assert np.array_equal(source.pixels, coronal.pixels)
    assert source_image([image], image) is image


def test_the_window_of_the_volume_holds_for_all_slices():
    volume = Volume(voxels=np.zeros((2, 3, 4), np.int16), to_patient=np.eye(4), window=Window(centre=40, width=400))
    for plane in volume.planes:
        assert take_slice(volume, Slice(plane=plane, index=0)).window == Window(centre=40, width=400)


def test_a_film_has_frames_only():
    film = Volume(voxels=np.zeros((9, 4, 5, 3), np.uint8), plane="frame")
    assert film.planes == ("frame",)
    image = first_slice(film)
    assert image.slice == Slice(plane="frame", index=4)
    assert image.pixels.shape == (4, 5, 3)
    assert image.to_patient is None
    assert describe_volume(film, image.slice) == "frame 4 of a film with frames 0 to 8"
    assert describe_slice(film, image.slice) == "frame 4 of 0 to 8"


def test_how_far_a_volume_is_turned_against_the_patient_is_said():
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    volume = Volume(voxels=np.zeros((4, 4, 4)), to_patient=turn @ TO_PATIENT)
    assert obliqueness(volume) == pytest.approx(np.degrees(0.2))
    assert describe_slice(volume, Slice(plane="axial", index=1)) == "axial slice 1 of 0 to 3, oblique by 11 degrees"
    assert obliqueness(numbered()) == 0
