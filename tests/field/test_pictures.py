"""Pictures as people have them: transparent, with the smallest value white, sideways, of few greys."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from medvista.errors import UserError
from medvista.imaging import crop, read_image, to_display
from medvista.notices import NOTICES

PICTURES = Path(__file__).parent / "pictures"
ON_WHITE = "transparent pictures were shown on white"
FEW_GREYS = "8-bit pictures of few, dark greys were shown from their darkest to their brightest"
GREY = (np.arange(12, dtype=np.uint8) * 20).reshape(3, 4)
HALF = np.array([[255, 255, 128, 0]] * 3, dtype=np.uint8)  # alpha: opaque twice, half, nothing
HALF_ON_WHITE = np.array([[0, 20, 147, 255], [80, 100, 187, 255], [160, 180, 227, 255]], dtype=np.uint8)


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


def said() -> list[str]:
    return [notice.what for notice in NOTICES.collected()]


def png(path: Path, values: np.ndarray, depth: int, colour: int, transparent: bytes = b"") -> Path:
    """A PNG of any depth and colour type, which Pillow cannot write, with a transparent colour where one is given."""
    bits = np.unpackbits(values[..., None].astype(">u2").view(np.uint8), axis=-1)[..., 16 - depth :]
    rows = np.packbits(bits.reshape(len(values), -1), axis=1)
    height, width = values.shape[:2]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    if transparent:
        chunks.append((b"tRNS", transparent))
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    path.write_bytes(data)
    return path


# -------------------------------------------------------------------------------------------------------- transparency


def test_black_ink_on_nothing_is_black_ink_on_white() -> None:
    image = read_image(PICTURES / "rgba_black_ink.png")
    alpha = np.array(Image.open(PICTURES / "rgba_black_ink.png"))[..., 3]
    assert np.array_equal(image.pixels, 255 - alpha)
    assert 0 < (image.pixels == 0).sum() < image.pixels.size
    assert said() == [ON_WHITE]


def _rgba(path: Path) -> None:
    Image.fromarray(np.dstack([GREY, GREY, GREY, HALF])).save(path)


def _grey_alpha(path: Path) -> None:
    Image.fromarray(np.dstack([GREY, HALF]), mode="LA").save(path)


def _palette_of_alphas(path: Path) -> None:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4), mode="P")
    picture.putpalette([value for grey in GREY.ravel() for value in (grey, grey, grey)])
    picture.save(path, transparency=HALF.tobytes())


@pytest.mark.parametrize("write", [_rgba, _grey_alpha, _palette_of_alphas])
def test_what_is_half_transparent_is_half_white(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "image.png")
    assert np.array_equal(read_image(tmp_path / "image.png").pixels, HALF_ON_WHITE)
    assert said() == [ON_WHITE]


@pytest.mark.parametrize("suffix", ["webp", "tif", "png"])
def test_colour_stays_where_it_is_opaque(suffix: str, tmp_path: Path) -> None:
    drawn = np.zeros((4, 5, 4), dtype=np.uint8)
    drawn[1:3, 1:4] = (200, 30, 60, 255)
    Image.fromarray(drawn).save(tmp_path / f"image.{suffix}", lossless=True)
    expected = np.full((4, 5, 3), 255, dtype=np.uint8)
    expected[1:3, 1:4] = (200, 30, 60)
    assert np.array_equal(read_image(tmp_path / f"image.{suffix}").pixels, expected)


def test_a_gif_is_white_where_its_transparent_index_is(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 0]], dtype=np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    picture.save(tmp_path / "image.gif", transparency=0)
    assert read_image(tmp_path / "image.gif").pixels.tolist() == [
        [[255, 255, 255], [200, 10, 10]],
        [[10, 200, 10], [255, 255, 255]],
    ]


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_grey_tiff_with_alpha_is_turned_around_before_white_shines_through(photometric: str, tmp_path: Path) -> None:
    stored = GREY if photometric == "minisblack" else 255 - GREY
    path = tmp_path / "image.tif"
    alpha = np.array([[255, 255, 255, 0]] * 3, dtype=np.uint8)
    both = np.dstack([stored, alpha])
    tifffile.imwrite(path, both, photometric=photometric, extrasamples=["unassalpha"], planarconfig="contig")
    pixels = read_image(path).pixels
    assert np.array_equal(pixels[:, :3], GREY[:, :3])
    assert (pixels[:, 3] == 255).all()


def test_alpha_that_was_multiplied_in_is_divided_out(tmp_path: Path) -> None:
    half_of_200 = np.full((2, 2, 4), (100, 100, 100, 128), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", half_of_200, photometric="rgb", extrasamples=["assocalpha"])
    pixels = read_image(tmp_path / "image.tif").pixels
    assert np.abs(pixels.astype(int) - (100 + 127)).max() <= 1  # 100 of its own, and the white of the other half


@pytest.mark.parametrize(
    ("depth", "colour", "values", "key", "expected"),
    [
        (1, 0, [[0, 1], [1, 0]], (0,), [[255, 255], [255, 255]]),
        (1, 0, [[0, 1], [1, 0]], (1,), [[0, 255], [255, 0]]),
        (2, 0, [[0, 1], [2, 3]], (1,), [[0, 255], [170, 255]]),
        (4, 0, [[0, 5], [10, 15]], (10,), [[0, 85], [255, 255]]),
        (8, 0, [[0, 19], [20, 99]], (19,), [[0, 255], [20, 99]]),
        (16, 0, [[0, 5000], [5001, 60000]], (5000,), [[0, 65535], [5001, 60000]]),
        (8, 2, [[[7, 8, 9], [7, 8, 10]]], (7, 8, 9), [[[255, 255, 255], [7, 8, 10]]]),
        (16, 2, [[[7000, 8000, 9000], [7000, 8000, 9001]]], (7000, 8000, 9000), [[[255, 255, 255], [27, 31, 35]]]),
    ],
)
def test_the_one_colour_that_is_transparent_is_white_and_its_neighbour_is_not(
    depth: int, colour: int, values: list, key: tuple[int, ...], expected: list, tmp_path: Path
) -> None:
    path = png(tmp_path / "image.png", np.array(values), depth, colour, struct.pack(f">{len(key)}H", *key))
    assert read_image(path).pixels.tolist() == expected
    assert ON_WHITE in said()


def test_16_bits_of_grey_with_alpha_stay_16_bits(tmp_path: Path) -> None:
    grey = np.array([[0, 1234], [4095, 50]])
    path = png(tmp_path / "half.png", np.dstack([grey, [[65535, 65535], [65535, 0]]]), 16, 4)
    pixels = read_image(path).pixels
    assert pixels.dtype == np.uint16
    assert pixels.tolist() == [[0, 1234], [4095, 65535]]
    NOTICES.clear()
    opaque = png(tmp_path / "opaque.png", np.dstack([grey, np.full((2, 2), 65535)]), 16, 4)
    assert read_image(opaque).pixels.tolist() == grey.tolist()
    assert said() == []


def test_16_bits_of_colour_with_alpha_are_shown_on_white_in_8(tmp_path: Path) -> None:
    colours = [[[65535, 0, 0, 65535], [0, 0, 0, 0]]]
    pixels = read_image(png(tmp_path / "image.png", np.array(colours), 16, 6)).pixels
    assert pixels.tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert said() == ["colour of 16 bits was read in 8", ON_WHITE]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_that_is_opaque_everywhere_changes_nothing_and_says_nothing(mode: str, tmp_path: Path) -> None:
    suffix = "tif" if mode == "PA" else "png"
    Image.fromarray(GREY).convert(mode).save(tmp_path / f"image.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"image.{suffix}").pixels, GREY)
    assert said() == []


# ------------------------------------------------------------------------------------------ the smallest value is white


def test_16_bits_whose_smallest_value_is_white_are_turned_around() -> None:
    black, white = (read_image(PICTURES / f"tiff16_minis{name}.tif") for name in ("black", "white"))
    assert np.array_equal(white.pixels, 65535 - black.pixels)
    assert np.array_equal(black.pixels, np.array(Image.open(PICTURES / "tiff16_minisblack.tif")))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u1", "u2", "i1", "i2", "i4", "f4"])
def test_every_depth_is_read_by_value_and_turned_around_once(
    kind: str, compression: str | None, order: str, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(-100, 100, (5, 6)).astype(kind)
    shown = []
    for photometric in ("minisblack", "miniswhite"):
        path = tmp_path / f"{photometric}.tif"
        tifffile.imwrite(path, values, photometric=photometric, compression=compression, byteorder=order)
        shown.append(read_image(path))
    black, white = shown
    assert np.array_equal(black.pixels, values)
    total = black.pixels.astype(float) + white.pixels.astype(float)
    ends = {"u1": 255, "u2": 65535, "i1": -1, "i2": -1}.get(kind, float(values.min()) + float(values.max()))
    assert (total == ends).all()
    sums = to_display(black).astype(int) + to_display(white).astype(int)
    assert set(np.unique(sums)) <= {255, 256}  # of both, rounded


@pytest.mark.parametrize("compression", [None, "group4", "packbits"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_bilevel_files_are_what_pillow_shows(compression: str | None, photometric: int, tmp_path: Path) -> None:
    drawn = Image.fromarray(np.random.default_rng(0).random((9, 17)) > 0.5)
    drawn.save(tmp_path / "image.tif", compression=compression, tiffinfo={262: photometric})
    with Image.open(tmp_path / "image.tif") as picture:
        assert np.array_equal(read_image(tmp_path / "image.tif").pixels, np.array(picture.convert("L")))


def test_a_tiff_of_a_kind_that_is_not_read_is_not_called_damaged(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "double.tif", np.zeros((3, 4)))
    with pytest.raises(UserError, match="of a kind that is not read"):
        read_image(tmp_path / "double.tif")


# --------------------------------------------------------------------------------------------- turned, several, in CMYK


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_deflate"])
def test_a_tiff_is_turned_as_a_png_is(orientation: int, compression: str | None, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GREY).save(tmp_path / "image.png", exif=exif)
    Image.fromarray(GREY).save(tmp_path / "image.tif", tiffinfo={274: orientation}, compression=compression)
    upright = read_image(tmp_path / "image.png").pixels
    assert np.array_equal(read_image(tmp_path / "image.tif").pixels, upright)
    assert upright.shape == ((3, 4) if orientation < 5 else (4, 3))


def test_of_an_animation_the_first_frame_is_read_and_that_is_said(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 3), grey) for grey in (200, 100)]
    frames[0].save(tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "image.gif").pixels == 200).all()
    assert said() == ["of pictures with several frames only the first was read"]


def test_cmyk_is_read_as_colour_and_that_is_said(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 3), (255, 0, 0, 0)).save(tmp_path / "image.tif")
    assert read_image(tmp_path / "image.tif").pixels[0, 0].tolist() == [0, 255, 255]
    assert said() == ["CMYK pictures were turned into RGB without their colour profile"]


# ------------------------------------------------------------------------------------------------------------ few greys


def test_a_map_of_labels_in_8_bits_is_shown_as_its_16_bit_copy(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (8, 9))
    for kind in (np.uint8, np.uint16):
        Image.fromarray(labels.astype(kind)).save(tmp_path / f"{np.dtype(kind)}.png")
    eight, sixteen = (read_image(tmp_path / f"{kind}.png") for kind in ("uint8", "uint16"))
    assert eight.pixels.dtype == np.uint8
    assert np.array_equal(to_display(eight), to_display(sixteen))
    assert set(np.unique(to_display(eight))) == {0, 64, 128, 191, 255}
    assert said() == [FEW_GREYS]
    part = crop(eight, (0, 0, 2, 2))
    assert np.array_equal(to_display(part), to_display(eight)[:2, :2])


@pytest.mark.parametrize("values", [[[0, 255]], [[0, 64]], [[3, 3]]])
def test_other_pictures_of_8_bits_are_shown_as_they_are(values: list, tmp_path: Path) -> None:
    Image.fromarray(np.array(values, dtype=np.uint8)).save(tmp_path / "image.png")
    assert to_display(read_image(tmp_path / "image.png")).tolist() == values
    assert said() == []


def test_a_dicom_map_of_labels_in_8_bits_is_shown_from_its_darkest_to_its_brightest(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.set_pixel_data(np.array([[0, 1], [2, 4]], dtype=np.uint8), "MONOCHROME2", 8)
    dataset.Modality = "OT"
    del dataset.RescaleSlope, dataset.RescaleIntercept
    dataset.save_as(tmp_path / "labels.dcm")
    assert to_display(read_image(tmp_path / "labels.dcm")).tolist() == [[0, 64], [128, 255]]
    assert said() == [FEW_GREYS]
