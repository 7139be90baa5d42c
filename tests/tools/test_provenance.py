"""Whatever tools do one after another, each image knows where on its source it was taken."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from medvista.imaging import box_to_source, first_slice, points_to_patient, points_to_voxels, source_image
from medvista.imaging.geometry import clip_box
from medvista.tools import Toolbox
from medvista.types import MedicalImage, Slice, ToolCall, Volume

TOOLBOX = Toolbox.from_names(["zoom", "window", "rotate", "slice", "mirror", "compare", "enhance"])
DEPTH, HEIGHT, WIDTH = 60, 84, 96
TO_PATIENT = np.array([[1.0, 0, 0, -30], [0, 1.5, 0, -40], [0, 0, -3.0, 100], [0, 0, 0, 1]])


def volumes():
    """Three volumes whose grey values are their own x, y and z at the middle of each voxel, and one of noise."""
    z, y, x = np.mgrid[:DEPTH, :HEIGHT, :WIDTH].astype(np.float32) + np.float32(0.5)
    noise = np.random.default_rng(0).normal(0, 100, x.shape).astype(np.float32)
    made = [Volume(voxels=v, spacing_mm=(3.0, 1.5, 1.0), to_patient=TO_PATIENT) for v in (x, y, z, noise)]
    return [first_slice(volume) for volume in made]


def pictures():
    """Three pictures whose grey values are their own x, y and 0.5, and one of noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) + np.float32(0.5)
    noise = np.random.default_rng(0).normal(0, 100, x.shape).astype(np.float32)
    return [MedicalImage(pixels=values) for values in (x, y, np.full_like(x, 0.5), noise)]


@st.composite
def boxes(draw):
    x1, y1 = draw(st.integers(0, 700)), draw(st.integers(0, 700))
    return [x1, y1, draw(st.integers(x1 + 200, 1000)), draw(st.integers(y1 + 200, 1000))]


CALLS = st.one_of(
    st.fixed_dictionaries({"name": st.just("zoom"), "bbox_2d": boxes()}),
    st.fixed_dictionaries({"name": st.just("window"), "centre": st.just(30), "width": st.integers(10, 100)}),
    st.fixed_dictionaries(
        {
            "name": st.just("rotate"),
            "degrees": st.one_of(st.sampled_from([90, 180, 270, -90]), st.integers(1, 359)),
            "mirrored": st.sampled_from([None, "horizontal", "vertical"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("slice"),
            "plane": st.sampled_from(["axial", "coronal", "sagittal"]),
            "index": st.integers(0, DEPTH - 1),
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("slice"),
            "plane": st.sampled_from(["axial", "coronal", "sagittal"]),
            "through": st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(list),
        }
    ),
    st.fixed_dictionaries({"name": st.just("mirror"), "bbox_2d": boxes(), "midline": st.just("image")}),
    st.fixed_dictionaries({"name": st.just("compare"), "boxes": st.lists(boxes(), min_size=2, max_size=2)}),
    st.fixed_dictionaries({"name": st.just("enhance"), "method": st.just("gamma"), "gamma": st.sampled_from([0.5, 2])}),
)


def play(images, calls, picks):
    """The images of an episode after the calls, each on one of the images there are."""
    images = list(images)
    for call, pick in zip(calls, picks, strict=True):
        arguments = dict(call)
        name = arguments.pop("name")
        index = pick % len(images)
        arguments["image"] = [index] if name == "compare" else index
        result = TOOLBOX.run(ToolCall(name=name, arguments=arguments), images)
        if result.ok:
            images += result.images
            check_regions(images, result)
        else:
            assert "failed" not in result.error.message, result.error.message
    return images


def check_regions(images, result):
    """Each image a tool returned lies within the region it says it looked at, or within one of them."""
    for image in result.images if result.regions else ():
        whole = source_image(images, image)
        left, top, right, bottom = clip_box(box_to_source(image, (0, 0, *image.size)), whole.size)
        assert any(
            region.slice == image.slice and np.allclose(region.box, (left, top, right, bottom), atol=1)
            for region in result.regions
        )


def without_enhancing(calls):
    """Enhanced greys say no coordinates: a window that changes no grey value goes in its place."""
    return [{"name": "window", "centre": 30, "width": 60} if call["name"] == "enhance" else call for call in calls]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.booleans(),
    st.lists(CALLS, min_size=5, max_size=5),
    st.lists(st.integers(0, 30), min_size=5, max_size=5),
)
def test_provenance_survives_any_chain_of_five_tools_within_one_source_pixel(of_volume, calls, picks):
    *ramps, noise = volumes() if of_volume else pictures()
    by_value = [play([ramp], without_enhancing(calls), picks) for ramp in ramps]
    enhanced = play([noise], calls, picks)
    for x, y, z, other in zip(*by_value, enhanced, strict=True):
        assert x.size == other.size
        assert x.slice == other.slice
        assert np.array_equal(x.to_source, other.to_source)
        check_values(x, np.stack([x.pixels, y.pixels, z.pixels], axis=-1), margins=any(map(has_margin, calls)))


def has_margin(call):
    return call["name"] == "rotate" and call["degrees"] % 90 != 0


def check_values(image, values, margins=False):
    """The coordinates drawn into the pixels are those the image's affine says."""
    columns, rows = np.meshgrid(np.arange(image.size[0]) + 0.5, np.arange(image.size[1]) + 0.5)
    points = np.column_stack([columns.ravel(), rows.ravel()])
    if image.slice is not None:
        said = points_to_voxels(image, points)
    else:
        said = np.column_stack([points, np.ones(len(points))]) @ image.to_source[:2].T
        said = np.column_stack([said, np.full(len(said), 0.5)])
    off = np.abs(values.reshape(-1, 3) - said).max(axis=1).reshape(values.shape[:2])
    inside = np.ones(off.shape, dtype=bool)
    if margins:  # of the smallest values, beside an image turned by an odd angle; turned again, both mix at the edge
        margin = (values == values.min(axis=(0, 1))).all(axis=-1)
        inside = ~binary_dilation(np.pad(margin, 1, constant_values=True), iterations=4)[1:-1, 1:-1]
    assert (off[inside] < 1).all()
    if image.to_patient is not None:
        patient = (TO_PATIENT @ np.column_stack([said, np.ones(len(said))]).T).T[:, :3]
        assert np.allclose(points_to_patient(image, points), patient)


def test_the_check_would_notice_an_image_that_lies_elsewhere():
    x, y, z, _ = volumes()
    values = np.stack([x.pixels, y.pixels, z.pixels], axis=-1)
    check_values(x, values)
    shift = np.array([[1.0, 0, 1.5], [0, 1, 0], [0, 0, 1]])
    for wrong in (replace(x, to_source=shift), replace(x, slice=Slice(plane="axial", index=x.slice.index + 1))):
        with pytest.raises(AssertionError):
            check_values(wrong, values)
