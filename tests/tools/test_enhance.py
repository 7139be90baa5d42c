"""What brings out hidden detail, against scikit-image and by value."""

import numpy as np
import pytest
from skimage import exposure, filters

from medvista.imaging.display import to_display
from medvista.tools import Toolbox
from medvista.types import GreyCurve, MedicalImage, ToolCall, ToolErrorType, Window

TOOLBOX = Toolbox.from_names(["zoom", "enhance", "roi_statistics"])
RNG = np.random.default_rng(0)
WINDOW = Window(centre=0, width=1000)


def run(images, name="enhance", **arguments):
    return TOOLBOX.run(ToolCall(name=name, arguments=arguments), images)


def ct(side=64):
    return MedicalImage(pixels=RNG.integers(-900, 900, (side, side)).astype(np.int16), modality="CT", window=WINDOW)


def eight_bits(grey):
    return (np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)


def unit(image):
    return np.clip((image.pixels.astype(float) + 500) / 1000, 0, 1)


def test_clahe_is_that_of_scikit_image_on_the_display():
    image = ct()
    (enhanced,) = run([image], method="clahe", strength=2).images
    assert np.array_equal(enhanced.pixels, eight_bits(exposure.equalize_adapthist(unit(image), clip_limit=0.02)))
    assert (enhanced.window, enhanced.modality, enhanced.source) == (None, "CT", 0)
    assert np.array_equal(enhanced.to_source, image.to_source)


def test_sharpen_is_the_unsharp_mask_of_scikit_image():
    image = ct()
    (enhanced,) = run([image], method="sharpen", strength=0.5).images
    assert np.array_equal(enhanced.pixels, eight_bits(filters.unsharp_mask(unit(image), radius=2, amount=0.5)))


def test_gamma_by_value():
    image = MedicalImage(pixels=np.array([[0, 64, 255]], np.uint8))
    (enhanced,) = run([image], method="gamma", gamma=0.5).images
    assert enhanced.pixels.tolist() == [[0, 128, 255]]  # 255 sqrt(64 / 255) = 127.7


def test_denoise_takes_the_noise_and_leaves_the_edge():
    clean = np.repeat([[60.0] * 32 + [180.0] * 32], 64, axis=0)
    noisy = MedicalImage(pixels=np.clip(clean + RNG.normal(0, 12, clean.shape), 0, 255).astype(np.uint8))
    (enhanced,) = run([noisy], method="denoise").images
    error = np.abs(enhanced.pixels - clean)
    assert error.mean() < 0.4 * np.abs(noisy.pixels - clean).mean()
    step = enhanced.pixels[:, 32].astype(float) - enhanced.pixels[:, 31]
    assert step.mean() > 100


def test_enhancing_works_at_the_depth_of_the_pixels():
    # Four greys that an 8-bit display of the full range would show as one.
    pixels = np.array([[0, 1, 2, 3, 65535]], np.uint16)
    (enhanced,) = run([MedicalImage(pixels=pixels)], method="gamma", gamma=0.2).images
    assert len(set(enhanced.pixels[0].tolist())) == 5


@pytest.mark.parametrize("method", ["clahe", "denoise", "sharpen"])
def test_colour_stays_colour(method):
    image = MedicalImage(pixels=RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    (enhanced,) = run([image], method=method).images
    assert enhanced.pixels.shape == (40, 50, 3)
    assert enhanced.pixels.dtype == np.uint8


@pytest.mark.parametrize("method", ["clahe", "denoise", "sharpen"])
@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_an_image_of_one_value_is_no_trouble(method, value):
    result = run([MedicalImage(pixels=np.full((12, 9), value, np.float32))], method=method)
    assert result.ok
    assert len(np.unique(result.images[0].pixels)) == 1


def test_a_display_curve_is_respected():
    curve = GreyCurve(values=np.array([255, 0], np.uint8), first=0)
    image = MedicalImage(pixels=np.array([[0, 1]], np.uint16), curve=curve)
    (enhanced,) = run([image], method="gamma", gamma=1).images
    assert enhanced.pixels.tolist() == [[255, 0]]
    assert enhanced.curve is None


def test_an_enhanced_image_is_shown_as_it_is_and_measured_as_it_was():
    image = ct()
    (enhanced,) = run([image], method="clahe").images
    assert np.array_equal(to_display(enhanced), enhanced.pixels)
    measured = run([image, enhanced], "roi_statistics", image=1, bbox_2d=[0, 0, 500, 500]).data
    assert measured["mean_hu"] == image.pixels[:32, :32].mean()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "gamma"}, "Give gamma with method gamma"),
        ({"method": "clahe", "gamma": 2}, "Give gamma with method gamma, and with no other"),
        ({"method": "gamma", "gamma": 2, "strength": 2}, "takes gamma, not strength"),
        ({"method": "magic"}, "one of clahe, gamma, denoise, sharpen"),
        ({"strength": 0}, "strength has to be at least 0.1"),
        ({"image": 1}, "There is no image 1"),
    ],
)
def test_a_wrong_setting_is_told_what_to_mend(arguments, said):
    error = run([ct()], **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message


def test_an_image_too_large_to_denoise_is_to_be_zoomed_first():
    large = MedicalImage(pixels=np.broadcast_to(np.uint8(0), (1100, 1000)))
    assert "Zoom to a part, then denoise that" in run([large], method="denoise").error.message
