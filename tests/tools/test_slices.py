"""The slice tool, the tools that work on slices, and the rotate tool."""

import numpy as np
import pytest

from medvista.imaging import first_slice, fit, take_slice
from medvista.tools import Toolbox
from medvista.types import MedicalImage, Slice, ToolCall, ToolErrorType, Volume, Window

TOOLBOX = Toolbox.from_names(["zoom", "window", "slice", "rotate"])
TO_PATIENT = np.diag([0.5, 0.5, -2.0, 1.0])


def ct(source=0):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (20, 60, 80)).astype(np.int16)
    volume = Volume(
        voxels=voxels,
        spacing_mm=(2.0, 0.5, 0.5),
        to_patient=TO_PATIENT,
        modality="CT",
        window=Window(centre=40, width=400),
    )
    image = first_slice(volume)
    return MedicalImage(
        **{name: getattr(image, name) for name in image.__dataclass_fields__ if name != "source"}, source=source
    )


def run(images, name, **arguments):
    return TOOLBOX.run(ToolCall(name=name, arguments=arguments), images)


@pytest.mark.parametrize(("plane", "index"), [("axial", 0), ("axial", 19), ("coronal", 59), ("sagittal", 79)])
def test_a_slice_is_shown_whole_with_its_place(plane, index):
    image = ct()
    result = run([image], "slice", plane=plane, index=index)
    (shown,) = result.images
    where = Slice(plane=plane, index=index)
    assert np.array_equal(shown.pixels, take_slice(image.volume, where).pixels)
    assert shown.slice == where
    assert shown.window == Window(centre=40, width=400)
    assert shown.volume is None
    assert [(region.box, region.slice) for region in result.regions] == [((0, 0, *shown.size), where)]


def test_the_text_counts_the_slices():
    assert run([ct()], "slice", plane="coronal", index=7).text == "Coronal slice 7 of 0 to 59."


def test_without_plane_and_index_the_middle_of_the_same_plane_is_shown():
    image = ct()
    (sagittal,) = run([image], "slice", plane="sagittal").images
    assert sagittal.slice == Slice(plane="sagittal", index=40)
    assert run([image, sagittal], "slice", image=1, index=3).images[0].slice == Slice(plane="sagittal", index=3)


@pytest.mark.parametrize(
    ("plane", "index"), [("sagittal", 20), ("coronal", 45), ("axial", 10)], ids=["sagittal", "coronal", "axial"]
)
def test_a_slice_through_a_point_of_another_holds_that_point(plane, index):
    image = ct()  # axial, 80 x 60
    assert run([image], "slice", plane=plane, through=[250, 750]).images[0].slice == Slice(plane=plane, index=index)


def test_a_slice_through_a_point_of_a_turned_crop_holds_that_point():
    image = ct()
    (part,) = run([image], "zoom", bbox_2d=[500, 0, 1000, 500]).images  # columns 40 to 79, rows 0 to 29
    (turned,) = run([image, part], "rotate", image=1, degrees=90).images  # 30 x 40; its left edge is row 29
    shown = run([image, part, turned], "slice", image=2, plane="sagittal", through=[500, 250]).images[0]
    assert shown.slice == Slice(plane="sagittal", index=50)
    shown = run([image, part, turned], "slice", image=2, plane="coronal", through=[0, 500]).images[0]
    assert shown.slice == Slice(plane="coronal", index=30)


def test_a_zoom_on_a_slice_of_another_plane_crops_that_slice_at_native_resolution():
    image = ct()
    (coronal,) = run([image], "slice", plane="coronal", index=7).images
    result = run([image, fit(coronal, 64)], "zoom", image=1, bbox_2d=[0, 0, 500, 500])
    (part,) = result.images
    assert np.array_equal(part.pixels, image.volume.voxels[:10, 7, :40])
    assert part.slice == Slice(plane="coronal", index=7)
    assert [(r.box, r.slice, r.image) for r in result.regions] == [((0, 0, 40, 10), part.slice, 0)]


def test_a_slice_of_a_windowed_image_stays_in_its_window():
    image = ct()
    (bone,) = run([image], "window", preset="bone").images
    assert run([image, bone], "slice", image=1, plane="sagittal").images[0].window == Window(centre=500, width=2000)


def test_each_volume_of_an_episode_has_its_own_slices():
    images = [MedicalImage(pixels=np.zeros((9, 9), np.uint8)), ct(source=1)]
    result = run(images, "slice", image=1, plane="coronal", index=3)
    assert result.images[0].source == result.regions[0].image == 1
    (part,) = run([*images, *result.images], "zoom", image=2, bbox_2d=[0, 0, 1000, 1000]).images
    assert np.array_equal(part.pixels, images[1].volume.voxels[:, 3])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"index": 20}, "There is no axial slice 20; they are 0 to 19."),
        ({"plane": "frame"}, "has no frame plane; it has: axial, coronal, sagittal"),
        ({"index": 3, "through": [0, 0]}, "either index or through"),
        ({"plane": "oblique"}, "one of axial, coronal, sagittal, frame"),
        ({"index": -1}, "index has to be at least 0"),
        ({"image": 1}, "There is no image 1"),
    ],
)
def test_a_bad_slice_is_told_what_to_mend(arguments, said):
    error = run([ct()], "slice", **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message


def test_a_picture_has_no_slices():
    assert "not of a volume" in run([MedicalImage(pixels=np.zeros((9, 9), np.uint8))], "slice").error.message


def test_a_film_is_shown_frame_by_frame():
    film = first_slice(Volume(voxels=np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4), plane="frame"))
    result = run([film], "slice", index=4)
    assert result.text == "Frame 4 of 0 to 4."
    assert np.array_equal(result.images[0].pixels, film.volume.voxels[4])


# --------------------------------------------------------------------------------------------------------------- rotate


def test_a_turned_image_keeps_its_window_and_its_slice():
    image = ct()
    result = run([image], "rotate", degrees=90)
    assert result.text == "Image 0 turned 90 degrees clockwise."
    (turned,) = result.images
    assert np.array_equal(turned.pixels, np.rot90(image.pixels, -1))
    assert (turned.window, turned.slice, turned.volume) == (image.window, image.slice, None)


def test_an_image_is_mirrored_before_it_is_turned():
    image = ct()
    result = run([image], "rotate", degrees=-90, mirrored="horizontal")
    assert result.text == "Image 0 mirrored horizontally and turned -90 degrees clockwise."
    assert np.array_equal(result.images[0].pixels, np.rot90(image.pixels[:, ::-1]))


def test_a_zoom_on_a_turned_image_stays_turned_and_knows_its_place():
    image = ct()  # 80 x 60
    (turned,) = run([image], "rotate", degrees=90).images  # 60 x 80: right is up, its left edge is the last row
    result = run([image, turned], "zoom", image=1, bbox_2d=[0, 0, 500, 250])
    (part,) = result.images
    assert np.array_equal(part.pixels, np.rot90(image.pixels, -1)[:20, :30])
    assert result.regions[0].box == (0, 30, 20, 60)


def test_turning_by_nothing_is_told():
    for arguments in ({}, {"degrees": 0}, {"degrees": 360}):
        assert "Give degrees other than 0" in run([ct()], "rotate", **arguments).error.message
