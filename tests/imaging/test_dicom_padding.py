"""Padding of DICOM pictures: it is no tissue, on whatever is made of them."""

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medvista.imaging import default_window, read_image, take_slice, to_display
from medvista.tools import Toolbox
from medvista.types import Slice, ToolCall, Window

TOOLBOX = Toolbox.from_names(["zoom", "window", "rotate", "enhance", "roi_statistics"])
RNG = np.random.default_rng(0)
Y, X = np.mgrid[:64, :64]
OUTSIDE = (Y - 32) ** 2 + (X - 32) ** 2 > 28**2
TISSUE = RNG.integers(100, 2000, (64, 64))


def run(image, name, **arguments):
    result = TOOLBOX.run(ToolCall(name=name, arguments=arguments), [image])
    assert result.ok, result.error
    return result


def padded(values, kind=np.int16):
    return np.where(OUTSIDE, values, TISSUE).astype(kind)


SIGNED = {"RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": "CT"}
TWELVE = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}


@pytest.mark.parametrize("encoding", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    ("filled", "value", "limit", "tags"),
    [
        (-2000, ("SS", -2000), None, {}),
        (-2000, ("US", 63536), None, {}),  # of the wrong sign
        (RNG.integers(-2000, -999, (64, 64)), ("SS", -2000), ("SS", -1000), {}),
        (RNG.integers(-2000, -999, (64, 64)), ("SS", -1000), ("SS", -2000), {}),
        (-2000, ("SS", -2000), None, TWELVE),
        (-2000, ("US", 0x830), None, TWELVE),  # the 12 bits alone
        (-32768, ("SS", -32768), None, TWELVE),  # no value of 12 bits
    ],
)
def test_padding_is_missing_whatever_the_form_of_its_value(
    write_dicom, re_encode, encoding, filled, value, limit, tags
):
    path = write_dicom(padded(filled), **SIGNED, **tags)
    path = re_encode(tag(path, PixelPaddingValue=value, PixelPaddingRangeLimit=limit), encoding)
    image = read_image(path)
    assert np.array_equal(np.isnan(image.pixels), OUTSIDE)
    assert np.array_equal(image.pixels[~OUTSIDE], TISSUE[~OUTSIDE] - 1024)


def tag(path, **elements):
    import pydicom

    dataset = pydicom.dcmread(path)
    for keyword, element in elements.items():
        if element is not None:
            dataset.add_new(keyword, *element)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("value", [0, 4095])
@pytest.mark.parametrize(
    "display",
    [
        {},
        {"WindowCenter": 1000, "WindowWidth": 900},
        {"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "SIGMOID"},
    ],
)
def test_background_stays_black_and_out_of_everything(write_dicom, photometric, value, display):
    tags = {"Modality": "DX", "BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": photometric}
    image = read_image(write_dicom(padded(value, np.uint16), PixelPaddingValue=value, **tags, **display))
    tissue = (4095 - TISSUE if photometric == "MONOCHROME1" else TISSUE)[~OUTSIDE]
    assert (to_display(image)[OUTSIDE] == 0).all()
    measured = run(image, "roi_statistics", bbox_2d=[0, 0, 1000, 1000])
    assert measured.data["mean_grey"] == pytest.approx(tissue.mean())
    assert (measured.data["min_grey"], measured.data["max_grey"]) == (tissue.min(), tissue.max())
    assert f"{OUTSIDE.sum()} of these pixels hold no value" in measured.text
    if not display:
        low, high = float(tissue.min()), float(tissue.max())
        assert default_window(image.pixels) == Window(centre=(low + high) / 2, width=high - low)


def test_a_table_that_begins_with_white_leaves_padding_black(write_dicom):
    from pydicom.dataset import Dataset

    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 12])
    table.add_new("LUTData", "US", list(range(4095, -1, -1)))
    tags = {"Modality": "DX", "BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 0, "VOILUTSequence": [table]}
    assert (to_display(read_image(write_dicom(padded(0, np.uint16), **tags)))[OUTSIDE] == 0).all()


@pytest.mark.parametrize("modality", ["CR", "CT"])
def test_8_bits_are_shown_as_they_are_and_are_no_hounsfield_units_with_padding_either(write_dicom, modality):
    pixels = np.where(OUTSIDE, 255, TISSUE // 10).astype(np.uint8)
    image = read_image(write_dicom(pixels, Modality=modality, PixelPaddingValue=255))
    assert np.array_equal(to_display(image), np.where(OUTSIDE, 0, pixels))
    for view in (image, run(image, "rotate", degrees=30).images[0]):
        assert "mean_grey" in run(view, "roi_statistics", bbox_2d=[300, 300, 700, 700]).data


@pytest.fixture
def ct(write_dicom):
    return read_image(tag(write_dicom(padded(-2000), **SIGNED), PixelPaddingValue=("SS", -2000)))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("zoom", {"bbox_2d": [0, 0, 600, 600]}),
        ("rotate", {"degrees": 90}),
        ("rotate", {"degrees": 33, "mirrored": "vertical"}),
    ],
)
def test_padding_survives_what_is_cut_out_or_turned(ct, name, arguments):
    view = run(ct, name, **arguments).images[0]
    missing = np.isnan(view.pixels)
    assert missing[0, 0]
    assert (to_display(view)[missing] == 0).all()
    tissue = TISSUE[~OUTSIDE] - 1024
    shown = run(view, "window", percentiles=[0, 100]).images[0].window
    assert shown.centre - shown.width / 2 >= tissue.min() - 1e-3
    assert shown.centre + shown.width / 2 <= tissue.max() + 1e-3


