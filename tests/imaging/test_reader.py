"""Image files, whole and broken."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from medvista.errors import UserError
from medvista.imaging import open_image, read_image
from medvista.imaging.reader import _ImageCache
from medvista.types import MedicalImage

GREY_16 = np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_files_keep_their_grey_values(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(GREY_16).save(path)
    image = read_image(path, modality="CR")
    assert image.pixels.dtype == np.uint16
    assert np.array_equal(image.pixels, GREY_16)
    assert image.modality == "CR"


def test_big_endian_tiff_reads_as_the_same_values(tmp_path):
    path = tmp_path / "image.tiff"
    Image.frombytes("I;16B", (10, 6), GREY_16.astype(">u2").tobytes()).save(path)
    assert np.array_equal(read_image(path).pixels, GREY_16)


def test_float_tiff_keeps_its_values(tmp_path):
    Image.fromarray(np.array([[0.25, -1.5]], dtype=np.float32)).save(tmp_path / "image.tiff")
    assert read_image(tmp_path / "image.tiff").pixels.tolist() == [[0.25, -1.5]]


def test_grey_stored_as_rgb_is_read_as_grey_and_colour_as_colour(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (8, 9), dtype=np.uint8)
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png").pixels, grey)
    colour = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    assert np.array_equal(read_image(tmp_path / "colour.png").pixels, colour)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_common_mode_is_read_as_8_bit(tmp_path, mode):
    Image.new("L", (5, 4), 255).convert(mode).save(tmp_path / "image.png")
    pixels = read_image(tmp_path / "image.png").pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 5)
    assert pixels.min() == 255


def test_a_photograph_is_turned_as_its_camera_said(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to show
    Image.new("RGB", (30, 20), "red").save(tmp_path / "photo.jpg", exif=exif)
    assert read_image(tmp_path / "photo.jpg").size == (20, 30)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"no image file .*nowhere\.png"):
        read_image(tmp_path / "nowhere.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_one_sentence(tmp_path, suffix, kept):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UserError, match=r"damaged|not an image file"):
        read_image(path)


def test_a_text_file_is_not_an_image(tmp_path):
    (tmp_path / "image.png").write_text("not an image")
    with pytest.raises(UserError, match="not an image file"):
        read_image(tmp_path / "image.png")


def test_a_header_of_60000_by_60000_is_refused_before_decoding(tmp_path):
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(b"\0" * 1000)}
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks.items():
        png += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    (tmp_path / "bomb.png").write_bytes(png)
    with pytest.raises(UserError, match="too large"):
        read_image(tmp_path / "bomb.png")


def test_several_pages_are_not_silently_dropped(tmp_path):
    page = Image.new("L", (4, 4))
    page.save(tmp_path / "pages.tiff", save_all=True, append_images=[page])
    with pytest.raises(UserError, match="2 pages"):
        read_image(tmp_path / "pages.tiff")


def test_an_opened_file_is_kept_read_only_until_it_changes(tmp_path):
    path = tmp_path / "image.png"
    Image.new("L", (4, 4), 1).save(path)
    first = open_image(path)
    assert open_image(path) is first
    assert not first.pixels.flags.writeable
    Image.new("L", (5, 5), 2).save(path)
    assert open_image(path).size == (5, 5)


def test_an_image_in_memory_is_opened_as_it_is():
    image = MedicalImage(pixels=np.zeros((2, 2)))
    assert open_image(image) is image


def test_the_cache_lets_go_of_what_was_used_longest_ago(tmp_path):
    paths = [tmp_path / f"{value}.png" for value in range(3)]
    for value, path in enumerate(paths):
        Image.new("L", (10, 10), value).save(path)
    cache = _ImageCache(limit_bytes=200)
    first, second = cache.get(paths[0]), cache.get(paths[1])
    assert cache.get(paths[0]) is first
    cache.get(paths[2])
    assert cache.get(paths[0]) is first
    assert cache.get(paths[1]) is not second