def test_a_turned_image_has_as_much_tissue(ct):
    turned = run(ct, "rotate", degrees=30).images[0]
    assert np.isfinite(turned.pixels).sum() == pytest.approx((~OUTSIDE).sum(), rel=0.06)  # a rim of less than a pixel


@pytest.mark.parametrize("method", ["clahe", "denoise", "sharpen"])
def test_enhancing_leaves_padding_black_and_missing(ct, method):
    enhanced = run(ct, "enhance", method=method).images[0]
    assert np.array_equal(np.isnan(enhanced.pixels), OUTSIDE)
    assert (to_display(enhanced)[OUTSIDE] == 0).all()
    assert enhanced.pixels.dtype == np.float16  # as display greys, which are no Hounsfield units
    darkest = run(enhanced, "window", percentiles=[0, 100]).images[0].window
    assert darkest.centre - darkest.width / 2 == np.nanmin(enhanced.pixels)


def test_padding_makes_no_edge_to_sharpen(write_dicom):
    flat = np.where(OUTSIDE, -2000, 500).astype(np.int16)
    image = read_image(
        tag(write_dicom(flat, **SIGNED, WindowCenter=-500, WindowWidth=100), PixelPaddingValue=("SS", -2000))
    )
    sharpened = run(image, "enhance", method="sharpen").images[0]
    assert len(np.unique(to_display(sharpened)[~OUTSIDE])) == 1


# ------------------------------------------------------------------------------------------------ volumes and films


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_padding_of_some_slices_is_missing_in_the_volume_and_in_every_plane(write_series, kind):
    voxels = RNG.integers(20, 100, (6, 7, 8)).astype(kind)
    voxels[4:, 0] = 1
    tags = {"Modality": "MR", "PixelPaddingValue": 1}
    image = read_image(write_series(voxels, **tags))
    missing = np.isnan(image.volume.voxels)
    assert missing.sum() == 16
    assert np.isnan(take_slice(image.volume, Slice(plane="coronal", index=0)).pixels).sum() == 16
    if kind == np.int16:
        low, high = np.percentile(image.volume.voxels[~missing], [0.5, 99.5])
        assert image.volume.window == Window(centre=(low + high) / 2, width=high - low)


def test_padding_of_frames_is_missing(write_dicom):
    frames = RNG.integers(20, 100, (3, 7, 8)).astype(np.uint16)
    frames[:, :, 0] = 65535
    image = read_image(write_dicom(frames, Modality="MR", PixelPaddingValue=65535))
    assert np.isnan(image.volume.voxels).sum() == 21
